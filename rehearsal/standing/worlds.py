"""Worlds that stay: what is known of each, for commands that come later."""

import contextlib
import difflib
import os
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

from rehearsal.aws.client import AwsAdmin
from rehearsal.world.hold import end_processes, hold, is_ours, mark, remove_if_left, take_down
from rehearsal.world.world import World, aws_settings_of

_RECORD = "world.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_CLAIM_TIMEOUT_SECONDS = 2.0
_POLL_SECONDS = 0.05


class StandingError(Exception):
    """There is no such world, or it cannot be had now."""


class Record(BaseModel):
    """A world that stands."""

    name: str
    folder: Path
    since: datetime
    keeper: int
    """Number of the process that all others end with."""
    processes: dict[str, int]
    """Process numbers by name."""
    engine: str
    load_balancer_controller: str
    endpoint_url: str
    kubeconfig: Path
    environment: dict[str, str]

    @classmethod
    def of(cls, world: World) -> Self:
        """The record of a world that this process has built and keeps."""
        return cls(
            name=world.folder.name,
            folder=world.folder,
            since=datetime.now(UTC),
            keeper=os.getpid(),
            processes={process.name: process.pid for process in world.processes},
            engine=world.engine,
            load_balancer_controller=world.load_balancer_controller,
            endpoint_url=world.endpoint_url,
            kubeconfig=world.kubeconfig,
            environment=dict(world.environment),
        )

    def write(self) -> None:
        """Let other commands find the world. Only the owner may read it: it holds the passphrase."""
        unfinished = self.folder / f".{_RECORD}"
        unfinished.touch(mode=0o600)
        unfinished.write_text(self.model_dump_json(indent=2))
        unfinished.rename(self.folder / _RECORD)

    @contextmanager
    def world(self) -> Generator[World]:
        """The world, for commands and clients."""
        with AwsAdmin(aws_settings_of(self.folder).admin_port) as aws:
            yield World(
                folder=self.folder,
                engine=self.engine,
                load_balancer_controller=self.load_balancer_controller,
                environment=self.environment,
                aws=aws,
                kubeconfig=self.kubeconfig,
                endpoint_url=self.endpoint_url,
            )


class Worlds:
    """All worlds of one out folder; ``say`` is told of what had to be tidied up."""

    def __init__(self, out: Path, say: Callable[[str], None]) -> None:
        self._folder = out / "worlds"
        self._say = say

    def folder(self, name: str) -> Path:
        """Where a world is, or would be. Raises StandingError when it cannot be a name."""
        if not _NAME.fullmatch(name):
            raise StandingError(
                f"--world {name}: a name has up to 31 lower-case letters, digits and hyphens, and begins with no hyphen"
            )
        folder = self._folder / name
        if folder.exists() and not is_ours(folder):
            raise StandingError(f"--world {name}: {folder} is no world; remove it, or choose another name")
        return folder

    def names(self) -> list[str]:
        """All worlds that stand or are being built."""
        if not self._folder.is_dir():
            return []
        found = sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
        return [path.name for path in found if is_ours(path) and not self._tidied(path)]

    def find(self, name: str) -> Record | None:
        """The world of this name, if it stands.

        Raises:
            StandingError: it is being built or taken down, or was built by another version of this program.
        """
        folder = self.folder(name)
        if not folder.exists() or self._tidied(folder):
            return None
        try:
            return Record.model_validate_json((folder / _RECORD).read_bytes())
        except FileNotFoundError:
            raise StandingError(f"world {name} is being built or taken down just now; try again later") from None
        except ValidationError:
            raise StandingError(f"world {name} was built by another version of this; take it down first") from None

    def get(self, name: str) -> Record:
        """The world of this name. Raises StandingError when it does not stand."""
        record = self.find(name)
        if record is None:
            raise StandingError(self._unknown(name))
        return record

    def claim(self, name: str) -> tuple[Path, int]:
        """Make a new world's folder; the folder and the descriptor of its lock. Raises StandingError if it exists."""
        folder = self.folder(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _CLAIM_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            # Another command may take the folder, as long as it is empty, for a left one, and removes it then.
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                if (descriptor := hold(folder)) is not None:
                    mark(folder)
                    end_processes(folder)  # Of a world whose folder somebody has removed.
                    return folder, descriptor
            time.sleep(_POLL_SECONDS)
        raise StandingError(f"world {name} is being built or taken down by another command")

    def down(self, name: str) -> None:
        """Take a world down, also one that is being built, and wait until nothing of it is left.

        Raises:
            StandingError: there is no such world.
        """
        folder = self.folder(name)
        if not folder.exists():
            raise StandingError(self._unknown(name))
        if not self._tidied(folder):
            take_down(folder)

    def _tidied(self, folder: Path) -> bool:
        if not remove_if_left(folder):
            return False
        self._say(f"world {folder.name} has lost its keeper (killed, or a restart); what it left has been removed")
        return True

    def _unknown(self, name: str) -> str:
        names = self.names()
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            return f"no world {name} stands; did you mean {near[0]}?"
        return f"no world {name} stands" + (f"; there are: {', '.join(names)}" if names else "; `up` builds one")
