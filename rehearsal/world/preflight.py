"""Checks the preconditions of a world before anything is built, so that nothing is left half-built."""

import os
import shutil
from pathlib import Path

from rehearsal.world.executables import check_pod_command
from rehearsal.world.settings import RehearsalSettings

_NEEDED_MIB = 500
_MIB = 2**20


class OutFolderError(Exception):
    """The folder for worlds and results cannot be used."""


def preflight(settings: RehearsalSettings, out: Path) -> None:
    """Check everything that can be checked without building anything.

    Raises:
        ExecutableError: the pods' command does not exist.
        OutFolderError: ``out`` is not writable, or its disk is full.
    """
    check_pod_command(settings.pod_command)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutFolderError(f"cannot make {out}: {error.strerror}; set REHEARSAL_OUT to another folder") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutFolderError(f"cannot write to {out}; set REHEARSAL_OUT to another folder")
    free_mib = shutil.disk_usage(out).free // _MIB
    if free_mib < _NEEDED_MIB:
        raise OutFolderError(f"a world needs {_NEEDED_MIB} MiB in {out}; {free_mib} MiB are free")
