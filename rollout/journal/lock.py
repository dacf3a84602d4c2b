"""One rollout per stack: a lock with a fencing token, and a mark that asks the lock's holder to stop.

The lock is one document that stays once anything was stored, so its token only grows. The holder renews the lock by
conditional writes. Others watch the document to find out whether the holder is still running: the lock has expired when
the document has not changed for the expiry time. Each watcher measures this time with its own monotonic clock. The
clocks of two machines are never compared, so a clock that jumps cannot end a lock early. A process loses its lock at
once only if it has ended on the watcher's own machine.
"""

import json
import os
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from components.domain.moments import format_rfc3339
from rollout.journal.store import Store, StoreConflictError, Stored, StoreError
from rollout.model.errors import LostLockError, RefusedError, StoppedError
from rollout.ports import Clock
from rollout.system.failures import describe_error
from rollout.system.origin import HOST, ci_run_url
from rollout.system.processes import process_start_time, this_machine
from rollout.system.waits import waiting

LOCK_KEY: Final = "lock"
MARK_KEY: Final = "stop"

# How often a holder checks whether it is asked to stop.
LOOK_SECONDS: Final = 0.25
# How often a holder renews its lock during the expiry time. A few lost renewals must not end the lock.
BEATS_PER_EXPIRY: Final = 6
LONGEST_BEAT_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that holds a lock."""

    what: str
    """The command."""
    host: str
    machine: str
    """The host's boot and process namespace. ``pid`` is valid only there."""
    pid: int
    process_started: str
    """The process's start time in the kernel's clock ticks. It distinguishes processes that had the same pid."""
    since: str
    """When it took the lock, as messages show it."""
    run_url: str

    @property
    def is_here(self) -> bool:
        """Whether the process runs or ran on this machine, so that we can look for it."""
        return self.machine == this_machine() != ""

    @property
    def is_gone(self) -> bool:
        """Whether the process has certainly ended. False on other machines, which cannot know."""
        return self.is_here and process_start_time(self.pid) != self.process_started

    @property
    def is_alive(self) -> bool:
        """Whether the process is certainly running. False on other machines, which cannot know."""
        return self.is_here and process_start_time(self.pid) == self.process_started

    def __str__(self) -> str:
        run = f", {self.run_url}" if self.run_url else ""
        return f"{self.what} (process {self.pid} on {self.host}, since {self.since}{run})"


