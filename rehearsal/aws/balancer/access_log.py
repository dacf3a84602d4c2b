"""The access log: one JSON line per finished request, flushed at once."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(slots=True)
class AccessRecord:
    """One request. Times are in epoch seconds; `target_response_seconds` ends with the target's headers."""

    started_at: float
    method: str
    path: str
    request_id: str | None
    load_balancer: str | None = None
    rule: str | None = None
    target_group_arn: str | None = None
    color: str | None = None
    target: str | None = None
    elb_status: int | None = None
    target_status: int | None = None
    target_response_seconds: float | None = None
    bytes_sent: int = 0
    stream: bool = False
    error: str | None = None
    finished_at: float = 0


class AccessLog:
    """Appends records to a file. The caller closes it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def write(self, record: AccessRecord) -> None:
        self._file.write(json.dumps(asdict(record)) + "\n")

    def close(self) -> None:
        self._file.close()
