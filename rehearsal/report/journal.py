"""Reads the journal of the product's scripts from its file."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class JournalTail:
    """The records of a journal. Each read continues where the last one ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.records: list[Record] = []

    def look(self) -> None:
        """Read the records since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        end = 0
        for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
            end += len(line)
            # A line may be half a record, after a kill or on a full disk. The writer may also remove it again.
            with suppress(ValueError):
                self.records.append(json.loads(line))
                self._offset += end
                end = 0


def at(record: Record) -> float:
    """Return a record's time in seconds since the epoch."""
    return datetime.fromisoformat(record["at"]).timestamp()


def of_kind(records: Iterable[Record], kind: str, **fields: object) -> Iterator[Record]:
    """Yield the records of one kind with these field values."""
    for record in records:
        if record["kind"] == kind and all(record.get(name) == value for name, value in fields.items()):
            yield record
