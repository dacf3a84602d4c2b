"""The fault matrix as a command: runs every cell on fakes, then the sensible cells in one world. Prints a table and a
line of JSON. See ``make faults``."""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rehearsal.binaries.build import binaries
from tests.faults.cells import CELLS, Cell, Fault, Moment, parse_cells
from tests.faults.fake_cells import Trial, run_cell
from tests.faults.stage import stage
from tests.faults.world_cells import SAMPLED, SENSIBLE, WorldTrial, run_all
from tests.faults.world_faults import small_disk

WIDTH = 230
console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the chosen cells, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--cells", type=_cells, default=CELLS, metavar="FAULT:MOMENT,…", help="only these cells; * stands for all"
    )
    parser.add_argument("--sampled", action="store_true", help="in the world, only one cell for each fault")
    parser.add_argument("--only", choices=("fakes", "world"), help="only on fakes, or only in the world")
    chosen = parser.parse_args()
    # A SIGTERM must also take the world down and unmount the disk.
    signal.signal(signal.SIGTERM, _exit)
    on_fakes = [] if chosen.only == "world" else run_on_fakes(chosen.cells)
    wanted = SAMPLED if chosen.sampled else SENSIBLE
    in_world, seconds = ([], 0.0)
    if chosen.only != "fakes":
        in_world, seconds = run_in_world([cell for cell in wanted if cell in chosen.cells])
    report(on_fakes, in_world, seconds)
    return 0 if not any(trial.problems for trial in (*on_fakes, *in_world)) else 1


def _cells(words: str) -> tuple[Cell, ...]:
    try:
        return parse_cells(words)
    except ValueError as error:
        # Of a ValueError, argparse would print neither the message nor the possible cells.
        raise argparse.ArgumentTypeError(str(error)) from None


def _exit(number: int, _frame: object) -> None:
    sys.exit(f"ended by {signal.Signals(number).name}")


def run_on_fakes(cells: Sequence[Cell]) -> list[Trial]:
    """Run cells in the fake world."""
    started_at = time.monotonic()
    trials = [trial for cell in cells for trial in run_cell(cell)]
    console.print(f"{len(cells)} cells on fakes, in {len(trials)} variants: {time.monotonic() - started_at:.0f} s")
    return trials


def run_in_world(cells: Sequence[Cell]) -> tuple[list[WorldTrial], float]:
    """Run cells in one world, one after the other, and return the trials and the seconds they took."""
    started_at = time.monotonic()
    trials: list[WorldTrial] = []
    built = binaries(console)
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as folder,
        stage(Path(folder) / "world", built, console.print) as running,
        small_disk(running) as disk_can_be_filled,
    ):
        possible = [cell for cell in cells if cell.fault is not Fault.DISK_FULL or disk_can_be_filled]
        if len(possible) < len(cells):
            console.print(f"{Fault.DISK_FULL}: left out, because only root may mount a disk to fill")
        for trial in run_all(running, possible):
            trials.append(trial)
            console.print(f"{len(trials)}/{len(possible)} {trial} ({trial.seconds:.0f} s)", markup=False)
    return trials, time.monotonic() - started_at


def report(on_fakes: Sequence[Trial], in_world: Sequence[WorldTrial], seconds: float) -> None:
    """Print every problem, the table and the figures."""
    for trial in (*on_fakes, *in_world):
        if trial.problems:
            console.print(f"failed: {trial}", markup=False)
    table = Table(title="Faults and moments: the outcome on fakes / in a world; ✗ marks a failure")
    table.add_column("fault")
    for moment in Moment:
        table.add_column(moment)
    for fault in Fault:
        table.add_row(fault, *(_entry(Cell(fault, moment), on_fakes, in_world) for moment in Moment))
    Console(highlight=False, width=WIDTH).print(table)
    if in_world:
        console.print(f"{len(in_world)} cells in one world: {seconds / 60:.1f} min")
    faked = {trial.cell for trial in on_fakes}
    figures = {
        "tried": len(in_world),
        "survived": sum(trial.survived for trial in in_world),
        "requests_lost": sum(trial.requests_lost for trial in in_world),
        "streams_lost": sum(trial.streams_lost for trial in in_world),
        "cells_on_fakes": len(faked),
        "cells_on_fakes_survived": len(faked - {trial.cell for trial in on_fakes if trial.problems}),
    }
    console.print(json.dumps(figures), markup=False)


def _entry(cell: Cell, on_fakes: Sequence[Trial], in_world: Sequence[WorldTrial]) -> str:
    ways = [trial for trial in on_fakes if trial.cell == cell]
    outcomes = "|".join(sorted({trial.outcome.replace("_", " ") for trial in ways})) or "–"
    faked = f"{outcomes}{' ✗' if any(trial.problems for trial in ways) else ''}"
    seen = [trial for trial in in_world if trial.cell == cell]
    if not seen:
        return faked
    return f"{faked} / {seen[-1].ended.replace('_', ' ')}{'' if seen[-1].survived else ' ✗'}"


if __name__ == "__main__":
    sys.exit(main())
