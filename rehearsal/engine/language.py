"""The program: which Python runs it, and how its process is started."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.engine.children import Child, OnLine, start
from rehearsal.engine.errors import CommandError
from rehearsal.engine.project import Project


def interpreter(root: Path, options: Mapping[str, Any]) -> str:
    """The Python of the declared virtual environment, or else the one that runs this engine."""
    declared = options.get("virtualenv")
    if not declared:
        return sys.executable
    python = root / str(declared) / "bin" / "python"
    if not python.exists():
        raise CommandError(f"the virtual environment {root / str(declared)} does not exist or has no Python")
    return str(python)


async def start_program(
    project: Project,
    *,
    stack: str,
    address: str,
    dry_run: bool,
    parallel: int,
    config: Mapping[str, str],
    secret_keys: list[str],
    on_stdout: OnLine,
    on_stderr: OnLine,
) -> Child:
    """Start the project's program; monitor and engine are served at one address."""
    main = project.root / project.main
    settings = {
        "monitor": address,
        "engine": address,
        "project": project.name,
        "stack": stack,
        "parallel": parallel,
        "dry_run": dry_run,
        "organization": "organization",
        "root_directory": str(project.root),
    }
    environment = {
        "PULUMI_CONFIG": json.dumps(dict(config)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(secret_keys),
        "PYTHONUNBUFFERED": "1",
    }
    folder = main if main.is_dir() else main.parent
    runner = Path(__file__).with_name("program.py")
    return await start(
        [interpreter(project.root, project.runtime_options), "-P", str(runner), json.dumps(settings), str(main)],
        cwd=folder,
        environment=environment,
        on_stdout=on_stdout,
        on_stderr=on_stderr,
    )
