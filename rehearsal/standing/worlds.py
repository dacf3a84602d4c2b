"""Worlds that stay up: the records through which later commands find them."""

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
    """The world does not exist, or is not available now."""


class Record(BaseModel):
    """A world that is up."""

    name: str
    folder: Path
    since: datetime
    keeper: int
    """Id of the process whose end ends all others."""
    processes: dict[str, int]
    """Process ids by name."""
    engine: str
    load_balancer_controller: str
    endpoint_url: str
    kubeconfig: Path
    environment: dict[str, str]

    @classmethod
    def of(cls, world: World) -> Self:
        """Make the record of a world that this process has built and keeps up."""
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
        """Write the record, for other commands to find the world. Only the owner may read it: it opens the world."""
        unfinished = self.folder / f".{_RECORD}"
        unfinished.touch(mode=0o600)
        unfinished.write_text(self.model_dump_json(indent=2))
        unfinished.rename(self.folder / _RECORD)

    @contextmanager
    def world(self) -> Generator[World]:
        """Give the world, for commands and clients."""
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
    """All worlds of one out folder. ``say`` is called with what had to be tidied up."""

    def __init__(self, out: Path, say: Callable[[str], None]) -> None:
        self._folder = out / "worlds"
        self._say = say

    def folder(self, name: str) -> Path:
        """Return a world's folder, which may not exist. Raises StandingError when the name is invalid."""
        if not _NAME.fullmatch(name):
            raise StandingError(
                f"--world {name}: a name has up to 31 lower-case letters, digits and hyphens, and no leading hyphen"
            )
        folder = self._folder / name
        if folder.exists() and not is_ours(folder):
            raise StandingError(f"--world {name}: {folder} is not a world; remove it, or choose another name")
        return folder

    def names(self) -> list[str]:
        """Return the names of all worlds that are up or being built."""
        if not self._folder.is_dir():
            return []
        found = sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
        return [path.name for path in found if is_ours(path) and not self._tidied(path)]

    def find(self, name: str) -> Record | None:
        """Return the world of this name, None when it is not up.

        Raises:
            StandingError: it is being built or taken down, or another version of this program built it.
        """
        folder = self.folder(name)
        if not folder.exists() or self._tidied(folder):
            return None
        try:
            return Record.model_validate_json((folder / _RECORD).read_bytes())
        except FileNotFoundError:
            raise StandingError(f"world {name} is being built or taken down; try again later") from None
        except ValidationError:
            raise StandingError(f"world {name} was built by another version; take it down first") from None

    def get(self, name: str) -> Record:
        """Return the world of this name. Raises StandingError when it is not up."""
        record = self.find(name)
        if record is None:
            raise StandingError(self._unknown(name))
        return record

    def claim(self, name: str) -> tuple[Path, int]:
        """Make a new world's folder. Return it and its lock's descriptor. Raises StandingError if the world exists."""
        folder = self.folder(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _CLAIM_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            # While the folder is empty, another command may take it for an abandoned one and remove it.
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                if (descriptor := hold(folder)) is not None:
                    mark(folder)
                    end_processes(folder)  # Of a world whose folder was removed.
                    return folder, descriptor
            time.sleep(_POLL_SECONDS)
        raise StandingError(f"world {name} is being built or taken down by another command")

    def down(self, name: str) -> None:
        """Take a world down, even one that is being built, and wait until nothing of it is left.

        Raises:
            StandingError: the world does not exist.
        """
        folder = self.folder(name)
        if not folder.exists():
            raise StandingError(self._unknown(name))
        if not self._tidied(folder):
            take_down(folder)

    def _tidied(self, folder: Path) -> bool:
        if not remove_if_left(folder):
            return False
        self._say(f"world {folder.name} has lost its keeper (killed, or a restart); its remains have been removed")
        return True

    def _unknown(self, name: str) -> str:
        names = self.names()
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            return f"no world {name} is up; did you mean {near[0]}?"
        return f"no world {name} is up" + (f"; up are: {', '.join(names)}" if names else "; `up` builds one")
