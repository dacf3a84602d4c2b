"""``python -m rehearsal.binaries build``: find or build the binaries of a world."""

import argparse
import sys

from rich.console import Console

from rehearsal.binaries.build import BuildError, binaries


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.binaries", description=__doc__)
    parser.add_argument("action", choices=["build"], help="find or build every binary and print its path")
    parser.parse_args()
    console = Console()
    try:
        for name, path in binaries(console).items():
            console.print(f"{name}: {path}", soft_wrap=True)
    except (BuildError, OSError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", soft_wrap=True, highlight=False)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
