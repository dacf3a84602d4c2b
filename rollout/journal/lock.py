"""One rollout per stack: a lock with a fencing token, and a mark by which others ask its holder to stop.

The lock is one document that is never removed, so its token only ever grows. Its holder renews it by conditional
writes. Whether a holder still lives is judged by watching: a lock whose document has not changed for its expiry, by the
watcher's own monotonic clock, is over. No two machines' clocks are compared, so a clock that jumps ends no lock early.
Only a process that is known to have ended, on this very machine, loses its lock at once.
"""

import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from components.domain.moments import format_rfc3339
from rollout.journal.store import Store, StoreConflictError, Stored, StoreError
from rollout.model.errors import LostLockError, RefusedError, StoppedError
from rollout.ports import Clock
from rollout.system.failures import describe_error
from rollout.system.processes import process_start_time, this_machine

LOCK_KEY: Final = "lock"
MARK_KEY: Final = "stop"

# How often a holder looks whether it is asked to stop.
LOOK_SECONDS: Final = 0.25
# How often a holder renews its lock: often enough that a few lost renewals end nothing.
BEATS_PER_EXPIRY: Final = 6
LONGEST_BEAT_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lock."""

    what: str
    host: str
    machine: str
    """The host's boot and process namespace: where ``pid`` means this process and no other."""
    pid: int
    process_started: str
    """When the process began, in the kernel's own count: a number used again is another process."""
    since: str
    run_url: str

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, where we can see its process."""
        return self.machine == this_machine() != ""

    @property
    def is_gone(self) -> bool:
        """Whether its process has ended for certain; only its own machine can tell."""
        return self.is_here and process_start_time(self.pid) != self.process_started

    @property
    def is_alive(self) -> bool:
        """Whether its process runs for certain; only its own machine can tell."""
        return self.is_here and process_start_time(self.pid) == self.process_started

    def __str__(self) -> str:
        run = f", {self.run_url}" if self.run_url else ""
        return f"{self.what} (process {self.pid} on {self.host}, since {self.since}{run})"


@dataclass(frozen=True, kw_only=True)
class _Document:
    """The lock as it is stored. ``name`` and ``beat`` make every version differ from all others."""

    token: int
    name: str
    beat: int
    expiry_seconds: float
    owner: Owner | None

    def content(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Lock:
    """The lock of one stack, as a context manager."""

    def __init__(
        self,
        store: Store,
        what: str,
        *,
        clock: Clock,
        expiry_seconds: float,
        tell: Callable[[str], None] = lambda _: None,
        beats: bool = True,
    ) -> None:
        """Lock the stack whose records are in ``store``, for ``what``.

        Args:
            store: where the lock is.
            what: the command, for whoever finds the stack locked.
            clock: for waits until another's lock is over.
            expiry_seconds: how long our own lock may show no sign of life.
            tell: hears what the lock waits for.
            beats: whether a thread of its own renews it.
        """
        self._store = store
        self._what = what
        self._clock = clock
        self._expiry_seconds = expiry_seconds
        self._tell = tell
        self._beats = beats
        self._held: tuple[_Document, str] | None = None
        self._watched: tuple[str, float] | None = None
        self._lost = ""
        self._reason: str | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.taken_from: Owner | None = None
        """Whose lock was taken over without it having been given back."""
        self.left_mark: str | None = None
        """Why that owner had been asked to stop, if it had."""

    @property
    def token(self) -> int:
        """The fencing token: greater than that of everybody who held the lock before.

        Raises:
            LostLockError: we do not hold it.
        """
        if self._held is None:
            raise LostLockError("the lock of the stack is not held")
        return self._held[0].token

    def __enter__(self) -> Self:
        """Take the lock, waiting for as long as it takes to know whether another holder is gone.

        Raises:
            RefusedError: somebody else holds it, the message says who; or it cannot be written.
        """
        try:
            self.take()
        except StoreError as error:
            raise RefusedError(f"{error}; mend that first") from error
        except StoppedError as error:
            raise RefusedError(f"{error} while waiting for the lock; nothing was changed") from error
        if self._beats:
            self._ended.clear()
            self._thread = threading.Thread(target=self._live, daemon=True, name="heartbeat")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.give_back()

    def take(self) -> None:
        """Take the lock.

        Raises:
            RefusedError: somebody else holds it and lives.
            StoreError: it cannot be read or written.
        """
        seen: str | None = None
        while True:
            stored = self._store.read(LOCK_KEY)
            known = None if stored is None else _parse(stored, self._store)
            if stored is None or known is None or self._is_over(stored, known):
                if self._try(stored, known):
                    return
                continue
            if (known.owner is not None and known.owner.is_alive) or seen not in (None, stored.version):
                raise RefusedError(
                    f"the stack is in use by {known.owner}; wait until it ends, or run scripts.rollback to end it"
                )
            if seen is None:
                self._tell(
                    f"the stack is in use by {known.owner}; watching for {known.expiry_seconds:g} s whether that is "
                    "still alive"
                )
            seen = stored.version
            self._clock.sleep(min(1.0, known.expiry_seconds / BEATS_PER_EXPIRY))

    def _try(self, stored: Stored | None, known: _Document | None) -> bool:
        mine = _Document(
            token=1 if known is None else known.token + 1,
            name=uuid.uuid4().hex,
            beat=0,
            expiry_seconds=self._expiry_seconds,
            owner=_ourselves(self._what),
        )
        try:
            if stored is None:
                version = self._store.create(LOCK_KEY, mine.content())
            else:
                version = self._store.replace(LOCK_KEY, mine.content(), stored.version)
        except StoreConflictError:
            return False  # another was quicker: look again
        self._held, self._lost, self._reason, self._watched = (mine, version), "", None, None
        self.taken_from = None if known is None else known.owner
        self.left_mark = None if known is None or known.owner is None else self._mark_for(known.token)
        return True

    def give_back(self) -> None:
        """Leave the lock free, with its token."""
        if self._held is None:
            return
        (mine, version), self._held = self._held, None
        try:
            self._store.replace(LOCK_KEY, replace(mine, owner=None, beat=mine.beat + 1).content(), version)
        except StoreConflictError:
            return  # it is another's by now
        except StoreError as error:
            self._tell(f"the lock could not be given back: {error}. It ends in {self._expiry_seconds:g} s")

    def renew(self) -> None:
        """Show that we live. What cannot be written is tried again next time; only another's word ends a lock."""
        if self._held is None:
            return
        mine, version = self._held
        beaten = replace(mine, beat=mine.beat + 1)
        try:
            self._held = beaten, self._store.replace(LOCK_KEY, beaten.content(), version)
        except StoreConflictError:
            self._judge_loss(mine)
        except StoreError:
            return

    def _judge_loss(self, mine: _Document) -> None:
        try:
            stored = self._store.read(LOCK_KEY)
            known = None if stored is None else _parse(stored, self._store)
        except (StoreError, RefusedError):
            return
        if stored is not None and known is not None and known.name == mine.name:
            self._held = known, stored.version  # a renewal whose answer was lost
        else:
            owner = "somebody who is gone again" if known is None or known.owner is None else str(known.owner)
            self._lost = f"the stack's lock was lost to {owner}; this process changes nothing more"

    def check(self) -> None:
        """Raise if the lock was lost.

        Raises:
            LostLockError: with who took it.
        """
        if self._lost:
            raise LostLockError(self._lost)

    def owner(self) -> Owner | None:
        """Return who holds the lock; none when nobody does, or when its holder has ended or shown no life for long.

        Raises:
            RefusedError: the document is there but says nothing that we understand.
            StoreError: it cannot be read.
        """
        stored = self._store.read(LOCK_KEY)
        if stored is None:
            return None
        known = _parse(stored, self._store)
        return None if self._is_over(stored, known) else known.owner

    def _is_over(self, stored: Stored, known: _Document) -> bool:
        if known.owner is None or known.owner.is_gone:
            return True
        now = self._clock.monotonic()
        if self._watched is None or self._watched[0] != stored.version:
            self._watched = stored.version, now
        return now - self._watched[1] >= known.expiry_seconds

    def ask_to_stop(self, reason: str) -> None:
        """Ask the holder to stop: this one, none that comes after it.

        Raises:
            StoreError: that cannot be written.
        """
        stored = self._store.read(LOCK_KEY)
        if stored is None:
            return
        content = json.dumps({"token": _parse(stored, self._store).token, "reason": reason}).encode()
        mark = self._store.read(MARK_KEY)
        try:
            if mark is None:
                self._store.create(MARK_KEY, content)
            else:
                self._store.replace(MARK_KEY, content, mark.version)
        except StoreConflictError:
            return  # somebody else asks, too

    def asked_to_stop(self) -> str | None:
        """Return why we should stop, as of the last look; none when nobody asked, or we hold nothing."""
        return self._reason

    def look(self) -> None:
        """Look whether we are asked to stop. What cannot be read is looked at again next time."""
        if self._held is None:
            return
        try:
            self._reason = self._mark_for(self._held[0].token)
        except StoreError:
            return

    def _mark_for(self, token: int) -> str | None:
        mark = self._store.read(MARK_KEY)
        if mark is None:
            return None
        try:
            said = json.loads(mark.content)
            return str(said["reason"]) if said["token"] == token else None
        except (ValueError, TypeError, KeyError):
            return None  # half a mark asks for nothing

    def _live(self) -> None:
        beat_seconds = min(LONGEST_BEAT_SECONDS, self._expiry_seconds / BEATS_PER_EXPIRY)
        due = self._clock.monotonic() + beat_seconds
        while not self._ended.wait(min(LOOK_SECONDS, beat_seconds)):
            self.look()
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + beat_seconds
                self.renew()


def _parse(stored: Stored, store: Store) -> _Document:
    try:
        fields: dict[str, Any] = json.loads(stored.content)
        owner = fields.pop("owner")
        return _Document(owner=None if owner is None else Owner(**owner), **fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RefusedError(
            f"{store}/{LOCK_KEY}: cannot be read as a lock ({describe_error(error)}); when no rollout runs, delete it"
        ) from error


def _ourselves(what: str) -> Owner:
    return Owner(
        what=what,
        host=socket.gethostname(),
        machine=this_machine(),
        pid=os.getpid(),
        process_started=process_start_time(os.getpid()),
        since=format_rfc3339(datetime.now(UTC)),
        run_url=_run_url(os.environ),
    )


def _run_url(environment: Mapping[str, str]) -> str:
    """Return the page of the GitHub Actions run that we are part of; empty outside of one."""
    parts = [environment.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""
