"""Write a recording again with the page as it is now: `python -m rehearsal.live docs/live.html`.

With a second file, its frames come from there, for example from `rehearsal/out/live.html`.
"""

import sys
from pathlib import Path

from rehearsal.live.page import live_page, recorded_frames


def main(target: Path, source: Path) -> None:
    """Write ``target`` with the frames of ``source``."""
    target.write_text(live_page(recorded_frames(source.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[-1]))
