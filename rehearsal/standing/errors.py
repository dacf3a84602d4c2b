"""The errors that are reported in one line, and their lines."""

from rehearsal.binaries.build import BuildError
from rehearsal.standing.worlds import StandingError
from rehearsal.system.processes import ProcessError
from rehearsal.world.executables import ExecutableError
from rehearsal.world.preflight import OutFolderError
from rehearsal.world.settings import RehearsalSettingsError
from rehearsal.world.world import CommandError

EXPECTED = (
    BuildError,
    CommandError,
    ExecutableError,
    OSError,
    OutFolderError,
    ProcessError,
    RehearsalSettingsError,
    StandingError,
)


def explain(error: BaseException) -> str:
    """Return what is wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
