"""One rollout per stack: a lock file that names its owner, and a mark by which others ask the owner to stop."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from rollout.errors import RefusedError
from rollout.failures import plain


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lock."""

    what: str
    host: str
    pid: int
    since: str

    @property
    def is_gone(self) -> bool:
        """Whether its process has ended; only its own host can tell."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid} on {self.host}, since {self.since})"


class Lock:
    """The lock of one stack, as a context manager."""

    def __init__(self, folder: Path, what: str) -> None:
        """Lock the stack whose records are in ``folder``, for ``what``."""
        self._path = folder / "lock"
        self._mark = folder / "stop"
        self._what = what

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            RefusedError: somebody else holds it, the message says who; or it cannot be written.
        """
        try:
            return self._take()
        except OSError as error:
            raise RefusedError(f"{self._path}: cannot be written ({error.strerror}); mend that first") from error

    def _take(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if (owner := self.owner()) is not None:
            raise RefusedError(f"the stack is in use by {owner}; wait until it ends, or run scripts.rollback to end it")
        mine = Owner(
            what=self._what,
            host=socket.gethostname(),
            pid=os.getpid(),
            since=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        )
        draft = self._path.with_name(f"lock.{os.getpid()}")
        try:
            draft.write_text(json.dumps(asdict(mine)), encoding="utf-8")
            # A link appears whole or not at all, and only one process can make it.
            self._path.hardlink_to(draft)
        except FileExistsError as error:
            raise RefusedError(f"the stack is in use by {self.owner()}; wait until it ends") from error
        finally:
            draft.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self._path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    def owner(self) -> Owner | None:
        """Return who holds the lock; a lock whose process is gone is cleared away first.

        Raises:
            RefusedError: the file is there but says nothing that we understand.
        """
        try:
            owner = Owner(**json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise RefusedError(
                f"{self._path}: cannot be read as a lock ({plain(error)}); when no rollout runs, delete the file"
            ) from error
        if owner.is_gone:
            self._path.unlink(missing_ok=True)
            return None
        return owner

    def ask_to_stop(self, reason: str) -> None:
        """Ask the owner to stop."""
        self._mark.write_text(reason, encoding="utf-8")

    def asked_to_stop(self) -> str | None:
        """Return why the owner should stop; none when nobody asked."""
        try:
            return self._mark.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
