"""Live figures: one JSON object per second, and the last of them."""

import json
import time
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from rehearsal.load.records import Record, percentile

# Rates and percentiles cover the requests that finished in the last this many seconds.
WINDOW_SECONDS = 3.0
_TAIL_BYTES = 8192


class Live:
    """Counts requests. `started`, `finished` and `failed` count from the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._started = 0
        self._finished = 0
        self._failed = 0
        self._failed_by_color: Counter[str] = Counter()
        self._recent: deque[tuple[float, Record]] = deque()
        self.open_streams = 0

    def request_started(self, *, stream: bool) -> None:
        """Count a sent request."""
        self._started += 1
        self.open_streams += stream

    def request_finished(self, record: Record) -> None:
        """Count a finished or failed request."""
        self._finished += 1
        self._failed += record.failed
        if record.stream:
            self.open_streams -= 1
        if record.color:
            self._failed_by_color[record.color] += record.failed
        self._recent.append((time.monotonic(), record))

    def snapshot(self) -> dict[str, Any]:
        """Return the object to print. `rate` is finished requests per second."""
        now = time.monotonic()
        while self._recent and self._recent[0][0] < now - WINDOW_SECONDS:
            self._recent.popleft()
        seconds = min(WINDOW_SECONDS, max(now - self._began, 1e-3))
        recent: dict[str, list[Record]] = {color: [] for color in self._failed_by_color}
        for _, record in self._recent:
            if record.color:
                recent.setdefault(record.color, []).append(record)
        return {
            "at": round(time.time(), 3),
            "started": self._started,
            "finished": self._finished,
            "failed": self._failed,
            "open_streams": self.open_streams,
            "by_color": {
                color: {
                    "rate": round(len(records) / seconds, 2),
                    "ttft_p95_seconds": percentile([r.ttft_seconds for r in records if r.ttft_seconds is not None], 95),
                    "failed": self._failed_by_color[color],
                }
                for color, records in sorted(recent.items())
            },
        }


def last_snapshot(log: Path) -> dict[str, Any]:
    """Return the last complete snapshot in a log, which may have other lines. Empty when there is none."""
    if not log.exists():
        return {}
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().splitlines()
    for line in reversed(lines):
        if line.startswith(b"{") and line.endswith(b"}"):
            with suppress(ValueError):
                return json.loads(line)
    return {}
