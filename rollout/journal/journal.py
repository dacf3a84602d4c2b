"""The journal: one JSON object a record, kept before anything that follows from it is done.

Each append is made on condition that nobody else has appended since the last read. So whoever takes a stack over ends
its former writer with the first record of its own, even one that does not know yet that it has lost the lock.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, cast

from rollout.journal.store import Store, StoreConflictError, Stored, StoreError
from rollout.model.errors import JournalError, LostLockError, RefusedError
from rollout.model.machine import Phase
from rollout.model.records import Body, Kind, Note, Record, Started, read_record
from rollout.model.run import Run, after

# One object holds many records, so that listing and reading stay cheap over years; it is sent whole with each of them.
SEGMENT_RECORDS: Final = 200
SEGMENT_BYTES: Final = 128 * 1024
READERS: Final = 16

# What is told on the way to a rollback's first act.
_AHEAD_OF_THE_RULE: Final = frozenset({Kind.TAKEN_UP, Kind.DECISION, Kind.PHASE})


class Records(Protocol):
    """Where the records of one service are."""

    remote: bool
    """Whether an append takes as long as a call over a network, or as its timeouts."""

    def read(self) -> list[Record]:
        """Read every whole record from the last ``started`` on, or more; the next append continues from here.

        Raises:
            RefusedError: they cannot be read.
        """
        ...

    def history(self) -> list[Record]:
        """Read every whole record there ever was, which may be many.

        Raises:
            RefusedError: they cannot be read.
        """
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Append, and wait until all are kept.

        Raises:
            StoreConflictError: somebody else has appended since we last read or appended.
            StoreError: they cannot be written; none of them was.
        """
        ...


