"""The world's ``bin`` folder: what production has on PATH and this machine may lack."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from rehearsal.settings import PROJECT_FOLDER, Engine

_PLUGINS = {
    "pulumi-resource-aws": "rehearsal.providers.aws",
    "pulumi-resource-kubernetes": "rehearsal.providers.kubernetes",
}


class EngineError(Exception):
    """The engine that was asked for is not there."""


def resolve_engine(asked: Engine) -> Engine:
    """Turn ``auto`` into what this machine has.

    Raises:
        EngineError: ``pulumi`` was asked for and is not on PATH.
    """
    on_path = shutil.which("pulumi")
    if asked == "pulumi" and on_path is None:
        raise EngineError("REHEARSAL_ENGINE=pulumi, but no `pulumi` is on PATH; install it or use embedded")
    if asked == "auto":
        return "pulumi" if on_path else "embedded"
    return asked


def write_executables(folder: Path, engine: Engine) -> None:
    """Write the executables; a real Kubernetes provider on PATH takes precedence over our stand-in."""
    folder.mkdir(parents=True)
    modules = dict(_PLUGINS)
    if shutil.which("pulumi-resource-kubernetes"):
        del modules["pulumi-resource-kubernetes"]
    if engine == "embedded":
        modules["pulumi"] = "rehearsal.engine"
    for name, module in modules.items():
        script = folder / name
        script.write_text(
            "#!/bin/sh\n"
            f"PYTHONPATH={shlex.quote(str(PROJECT_FOLDER))}${{PYTHONPATH:+:$PYTHONPATH}} "
            f'exec {shlex.quote(sys.executable)} -P -m {module} "$@"\n'
        )
        script.chmod(0o755)


def path_with(folder: Path) -> str:
    """Return PATH with the world's executables first, then this interpreter's."""
    return os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
