"""The journal: one JSON object per record. A record is stored before anything that depends on it is done.

An append succeeds only if nobody else has appended since the last read. So when a command takes over a stack, its first
record stops the former writer, even if that writer does not know yet that it has lost the lock.
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

# One object holds many records, so listing and reading stay cheap over years. Each append sends the whole object.
SEGMENT_RECORDS: Final = 200
SEGMENT_BYTES: Final = 128 * 1024
READERS: Final = 16

# The first records of a rollback. A journal on a network stores them together with the record of the rule change.
_DEFERRABLE: Final = frozenset({Kind.TAKEN_UP, Kind.DECISION, Kind.PHASE})


class Records(Protocol):
    """The stored records of one service."""

    remote: bool
    """Whether an append goes over a network, so that it may take as long as the timeouts."""

    def read(self) -> list[Record]:
        """Read all complete records from the last ``started`` on, or more. The next append continues after them.

        Raises:
            RefusedError: the records cannot be read.
        """
        ...

    def history(self) -> list[Record]:
        """Read all complete records. There may be many.

        Raises:
            RefusedError: the records cannot be read.
        """
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Append records, and wait until all are stored.

        Raises:
            StoreConflictError: somebody else has appended since our last read or append.
            StoreError: the records cannot be written; none was written.
        """
        ...