class RecordFile:
    """Records as lines of a file."""

    remote = False

    def __init__(self, path: Path) -> None:
        """Keep them in ``path``."""
        self._path = path
        self._end: int | None = None

    def __str__(self) -> str:
        """Name it as an operator would."""
        return str(self._path)

    def read(self) -> list[Record]:
        """Read every whole record; none when there is no journal yet.

        Raises:
            RefusedError: the file cannot be read.
        """
        content = self._content()
        self._end = len(content)
        return list(_records(content, self._path))

    def history(self) -> list[Record]:
        """Read every whole record; none when there is no journal yet.

        Raises:
            RefusedError: the file cannot be read.
        """
        return list(_records(self._content(), self._path))

    def _content(self) -> bytes:
        try:
            return self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise RefusedError(f"{self._path}: the journal cannot be read ({error.strerror})") from error

    def append(self, records: Sequence[Record]) -> None:
        """Append, and wait until all are on disk.

        Raises:
            StoreConflictError: somebody else has appended since we last read or appended.
            StoreError: they cannot be written; none of them was.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # No buffer: what a full disk did not take would be written on closing, after it was taken back.
            with self._path.open("ab+", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                end = file.seek(0, os.SEEK_END)
                if self._end is not None and end != self._end:
                    raise StoreConflictError(f"{self._path}: was written by somebody else meanwhile")
                file.seek(max(0, end - 1))
                # A process killed in the middle of a line must not spoil the next one.
                torn = file.read(1) not in (b"", b"\n")
                try:
                    left = memoryview(b"\n" * torn + _lines(records))
                    while left:
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self._path, end)
                    raise
                self._end = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written ({error.strerror})") from error


class RecordObjects:
    """Records as documents of a store, each with the lines of many; a pointer names the one that holds ``started``."""

    remote = True

    def __init__(self, store: Store, folder: str) -> None:
        """Keep them in ``folder`` of the store."""
        self._store = store
        self._folder = folder
        self._key: str | None = None
        self._content = b""
        self._version: str | None = None
        self._attempted: tuple[str, bytes] | None = None
        """What was sent last without an answer: it may be there, or not."""

    def __str__(self) -> str:
        """Name it as an operator would."""
        return f"{self._store}/{self._folder}"

    def read(self) -> list[Record]:
        """Read every record from the last ``started`` on, or more; the next append continues from here.

        Raises:
            RefusedError: they cannot be read.
        """
        try:
            pointer = self._store.read(self._pointer)
            found = self._segments(int(pointer.content) if pointer is not None else 1)
        except StoreError as error:
            raise RefusedError(f"the journal cannot be read: {error}") from error
        self._attempted = None
        if found:
            self._key, last = found[-1]
            self._content, self._version = last.content, last.version
        return [record for key, stored in found for record in _records(stored.content, key)]

    def history(self) -> list[Record]:
        """Read every record, of all segments.

        Raises:
            RefusedError: they cannot be read.
        """
        try:
            found = self._segments(1)
        except StoreError as error:
            raise RefusedError(f"the journal cannot be read: {error}") from error
        return [record for key, stored in found for record in _records(stored.content, key)]

    def _segments(self, first: int) -> list[tuple[str, Stored]]:
        """Read the segments from the one that begins with this record on, with their keys."""
        keys = self._store.keys(f"{self._folder}/", after=self._segment(first - 1))
        keys = [key for key in keys if key.endswith(".jsonl")]
        with ThreadPoolExecutor(READERS) as pool:
            segments = list(pool.map(self._store.read, keys))
        return [(key, stored) for key, stored in zip(keys, segments, strict=True) if stored is not None]

    def append(self, records: Sequence[Record]) -> None:
        """Append, and wait until all are kept.

        Raises:
            StoreConflictError: somebody else has appended since we last read or appended.
            StoreError: they cannot be written, as far as one can tell.
        """
        lines = _lines(records)
        # What was written before decides alone, so two writers that know the same reach for the same object.
        if self._key is None or self._content.count(b"\n") >= SEGMENT_RECORDS or len(self._content) >= SEGMENT_BYTES:
            self._put(self._segment(records[0].seq), b"", lines, None)
        else:
            self._put(self._key, self._content, lines, self._version)
        if any(isinstance(record.body, Started) for record in records):
            self._point_to_last()

    def _put(self, key: str, before: bytes, lines: bytes, version: str | None) -> None:
        content = before + lines
        try:
            written = self._send(key, content, version)
        except StoreConflictError:
            if self._attempted is None or (stored := self._store.read(self._attempted[0])) is None:
                raise
            if stored.content != self._attempted[1]:
                raise
            # What we took for lost did arrive: go on behind it.
            self._key, self._content, self._version = self._attempted[0], stored.content, stored.version
            key, content = self._key, self._content + lines
            written = self._send(key, content, self._version)
        self._key, self._content, self._version, self._attempted = key, content, written, None

    def _send(self, key: str, content: bytes, version: str | None) -> str:
        try:
            if version is None:
                return self._store.create(key, content)
            return self._store.replace(key, content, version)
        except StoreConflictError:
            raise
        except StoreError:
            self._attempted = (key, content)
            raise

    def _point_to_last(self) -> None:
        first = (self._key or "").rpartition("/")[2].removesuffix(".jsonl")
        pointer, content = self._store.read(self._pointer), first.encode()
        if pointer is None:
            self._store.create(self._pointer, content)
        else:
            self._store.replace(self._pointer, content, pointer.version)

    @property
    def _pointer(self) -> str:
        return f"{self._folder}/started"

    def _segment(self, first: int) -> str:
        return f"{self._folder}/{first:010}.jsonl"


class Journal:
    """Writes the records of one rollout."""

    def __init__(
        self,
        records: Records,
        *,
        rollout_id: str,
        token: int,
        last_seq: int,
        run: Run | None,
        now: Callable[[], datetime],
        on_record: Callable[[Record], None] = lambda _: None,
    ) -> None:
        """Continue after ``last_seq``; ``on_record`` sees each record once it is kept.

        Args:
            records: where they are kept.
            rollout_id: the rollout that they belong to.
            token: the lock's, so that every record says under which lock it was written.
            last_seq: the number of the last record there is.
            run: what the records so far add up to. None when there is no run.
            now: the time.
            on_record: sees each record.
        """
        self._records = records
        self.rollout_id = rollout_id
        """What every record is stamped with."""
        self._token = token
        self._seq = last_seq
        self.run = run
        """What the records add up to, those included that could not be kept."""
        self._now = now
        self._on_record = on_record
        self.phase: Phase | None = None
        """The phase that every record is stamped with."""
        self.best_effort = False
        """Whether to go on without records that cannot be written; the listener still sees them."""
        self._told_of_loss = False
        self._waiting: list[Record] = []
        """Records that were told but are not kept yet."""

    def write(self, body: Body) -> None:
        """Append one record and wait until it is kept.

        On the way to a rollback's first act a journal beyond a network is not waited for: its records follow at once
        after the rule. What could not be written while it was best_effort is written when that is possible again.

        Raises:
            JournalError: it cannot be written, and the journal is not best_effort.
            LostLockError: somebody else has taken the stack over.
        """
        self._seq += 1
        record = self._stamped(self._seq, body)
        self._waiting.append(record)
        if not self._is_put_off(body.kind):
            self._keep(record)
        self.run = after(self.run, record)
        self._on_record(record)

    def _stamped(self, seq: int, body: Body) -> Record:
        return Record(seq=seq, at=self._now(), rollout=self.rollout_id, token=self._token, phase=self.phase, body=body)

    def _is_put_off(self, kind: Kind) -> bool:
        if not self._records.remote:
            return False
        # Each attempt at a journal that does not answer takes as long as its timeouts.
        given_up = self._told_of_loss and self.best_effort and kind is not Kind.FINISHED
        return given_up or (self.phase == Phase.ROLLING_BACK and kind in _AHEAD_OF_THE_RULE)

    def _keep(self, record: Record) -> None:
        try:
            self._records.append(self._waiting)
        except StoreConflictError as error:
            raise LostLockError(
                f"somebody else has taken the stack over ({error}); this process changes nothing more. See who with "
                "scripts.status"
            ) from error
        except StoreError as error:
            if not self.best_effort:
                self._waiting.remove(record)
                raise JournalError(str(error)) from error
            if not self._told_of_loss:
                self._told_of_loss = True
                self._on_record(self._stamped(0, Note(text=f"going on without the journal: {error}")))
        else:
            self._waiting.clear()


def last_seq(records: Sequence[Record]) -> int:
    """Return the number of the last record; 0 when there is none."""
    return max((record.seq for record in records), default=0)


def _lines(records: Sequence[Record]) -> bytes:
    return b"".join(json.dumps(record.as_json(), ensure_ascii=False).encode() + b"\n" for record in records)


def _records(content: bytes, where: object) -> Iterator[Record]:
    """Read the whole lines.

    Raises:
        RefusedError: a whole line is no record that this version knows: what it decides is not known.
    """
    # Bytes have no other ends of lines than text may have: only a record's own counts.
    for line in content.split(b"\n"):
        try:
            fields = json.loads(line.decode(errors="replace"))
        except ValueError:
            continue  # the line a killed process did not finish
        if isinstance(fields, dict) and "seq" in fields and "kind" in fields:
            try:
                yield read_record(cast(dict[str, Any], fields))
            except ValueError as error:
                raise RefusedError(
                    f"{where}: {error}. Use the version of the scripts that wrote it, or move the journal away once "
                    "nothing is under way"
                ) from error
