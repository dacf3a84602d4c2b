"""The account's event log: what the API requested, what the data plane did, and when."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any


class EventLog:
    """Events in order, numbered from 1. For use from one thread only."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []

    def add(self, kind: str, at: float | None = None, **fields: Any) -> None:
        """Append an event. `at` is in epoch seconds; None means now."""
        number = len(self._events) + 1
        self._events.append({"number": number, "at": at or time.time(), "type": kind, **fields})

    def since(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield the events after this number."""
        return islice(self._events, number, None)
