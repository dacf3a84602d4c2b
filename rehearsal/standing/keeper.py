"""``python -m rehearsal.standing.keeper``: builds a world and keeps it up until SIGTERM.

``up`` starts it, detached from the shell. Until the world is up, it ends with ``up``. Every process of the world ends
with this one, even by SIGKILL.
"""

import argparse
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from rehearsal.binaries.build import binaries
from rehearsal.standing.errors import EXPECTED, explain
from rehearsal.standing.worlds import Record
from rehearsal.system.processes import terminate_with_parent
from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.hold import holds, remove_held
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.stack import create_stack
from rehearsal.world.world import world

_POLL_SECONDS = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Read the command line and keep a world up."""
    for number in _SIGNALS:
        signal.signal(number, _stop)
    # A parent that ended before this call leaves a broken pipe, which is found a little later.
    terminate_with_parent(enabled=True)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the world's folder")
    parser.add_argument("--lock", type=int, required=True, help="descriptor of the folder's lock")
    parser.add_argument("--progress", type=int, required=True, help="descriptor of a pipe for JSON lines")
    options = parser.parse_args()
    for descriptor in (options.lock, options.progress):
        os.set_inheritable(descriptor, False)  # Otherwise a child could hold the world after our end.
    try:
        _keep(options.folder, options.lock, os.fdopen(options.progress, "w", buffering=1))
    except KeyboardInterrupt:
        pass
    finally:
        if holds(options.lock, options.folder):
            remove_held(options.folder)
    return 0


def _keep(folder: Path, lock: int, progress: TextIO) -> None:
    def report(**message: Any) -> None:
        # The command that waited for the world may be gone; the broken pipe then ends the world.
        print(json.dumps(message), file=progress)

    try:
        settings = RehearsalSettings.from_environment()
        os.chdir(PROJECT_FOLDER)  # The person may remove or unmount the folder in which we started.
        with world(folder, settings, binaries(), lambda what: report(say=what)) as running:
            report(say="the stack")
            create_stack(running)
            record = Record.of(running)
            record.write()
            terminate_with_parent(enabled=False)
            report(ready=True)
            progress.close()
            # Removing the folder ends the world.
            while holds(lock, folder):
                time.sleep(_POLL_SECONDS)
    except Exception as error:
        if not progress.closed:
            report(error=explain(error) if isinstance(error, EXPECTED) else traceback.format_exc())
        raise


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Start an orderly shutdown and ignore further signals."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