@dataclass(frozen=True, kw_only=True)
class _Document:
    """The stored lock. ``name`` and ``beat`` make each version differ from all others."""

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
        log: Callable[[str], None] = lambda _: None,
        beats: bool = True,
    ) -> None:
        """Lock the stack whose records are in ``store``, for ``what``.

        Args:
            store: the store of the lock.
            what: the command, shown to others that find the stack locked.
            clock: for waiting until another holder's lock has expired.
            expiry_seconds: how long our lock stays valid without a renewal.
            log: called with messages, such as what the lock waits for.
            beats: whether a thread renews the lock.
        """
        self._store = store
        self._what = what
        self._clock = clock
        self._expiry_seconds = expiry_seconds
        self._log = log
        self._beats = beats
        self._held: tuple[_Document, str] | None = None
        self._watched: tuple[str, float] | None = None
        self._lost = ""
        self._reason: str | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.taken_from: Owner | None = None
        """The former holder, if it had not released the lock. None otherwise."""
        self.left_mark: str | None = None
        """Why that holder had been asked to stop. None when it had not."""

    @property
    def token(self) -> int:
        """The fencing token. It is greater than the tokens of all earlier holders.

        Raises:
            LostLockError: we do not hold it.
        """
        if self._held is None:
            raise LostLockError("the lock of the stack is not held")
        return self._held[0].token

    def __enter__(self) -> Self:
        """Take the lock. If another holder may have ended, first wait until that is certain.

        Raises:
            RefusedError: another holder is running, which the message names, or the lock cannot be written.
        """
        try:
            self.take()
        except StoreError as error:
            raise RefusedError(f"{error}; fix that first") from error
        except StoppedError as error:
            raise RefusedError(f"{error} while waiting for the lock; nothing was changed") from error
        if self._beats:
            self._ended.clear()
            self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.give_back()

    def take(self) -> None:
        """Take the lock.

        Raises:
            RefusedError: another holder is running.
            StoreError: the lock cannot be read or written.
        """
        seen: str | None = None
        began = self._clock.monotonic()
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
                self._log(
                    f"the stack is in use by {known.owner}; waiting up to {known.expiry_seconds:g} s to see whether it "
                    "is still running"
                )
            seen = stored.version
            lasted_seconds = self._clock.monotonic() - began
            what = f"the lock of {known.owner}, which may have ended"
            with waiting(what, at_most_seconds=known.expiry_seconds, lasted_seconds=lasted_seconds):
                self._clock.sleep(min(1.0, known.expiry_seconds / BEATS_PER_EXPIRY))

    def _try(self, stored: Stored | None, known: _Document | None) -> bool:
        mine = _Document(
            token=1 if known is None else known.token + 1,
            name=uuid.uuid4().hex,
            beat=0,
            expiry_seconds=self._expiry_seconds,
            owner=_this_process(self._what),
        )
        try:
            if stored is None:
                version = self._store.create(LOCK_KEY, mine.content())
            else:
                version = self._store.replace(LOCK_KEY, mine.content(), stored.version)
        except StoreConflictError:
            return False  # another command was faster: read again
        self._held, self._lost, self._reason, self._watched = (mine, version), "", None, None
        self.taken_from = None if known is None else known.owner
        self.left_mark = None if known is None or known.owner is None else self._mark_for(known.token)
        return True

    def give_back(self) -> None:
        """Release the lock. The document stays, with the token, unless no record or mark was stored under it."""
        if self._held is None:
            return
        (mine, version), self._held = self._held, None
        try:
            version = self._store.replace(LOCK_KEY, replace(mine, owner=None, beat=mine.beat + 1).content(), version)
            self._store.withdraw(LOCK_KEY, version)
        except StoreConflictError:
            return  # another command holds it by now
        except StoreError as error:
            self._log(f"the lock could not be released: {error}. It expires in {self._expiry_seconds:g} s")

    def renew(self) -> None:
        """Renew the lock. If the write fails, the next renewal tries again: only another holder can end the lock."""
        if self._held is None:
            return
        mine, version = self._held
        beaten = replace(mine, beat=mine.beat + 1)
        try:
            self._held = beaten, self._store.replace(LOCK_KEY, beaten.content(), version)
        except StoreConflictError:
            self._check_conflict(mine)
        except StoreError:
            return

    def _check_conflict(self, mine: _Document) -> None:
        try:
            stored = self._store.read(LOCK_KEY)
            known = None if stored is None else _parse(stored, self._store)
        except (StoreError, RefusedError):
            return
        if stored is not None and known is not None and known.name == mine.name:
            self._held = known, stored.version  # our own renewal, whose answer was lost
        else:
            owner = "a command that has ended" if known is None or known.owner is None else str(known.owner)
            self._lost = f"the stack's lock was lost to {owner}; this process makes no more changes"

    def check(self) -> None:
        """Raise if the lock was lost.

        Raises:
            LostLockError: another command took it. The message names that command.
        """
        if self._lost:
            raise LostLockError(self._lost)

    def owner(self) -> Owner | None:
        """Return the lock's holder. None when nobody holds it, the holder has ended, or the lock has expired.

        Raises:
            RefusedError: the document is not a lock.
            StoreError: the document cannot be read.
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
        """Ask the current holder to stop. Later holders are not affected.

        Raises:
            StoreError: the mark cannot be written.
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
            return  # somebody else is asking, too

    def asked_to_stop(self) -> str | None:
        """Return why we should stop, as of the last look. None when nobody asked, or when we hold no lock."""
        return self._reason

    def look(self) -> None:
        """Check whether we are asked to stop. If the mark cannot be read, the next look tries again."""
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
            fields = json.loads(mark.content)
            return str(fields["reason"]) if fields["token"] == token else None
        except (ValueError, TypeError, KeyError):
            return None  # an incomplete mark asks for nothing

    def _beat(self) -> None:
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


def _this_process(what: str) -> Owner:
    return Owner(
        what=what,
        host=HOST,
        machine=this_machine(),
        pid=os.getpid(),
        process_started=process_start_time(os.getpid()),
        since=format_rfc3339(datetime.now(UTC)),
        run_url=ci_run_url(os.environ),
    )
