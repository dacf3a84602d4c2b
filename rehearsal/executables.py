"""The world's ``bin`` folder: what production has on PATH and this machine may lack."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from rehearsal.settings import PROJECT_FOLDER, Engine

_KUBERNETES_PROVIDER = "pulumi-resource-kubernetes"
_PLUGINS = {
    "pulumi-resource-aws": "rehearsal.providers.aws",
    _KUBERNETES_PROVIDER: "rehearsal.providers.kubernetes",
}
_OURS = ".rehearsal"
"""Marks a world's ``bin``, which a shell that works in a world has on its PATH."""


class ExecutableError(Exception):
    """An executable that was asked for is not there."""


def resolve_engine(asked: Engine) -> Engine:
    """Turn ``auto`` into what this machine has.

    Raises:
        ExecutableError: ``pulumi`` was asked for and is not on PATH.
    """
    on_path = find_real("pulumi")
    if asked == "pulumi" and on_path is None:
        raise ExecutableError("REHEARSAL_ENGINE=pulumi, but no `pulumi` is on PATH; install it or use embedded")
    if asked == "auto":
        return "pulumi" if on_path else "embedded"
    return asked


def check_pod_command(command: str) -> None:
    """Refuse words that start nothing.

    Raises:
        ExecutableError: the first word is no executable on PATH, or the text is not shell words.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ExecutableError(f"REHEARSAL_POD_COMMAND={command}: {error}; write it as shell words") from error
    if not words or shutil.which(words[0]) is None:
        name = words[0] if words else ""
        raise ExecutableError(
            f"REHEARSAL_POD_COMMAND={command}: there is no executable {name!r}; name one on PATH or by its whole path"
        )
    if os.sep in words[0] and not Path(words[0]).is_absolute():
        raise ExecutableError(
            f"REHEARSAL_POD_COMMAND={command}: pods have folders of their own; write {Path(words[0]).absolute()}"
        )


def write_executables(folder: Path, engine: Engine) -> None:
    """Write the executables; a real Kubernetes provider on PATH takes precedence over our stand-in."""
    folder.mkdir(parents=True)
    (folder / _OURS).touch()
    modules = {**_PLUGINS, "rehearsal": "rehearsal"}
    if find_real(_KUBERNETES_PROVIDER):
        del modules[_KUBERNETES_PROVIDER]
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


def kubernetes_provider(folder: Path) -> str:
    """Tell which Kubernetes provider a world with these executables uses: the real one's name, or ``stand-in``."""
    return "stand-in" if (folder / _KUBERNETES_PROVIDER).exists() else _KUBERNETES_PROVIDER


def path_with(folder: Path) -> str:
    """Return PATH with a world's executables first, then this interpreter's, and those of no other world."""
    ours = [str(folder), str(Path(sys.executable).parent)]
    return os.pathsep.join([*ours, *(entry for entry in real_path() if entry not in ours)])


def find_real(name: str) -> str | None:
    """Where PATH has an executable, worlds' stand-ins left out."""
    return shutil.which(name, path=os.pathsep.join(real_path()))


def real_path() -> list[str]:
    """PATH's folders without those of worlds."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [entry for entry in entries if not (Path(entry) / _OURS).exists()]