class RecordFile:
    """Records as lines of a file."""

    remote = False

    def __init__(self, path: Path) -> None:
        """Store the records in ``path``."""
        self._path = path
        self._end: int | None = None

    def __str__(self) -> str:
        """Return the path, for messages."""
        return str(self._path)

    def read(self) -> list[Record]:
        """Read all complete records. Empty when there is no journal yet.

        Raises:
            RefusedError: the file cannot be read.
        """
        content = self._content()
        self._end = len(content)
        return list(_records(content, self._path))

    def history(self) -> list[Record]:
        """Read all complete records. Empty when there is no journal yet.

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
        """Append records, and wait until all are on disk.

        Raises:
            StoreConflictError: somebody else has appended since our last read or append.
            StoreError: the records cannot be written; none was written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # No buffer: after a full disk, closing the file would write the rest of the buffer to the truncated file.
            with self._path.open("ab+", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                end = file.seek(0, os.SEEK_END)
                if self._end is not None and end != self._end:
                    raise StoreConflictError(f"{self._path}: was written by somebody else in the meantime")
                file.seek(max(0, end - 1))
                # End a line that a killed process left incomplete, so that it does not spoil the next one.
                is_incomplete = file.read(1) not in (b"", b"\n")
                try:
                    left = memoryview(b"\n" * is_incomplete + _lines(records))
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
    """Records as documents of a store, many in each. A pointer names the document with the last ``started``."""

    remote = True

    def __init__(self, store: Store, folder: str) -> None:
        """Store the records in ``folder`` of the store."""
        self._store = store
        self._folder = folder
        self._key: str | None = None
        self._content = b""
        self._version: str | None = None
        self._unanswered: tuple[str, bytes] | None = None
        """The key and content of the last write, if it got no answer. The store may have them or not."""

    def __str__(self) -> str:
        """Return the folder's location, for messages."""
        return f"{self._store}/{self._folder}"

    def read(self) -> list[Record]:
        """Read all records from the last ``started`` on, or more. The next append continues after them.

        Raises:
            RefusedError: the records cannot be read.
        """
        try:
            pointer = self._store.read(self._pointer)
            found = self._segments(int(pointer.content) if pointer is not None else 1)
        except StoreError as error:
            raise RefusedError(f"the journal cannot be read: {error}") from error
        self._unanswered = None
        if found:
            self._key, last = found[-1]
            self._content, self._version = last.content, last.version
        return [record for key, stored in found for record in _records(stored.content, key)]

    def history(self) -> list[Record]:
        """Read all records of all segments.

        Raises:
            RefusedError: the records cannot be read.
        """
        try:
            found = self._segments(1)
        except StoreError as error:
            raise RefusedError(f"the journal cannot be read: {error}") from error
        return [record for key, stored in found for record in _records(stored.content, key)]

    def _segments(self, first: int) -> list[tuple[str, Stored]]:
        """Read the segments with their keys, from the one that starts with this record on."""
        keys = self._store.keys(f"{self._folder}/", after=self._segment(first - 1))
        keys = [key for key in keys if key.endswith(".jsonl")]
        with ThreadPoolExecutor(READERS) as pool:
            segments = list(pool.map(self._store.read, keys))
        return [(key, stored) for key, stored in zip(keys, segments, strict=True) if stored is not None]

    def append(self, records: Sequence[Record]) -> None:
        """Append records, and wait until all are stored.

        Raises:
            StoreConflictError: somebody else has appended since our last read or append.
            StoreError: the records cannot be written, or the store's answer was lost.
        """
        lines = _lines(records)
        # Only the earlier records decide which object to write, so two writers with the same ones get a conflict.
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
            if self._unanswered is None or (stored := self._store.read(self._unanswered[0])) is None:
                raise
            if stored.content != self._unanswered[1]:
                raise
            # The store has the unanswered write: continue after it.
            self._key, self._content, self._version = self._unanswered[0], stored.content, stored.version
            key, content = self._key, self._content + lines
            written = self._send(key, content, self._version)
        self._key, self._content, self._version, self._unanswered = key, content, written, None

    def _send(self, key: str, content: bytes, version: str | None) -> str:
        try:
            if version is None:
                return self._store.create(key, content)
            return self._store.replace(key, content, version)
        except StoreConflictError:
            raise
        except StoreError:
            self._unanswered = (key, content)
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
        """Continue after record ``last_seq``.

        Args:
            records: the store of the records.
            rollout_id: the rollout that the records belong to.
            token: the lock's token. Every record contains it, to show under which lock it was written.
            last_seq: the number of the last stored record. 0 when there is none.
            run: the run that the stored records describe. None when there is no run.
            now: returns the current time.
            on_record: called with each record, once it is stored, deferred, or lost while the journal is best effort.
        """
        self._records = records
        self.rollout_id = rollout_id
        """The rollout's id, which every record contains."""
        self._token = token
        self._seq = last_seq
        self.run = run
        """The run that the records describe, including the records that are not stored yet."""
        self._now = now
        self._on_record = on_record
        self.phase: Phase | None = None
        """The current phase, which every record contains."""
        self.best_effort = False
        """Whether to continue when records cannot be written. ``on_record`` is still called with them."""
        self._reported_failure = False
        self._unstored: list[Record] = []
        """Records that are still to be stored."""

    def write(self, body: Body) -> None:
        """Append one record and wait until it is stored.

        At the start of a rollback, nothing waits for a journal on a network: the first records are stored together with
        the record of the rule change. Records that could not be written while the journal was best effort are stored as
        soon as a write succeeds again.

        Raises:
            JournalError: the record cannot be written, and the journal is not best effort.
            LostLockError: another command has taken over the stack.
        """
        self._seq += 1
        record = self._record(self._seq, body)
        self._unstored.append(record)
        if not self._is_deferred(body.kind):
            self._flush(record)
        self.run = after(self.run, record)
        self._on_record(record)

    def _record(self, seq: int, body: Body) -> Record:
        return Record(seq=seq, at=self._now(), rollout=self.rollout_id, token=self._token, phase=self.phase, body=body)

    def _is_deferred(self, kind: Kind) -> bool:
        if not self._records.remote:
            return False
        # While the store does not answer, each write takes as long as the timeouts.
        has_given_up = self._reported_failure and self.best_effort and kind is not Kind.FINISHED
        return has_given_up or (self.phase == Phase.ROLLING_BACK and kind in _DEFERRABLE)

    def _flush(self, record: Record) -> None:
        try:
            self._records.append(self._unstored)
        except StoreConflictError as error:
            raise LostLockError(
                f"another command has taken over the stack ({error}); this process makes no more changes. "
                "scripts.status shows the other command"
            ) from error
        except StoreError as error:
            if not self.best_effort:
                self._unstored.remove(record)
                raise JournalError(str(error)) from error
            if not self._reported_failure:
                self._reported_failure = True
                self._on_record(self._record(0, Note(text=f"continuing without the journal: {error}")))
        else:
            self._unstored.clear()


def last_seq(records: Sequence[Record]) -> int:
    """Return the number of the last record. 0 when there are no records."""
    return max((record.seq for record in records), default=0)


def _lines(records: Sequence[Record]) -> bytes:
    return b"".join(json.dumps(record.as_json(), ensure_ascii=False).encode() + b"\n" for record in records)


def _records(content: bytes, where: object) -> Iterator[Record]:
    """Yield the records of all complete lines.

    Raises:
        RefusedError: a complete line is not a record that this version knows, so its effect is unknown.
    """
    # Only a newline byte ends a record. Splitting text would also split at other line ends, inside a record.
    for line in content.split(b"\n"):
        try:
            fields = json.loads(line.decode(errors="replace"))
        except ValueError:
            continue  # a killed process did not finish this line
        if isinstance(fields, dict) and "seq" in fields and "kind" in fields:
            try:
                yield read_record(cast(dict[str, Any], fields))
            except ValueError as error:
                raise RefusedError(
                    f"{where}: {error}. Use the version of the scripts that wrote it, or move the journal away if no "
                    "rollout is unfinished"
                ) from error
