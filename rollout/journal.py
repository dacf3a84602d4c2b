"""The journal: one JSON object a line, on disk before anything that follows from it is done."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from rollout.errors import JournalError, RefusedError

Record = Mapping[str, JsonValue]


class FileJournal:
    """Appends the records of one rollout to a service's journal file."""

    def __init__(
        self,
        path: Path,
        rollout_id: str,
        now: Callable[[], datetime],
        on_record: Callable[[Record], None] = lambda _: None,
    ) -> None:
        """Append to ``path``; ``on_record`` sees each record once it is on disk."""
        self._path = path
        self.rollout_id = rollout_id
        """What every record is stamped with."""
        self._now = now
        self._on_record = on_record
        self.phase = ""
        """The phase that every record is stamped with."""
        self.dispensable = False
        """Whether to go on without records that cannot be written; the listener still sees them."""
        self._told_of_loss = False
        self._seq = max((int(cast(int, record["seq"])) for record in read_journal(path)), default=0)

    def write(self, kind: str, **fields: JsonValue) -> None:
        """Append one record and wait until it is on disk.

        Raises:
            JournalError: it cannot be written, and the journal is not dispensable.
        """
        self._seq += 1
        at = self._now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        record: dict[str, JsonValue] = {
            "seq": self._seq,
            "at": at,
            "rollout": self.rollout_id,
            "kind": kind,
            "phase": self.phase,
        }
        record |= fields
        try:
            self._append(record)
        except OSError as error:
            if not self.dispensable:
                raise JournalError(f"{self._path}: cannot be written ({error.strerror})") from error
            if not self._told_of_loss:
                self._told_of_loss = True
                text = f"going on without the journal: {self._path} cannot be written ({error.strerror})"
                self._on_record({**record, "kind": "note", "text": text})
        self._on_record(record)

    def _append(self, record: Record) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            # A process killed in the middle of a line must not spoil the next one.
            torn = file.tell() and _last_byte(self._path) != b"\n"
            file.write(b"\n" * bool(torn) + json.dumps(record, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def read_journal(path: Path) -> list[Record]:
    """Read every whole record; none when there is no journal yet.

    Raises:
        RefusedError: the file cannot be read.
    """
    try:
        return list(_records(path)) if path.exists() else []
    except OSError as error:
        raise RefusedError(f"{path}: the journal cannot be read ({error.strerror})") from error


def last_rule_change(records: list[Record]) -> datetime | None:
    """Return when the weighted rule was last changed by us; none when the journal does not say."""
    times = [str(record["at"]) for record in records if record["kind"] == "rule"]
    return datetime.fromisoformat(times[-1]) if times else None


def is_unfinished(records: list[Record]) -> bool:
    """Tell whether the last rollout was begun and never brought to an end."""
    bounds = [record["kind"] for record in records if record["kind"] in ("started", "finished")]
    return bounds[-1:] == ["started"]


def _records(path: Path) -> Iterator[Record]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the line a killed process did not finish
        if isinstance(record, dict) and "seq" in record and "kind" in record:
            yield cast(Record, record)


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
