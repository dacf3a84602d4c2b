"""The world's ``bin`` folder: executables that production has on PATH and this machine may lack."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.warm import launch

_LANGUAGE_HOST = "pulumi-language-python"
_PROVIDERS = {"aws": "rehearsal.providers.aws", "kubernetes": "rehearsal.providers.kubernetes"}
_OURS = ".rehearsal"
"""Marks a world's ``bin``, which is on the PATH of a shell that works in a world."""


class ExecutableError(Exception):
    """A requested executable does not exist."""


def check_pod_command(command: str) -> None:
    """Check that the command can start.

    Raises:
        ExecutableError: the first word is not an executable on PATH, or the text is not valid shell words.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ExecutableError(f"REHEARSAL_POD_COMMAND={command}: {error}; write it as shell words") from error
    if not words or shutil.which(words[0]) is None:
        name = words[0] if words else ""
        raise ExecutableError(
            f"REHEARSAL_POD_COMMAND={command}: there is no executable {name!r}; use one on PATH, or an absolute path"
        )
    if os.sep in words[0] and not Path(words[0]).is_absolute():
        raise ExecutableError(
            f"REHEARSAL_POD_COMMAND={command}: pods run in their own folders; write {Path(words[0]).absolute()}"
        )


def write_executables(folder: Path, pulumi: Path) -> None:
    """Write the executables of a world's PATH to ``bin``, and the plugins to Pulumi's plugin folder in `pulumi_home`.

    A real Kubernetes provider or language host on PATH, or a language host beside ``pulumi``, takes precedence over
    our stand-in. Our language host goes beside the CLI, because every command warns about one anywhere else.

    Args:
        folder: the world's folder.
        pulumi: the CLI's executable.
    """
    bin_folder = folder / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / _OURS).touch()
    cli = pulumi.resolve()
    if find_real(_LANGUAGE_HOST) or (cli.parent / _LANGUAGE_HOST).exists():
        (bin_folder / "pulumi").symlink_to(cli)
    else:
        _link_or_copy(cli, bin_folder / "pulumi")
        write_module(bin_folder / _LANGUAGE_HOST, "rehearsal.language_host")
    for package, module in _PROVIDERS.items():
        plugin = _plugin(folder, package)
        if package != "kubernetes" or not find_real(plugin.name):
            plugin.parent.mkdir(parents=True)
            write_module(plugin, module)
    # A terminal command: Ctrl-C must reach it, so the warm process must not fork it.
    _write_script(bin_folder / "rehearsal", [sys.executable, "-P", "-m", "rehearsal"])


def pulumi_home(folder: Path) -> Path:
    """Return the folder of a world's Pulumi plugins and credentials."""
    return folder / "pulumi-home"


def _plugin(folder: Path, package: str) -> Path:
    """Return the path at which Pulumi expects the plugin for the SDK's version."""
    place = f"resource-{package}-v{version(f'pulumi-{package}')}"
    return pulumi_home(folder) / "plugins" / place / f"pulumi-resource-{package}"


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # For example, on another disk.
        shutil.copy2(source, target)


def write_module(script: Path, module: str) -> None:
    """Write an executable that runs a module, forked from a warm process if one is there."""
    _write_script(script, [sys.executable, "-I", "-S", launch.__file__, "-m", module])


def _write_script(script: Path, words: Sequence[str]) -> None:
    script.write_text(
        "#!/bin/sh\n"
        f"export PYTHONPATH={shlex.quote(str(PROJECT_FOLDER))}${{PYTHONPATH:+:$PYTHONPATH}}\n"
        f'exec {shlex.join(words)} "$@"\n'
    )
    script.chmod(0o755)


def pulumi_version(pulumi: Path) -> str:
    """Return the output of ``pulumi version``.

    Raises:
        ExecutableError: the CLI cannot run, or fails.
    """
    try:
        answer = subprocess.run([pulumi, "version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ExecutableError(f"{pulumi} cannot be run: {error.strerror}") from error
    if answer.returncode:
        raise ExecutableError(f"`{pulumi} version` failed: {answer.stderr.strip() or answer.returncode}")
    return answer.stdout.strip()


def kubernetes_provider(folder: Path) -> str:
    """Return which Kubernetes provider a world uses: the real one's name, or ``stand-in``."""
    plugin = _plugin(folder, "kubernetes")
    return "stand-in" if plugin.exists() else plugin.name


def language_host(folder: Path) -> str:
    """Return which language host a world uses: the name of Pulumi's own, or ``stand-in``."""
    return "stand-in" if (folder / "bin" / _LANGUAGE_HOST).exists() else _LANGUAGE_HOST


def path_with(folder: Path) -> str:
    """Return PATH with a world's executables first, then this interpreter's, without those of other worlds."""
    ours = [str(folder), str(Path(sys.executable).parent)]
    return os.pathsep.join([*ours, *(entry for entry in real_path() if entry not in ours)])


def find_real(name: str) -> str | None:
    """Return an executable from PATH without the worlds' stand-ins, None when there is none."""
    return shutil.which(name, path=os.pathsep.join(real_path()))


def real_path() -> list[str]:
    """Return PATH's folders without those of worlds."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [entry for entry in entries if not (Path(entry) / _OURS).exists()]
