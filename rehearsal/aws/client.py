"""Client of the account's admin port."""

from types import TracebackType
from typing import Any

import httpx


class AwsAdmin:
    """Reads the state of the data plane and sets faults. Raises httpx.HTTPError when the port does not answer."""

    def __init__(self, admin_port: int) -> None:
        # Plain HTTP: not loading certificates makes a client cheap.
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{admin_port}", timeout=5, verify=False)

    def __enter__(self) -> "AwsAdmin":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def healthy(self) -> bool:
        """Whether the account is up; never raises."""
        try:
            return self._http.get("/healthz").is_success
        except httpx.HTTPError:
            return False

    def state(self) -> dict[str, Any]:
        """Rules with the weights asked and applied; target groups with counters, targets and requests in flight."""
        return self._get("/state")

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """The events numbered above `since`, in order."""
        return self._get("/events", since=since)["events"]

    def faults(self) -> dict[str, Any]:
        """The faults that are on now."""
        return self._get("/faults")

    def set_faults(self, **changes: Any) -> dict[str, Any]:
        """Change the named faults and leave the others; returns all. See rehearsal.aws.faults for the names."""
        answer = self._http.post("/faults", json=changes)
        answer.raise_for_status()
        return answer.json()

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()
