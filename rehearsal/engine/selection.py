"""Which stack a command is about: named on the command line or selected earlier for this project."""

import difflib
import hashlib
import json
import os
from pathlib import Path

from rehearsal.engine.backend import Backend, StackFiles, pulumi_home, read_json, write_atomically
from rehearsal.engine.errors import CommandError, Status
from rehearsal.engine.project import Project


def _settings_path(project: Project) -> Path:
    digest = hashlib.sha1(str(project.root / "Pulumi.yaml").encode()).hexdigest()
    return pulumi_home() / "workspaces" / f"{project.name}-{digest}-workspace.json"


def selected(project: Project, backend: Backend) -> str:
    """The name of the selected stack (empty: none)."""
    if os.environ.get("PULUMI_STACK"):
        return short_name(os.environ["PULUMI_STACK"])
    path = _settings_path(project)
    if not path.is_file():
        return ""
    settings = read_json(path)
    return short_name(settings.get("stacks", {}).get(backend.url) or settings.get("stack", ""))


def select(project: Project, backend: Backend, stack: str) -> None:
    """Remember a stack as the selected one (empty: none)."""
    path = _settings_path(project)
    settings = read_json(path) if path.is_file() else {}
    settings.pop("stack", None)
    stacks = settings.setdefault("stacks", {})
    stacks.pop(backend.url, None)
    if stack:
        stacks[backend.url] = f"organization/{project.name}/{stack}"
    write_atomically(path, json.dumps(settings))


def short_name(name: str) -> str:
    """A stack's own name: `organization/project/name` and `organization/name` name it in full."""
    return name.rsplit("/", 1)[-1]


def find_stack(project: Project, backend: Backend, name: str | None) -> StackFiles:
    """The stack that a command is about; it must exist."""
    chosen = short_name(name) if name else selected(project, backend)
    if not chosen:
        raise CommandError(
            "no stack selected; please use `pulumi stack select` or `pulumi stack init` to choose one", Status.NO_STACK
        )
    files = backend.stack(project.name, chosen)
    if not files.exists():
        raise no_such_stack(project, backend, chosen)
    return files


def no_such_stack(project: Project, backend: Backend, name: str) -> CommandError:
    """The error for a stack that does not exist, with the one that may be meant."""
    known = [files.name for files in backend.stacks(project.name)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return CommandError(f"no stack named '{name}' found{hint}", Status.NO_STACK)
