"""Start the command line: `python -m rehearsal.engine ARGS`."""

import sys

from rehearsal.engine.cli import main

sys.exit(main(sys.argv[1:]))
