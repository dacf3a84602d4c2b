"""Start the command line: `python -m rehearsal.engine ARGS`."""

import os
import sys
from pathlib import Path

from rehearsal.engine.cli import main


def _leave_own_path() -> None:
    """Programs must not find this repository's modules because the engine was started with it on PYTHONPATH."""
    own = str(Path(__file__).parents[2])
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", own)]
    os.environ.pop("PYTHONPATH", None)
    if entries:
        os.environ["PYTHONPATH"] = os.pathsep.join(entries)


_leave_own_path()
sys.exit(main(sys.argv[1:]))
