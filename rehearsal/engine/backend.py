"""The file backend: stacks, locks and history in the folders that the Pulumi CLI uses."""

import getpass
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from rehearsal.engine.errors import CommandError, not_supported

ORGANIZATION = "organization"
STATE_VERSION = 3


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader, or the next process after a crash, sees the old or the new text."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """Read a JSON object; raises CommandError when the file holds anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{path} is damaged: {error}") from error
    if not isinstance(document, dict):
        raise CommandError(f"{path} is damaged: it holds no JSON object")
    return cast(Any, document)


def pulumi_home() -> Path:
    """Where the CLI keeps its own settings."""
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


class Backend:
    """One folder of stacks."""

    def __init__(self, url: str) -> None:
        if not url.startswith("file://"):
            raise not_supported(f"the backend {url or '(Pulumi Cloud)'}")
        self.url = url
        path = unquote(url.removeprefix("file://"))
        self.root = Path(path).expanduser().absolute() / ".pulumi"
        if not self.root.parent.is_dir():
            raise CommandError(
                f'unable to open state directory "{url}": stat {self.root.parent}: no such file or directory'
            )

    @classmethod
    def current(cls, project_backend_url: str = "") -> "Backend":
        """The backend chosen by the environment, the project or `pulumi login`."""
        url = os.environ.get("PULUMI_BACKEND_URL") or project_backend_url
        credentials = pulumi_home() / "credentials.json"
        if not url and credentials.is_file():
            url = read_json(credentials).get("current", "")
        return cls(url)

    def mark_project_layout(self) -> None:
        """Say that stacks lie in a folder for each project, as the CLI's current layout has it."""
        marker = self.root / "meta.yaml"
        if not marker.exists():
            write_atomically(marker, "version: 1\n")

    def stack(self, project: str, name: str) -> "StackFiles":
        """The files of one stack, whether it exists or not."""
        return StackFiles(self, project, name)

    def stacks(self, project: str | None = None) -> list["StackFiles"]:
        """All stacks, or those of one project."""
        found = sorted((self.root / "stacks").glob(f"{project or '*'}/*.json"))
        return [StackFiles(self, path.parent.name, path.stem) for path in found]


class StackFiles:
    """One stack's checkpoint, locks and history."""

    def __init__(self, backend: Backend, project: str, name: str) -> None:
        self.backend = backend
        self.project = project
        self.name = name
        self.path = backend.root / "stacks" / project / f"{name}.json"
        self._locks = backend.root / "locks" / ORGANIZATION / project / name
        self._history = backend.root / "history" / project / name

    def exists(self) -> bool:
        """Tell whether the stack was created."""
        return self.path.is_file()

    def read(self) -> dict[str, Any] | None:
        """The deployment document; None for a stack without any update."""
        document = read_json(self.path)
        version = document.get("version")
        if version != STATE_VERSION:
            raise CommandError(f"{self.path} has version {version!r}; only version {STATE_VERSION} can be read")
        try:
            return document["checkpoint"].get("latest")
        except (KeyError, AttributeError) as error:
            raise CommandError(f"{self.path} is damaged: it has no `checkpoint`") from error

    def write(self, deployment: dict[str, Any] | None) -> None:
        """Replace the deployment document; the version before stays beside it as `.bak`."""
        checkpoint: dict[str, Any] = {"stack": f"{ORGANIZATION}/{self.project}/{self.name}"}
        if deployment is not None:
            checkpoint["latest"] = deployment
        text = json.dumps(
            {"version": STATE_VERSION, "checkpoint": checkpoint}, separators=(",", ":"), ensure_ascii=False
        )
        if self.path.exists():
            before = self.path.with_name(f"{self.path.name}.bak")
            # The file itself is never written to again, only replaced. Not every file system has links.
            with suppress(OSError):
                before.unlink(missing_ok=True)
                before.hardlink_to(self.path)
        write_atomically(self.path, text)

    def remove(self) -> None:
        """Delete the stack with its history."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self._history, ignore_errors=True)

    # -- locks

    def lock_files(self) -> list[Path]:
        """Lock files of updates that run (or were killed)."""
        return sorted(self._locks.glob("*.json"))

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the stack's lock; fails when another process holds it."""
        mine = self._locks / f"{uuid.uuid4()}.json"
        self._check_locks(mine)
        content = {
            "pid": os.getpid(),
            "username": getpass.getuser(),
            "hostname": socket.gethostname(),
            "timestamp": datetime.now().astimezone().isoformat(),
        }
        write_atomically(mine, json.dumps(content))
        try:
            # Two processes may have written at once: then both see the other and give up.
            self._check_locks(mine)
            for unfinished in self.path.parent.glob(f".{self.path.name}.*.tmp"):
                unfinished.unlink()
            yield
        finally:
            mine.unlink(missing_ok=True)

    def _check_locks(self, mine: Path) -> None:
        others = [path for path in self.lock_files() if path != mine]
        if not others:
            return
        lines = [
            f"the stack is currently locked by {len(others)} lock(s). Either wait for the other process(es) to "
            "end or delete the lock file with `pulumi cancel`."
        ]
        for path in others:
            try:
                lock = read_json(path)
                moment = datetime.fromisoformat(lock["timestamp"]).isoformat(timespec="seconds")
                holder = f"created by {lock['username']}@{lock['hostname']} (pid {lock['pid']}) at {moment}"
            except FileNotFoundError:
                continue
            except (CommandError, KeyError, TypeError, ValueError):
                holder = "its file is damaged"
            lines.append(f"  file://{path}: {holder}")
        raise CommandError("\n".join(lines))

    def cancel(self) -> None:
        """Delete all locks; this does not stop the process that took them."""
        for path in self._locks.glob("*"):
            path.unlink(missing_ok=True)

    # -- history

    def add_history(self, entry: dict[str, Any]) -> None:
        """Record an update that ended, with a copy of the state it left."""
        prefix = self._history / f"{self.name}-{time.time_ns()}"
        write_atomically(prefix.with_name(f"{prefix.name}.history.json"), json.dumps(entry, indent=4) + "\n")
        shutil.copyfile(self.path, prefix.with_name(f"{prefix.name}.checkpoint.json"))

    def history(self) -> list[dict[str, Any]]:
        """All recorded updates, the latest first."""
        paths = sorted(self._history.glob("*.history.json"), reverse=True)
        return [read_json(path) for path in paths]

    def last_update(self) -> float | None:
        """When the state was last written by an update (seconds since 1970)."""
        manifest = (self.read() or {}).get("manifest", {})
        moment = manifest.get("time")
        return datetime.fromisoformat(moment).timestamp() if moment else None
