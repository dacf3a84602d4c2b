"""A client for the account's admin port."""

from types import TracebackType
from typing import Any

import httpx


class AwsAdmin:
    """Reads the data plane's state and sets faults. Calls raise httpx.HTTPError when the port does not answer."""

    def __init__(self, admin_port: int) -> None:
        # Plain HTTP: without certificates to load, a client is cheap.
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{admin_port}", timeout=5, verify=False)

    def __enter__(self) -> "AwsAdmin":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def healthy(self) -> bool:
        """Return whether the account is up. Never raises."""
        try:
            return self._http.get("/healthz").is_success
        except httpx.HTTPError:
            return False

    def state(self) -> dict[str, Any]:
        """Return rules with requested and applied weights, and target groups with counters, targets, open requests."""
        return self._get("/state")

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the events with numbers above `since`, in order."""
        return self._get("/events", since=since)["events"]

    def faults(self) -> dict[str, Any]:
        """Return the current faults."""
        return self._get("/faults")

    def set_faults(self, **changes: Any) -> dict[str, Any]:
        """Change the named faults, leave the others, and return all. rehearsal.aws.faults lists the names."""
        answer = self._http.post("/faults", json=changes)
        answer.raise_for_status()
        return answer.json()

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()
