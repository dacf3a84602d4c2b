"""The world's ``bin`` folder: what production has on PATH and this machine may lack."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rehearsal.settings import PROJECT_FOLDER
from rehearsal.warm import launch

_KUBERNETES_PROVIDER = "pulumi-resource-kubernetes"
_LANGUAGE_HOST = "pulumi-language-python"
_PLUGINS = {
    "pulumi-resource-aws": "rehearsal.providers.aws",
    _KUBERNETES_PROVIDER: "rehearsal.providers.kubernetes",
}
_OURS = ".rehearsal"
"""Marks a world's ``bin``, which a shell that works in a world has on its PATH."""


class ExecutableError(Exception):
    """An executable that was asked for is not there."""


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


def write_executables(folder: Path, pulumi: Path) -> None:
    """Write the executables.

    What is real on PATH takes precedence over our stand-ins: the Kubernetes provider, and the language host, which may
    also lie beside ``pulumi``.
    """
    folder.mkdir(parents=True)
    (folder / _OURS).touch()
    (folder / "pulumi").symlink_to(pulumi.absolute())
    modules = {**_PLUGINS, _LANGUAGE_HOST: "rehearsal.language_host"}
    for name in (_KUBERNETES_PROVIDER, _LANGUAGE_HOST):
        if find_real(name):
            del modules[name]
    if (pulumi.resolve().parent / _LANGUAGE_HOST).exists():
        modules.pop(_LANGUAGE_HOST, None)
    for name, module in modules.items():
        write_module(folder / name, module)
    # A command of the terminal: Ctrl-C must reach it, so it is not forked elsewhere.
    _write_script(folder / "rehearsal", [sys.executable, "-P", "-m", "rehearsal"])


def write_module(script: Path, module: str) -> None:
    """Write an executable that runs a module, forked from a warm process where there is one."""
    _write_script(script, [sys.executable, "-I", "-S", launch.__file__, "-m", module])


def _write_script(script: Path, words: Sequence[str]) -> None:
    script.write_text(
        "#!/bin/sh\n"
        f"export PYTHONPATH={shlex.quote(str(PROJECT_FOLDER))}${{PYTHONPATH:+:$PYTHONPATH}}\n"
        f'exec {shlex.join(words)} "$@"\n'
    )
    script.chmod(0o755)


def pulumi_version(pulumi: Path) -> str:
    """Return what ``pulumi version`` says.

    Raises:
        ExecutableError: it cannot be run, or fails.
    """
    try:
        answer = subprocess.run([pulumi, "version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ExecutableError(f"{pulumi} cannot be run: {error.strerror}") from error
    if answer.returncode:
        raise ExecutableError(f"`{pulumi} version` fails: {answer.stderr.strip() or answer.returncode}")
    return answer.stdout.strip()


def kubernetes_provider(folder: Path) -> str:
    """Say which Kubernetes provider a world with these executables uses: the real one's name, or ``stand-in``."""
    return "stand-in" if (folder / _KUBERNETES_PROVIDER).exists() else _KUBERNETES_PROVIDER


def language_host(folder: Path) -> str:
    """Say which language host a world with these executables uses: Pulumi's own, by name, or ``stand-in``."""
    return "stand-in" if (folder / _LANGUAGE_HOST).exists() else _LANGUAGE_HOST


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
