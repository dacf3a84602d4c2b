"""Runs cells of the matrix in a rehearsal's world, and checks the result of each.

One command may meet several faults in turn, each at a different moment: a rollout that continues after one fault meets
the next. So a cell ends at the next cell's moment, or with the command.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rehearsal.load.records import Record as Request
from rehearsal.report.journal import Record
from scripts.console import EXIT_DONE, EXIT_NEEDS_HUMAN, EXIT_REFUSED, EXIT_ROLLED_BACK
from tests.faults.cells import STEPS, Cell, Moment, Outcome, allowed
from tests.faults.stage import Played, Stage
from tests.faults.world_faults import WORLD_FAULTS, Repair

BAD_RELEASE = "c"
WENT_ON = "went on"
HUNG = "hung"
_KEEP_WARM_SECONDS = 1.5

SENSIBLE = tuple(Cell(fault, moment) for fault, how in WORLD_FAULTS.items() for moment in how.moments)
"""Every cell that makes sense in a world."""
SAMPLED = tuple(Cell(fault, how.sampled) for fault, how in WORLD_FAULTS.items())
"""One cell for each fault."""


@dataclass(frozen=True, kw_only=True)
class WorldTrial:
    """A cell that was run, and its result."""

    cell: Cell
    ended: str
    """An outcome, or ``WENT_ON`` (the command reached the next moment), or ``HUNG``."""
    seconds: float
    requests: int
    requests_lost: int
    """Requests that failed, except on a faulty candidate."""
    streams_lost: int
    problems: tuple[str, ...]

    @property
    def survived(self) -> bool:
        """Whether there was no problem."""
        return not self.problems

    def __str__(self) -> str:
        return f"{self.cell}: {self.ended}: {'; '.join(self.problems) or 'no problem'}"


def run_all(stage: Stage, cells: Sequence[Cell]) -> Iterator[WorldTrial]:
    """Run cells on the stage, as many as possible in each command."""
    left = list(cells)
    while left:
        together = _together(left, can_reap=stage.has_way_back)
        trials = _run(stage, together)
        left = [cell for cell in left if cell not in [trial.cell for trial in trials]]
        yield from trials


def _together(cells: Sequence[Cell], *, can_reap: bool) -> tuple[Cell, ...]:
    """Choose cells for one command: with the same release as the first, and each at a different moment.

    A cell of a reap is chosen as soon as there is something to reap.
    """
    first = next((cell for cell in cells if can_reap and cell.moment is Moment.REAPING), cells[0])
    by_moment = {cell.moment: cell for cell in reversed(cells) if _release(cell) == _release(first)}
    if first.moment in (Moment.ROLLING_BACK, Moment.REAPING) or _release(first):
        return (first,)
    by_moment[first.moment] = first
    ramped = [moment for moment in Moment if moment not in (Moment.ROLLING_BACK, Moment.REAPING)]
    return tuple(by_moment[moment] for moment in ramped if moment in by_moment)


def _release(cell: Cell) -> str | None:
    return BAD_RELEASE if cell.moment is Moment.ROLLING_BACK else WORLD_FAULTS[cell.fault].release


@dataclass(kw_only=True)
class _Struck:
    """A cell whose fault has struck."""

    cell: Cell
    at: float
    """Seconds since the epoch."""
    repair: Repair | None
    until: float
    """On the monotonic clock."""


class _Striking:
    """Starts each fault at its moment, and ends it when its time is over or the next fault's moment comes."""

    def __init__(self, stage: Stage, cells: Sequence[Cell]) -> None:
        self._stage = stage
        self._left = list(cells)
        self._candidate = stage.idle
        self._former_config = stage.config_file.read_text()
        self.struck: list[_Struck] = []
        self.problems: dict[Cell, list[str]] = {cell: [] for cell in cells}

    def watch(self, record: Record) -> None:
        """Handle a record of the journal."""
        cell = next((cell for cell in self._left if record["kind"] == "phase" and _is_at(cell, record)), None)
        if cell is None:
            return
        self.end()
        self._left.remove(cell)
        fault, at = WORLD_FAULTS[cell.fault], time.time()
        repair = fault.strike(self._stage, self._former_config)
        self.struck.append(_Struck(cell=cell, at=at, repair=repair, until=time.monotonic() + fault.lasts_seconds))

    def tick(self) -> None:
        """End a fault whose time is over."""
        if self.struck and time.monotonic() > self.struck[-1].until:
            self.end()

    def end(self) -> None:
        """End the current fault, if there is one."""
        last = self.struck[-1] if self.struck else None
        if last is not None and last.repair is not None:
            repair, last.repair = last.repair, None
            self.problems[last.cell] += repair()

    def lost(self, requests: Sequence[Request], number: int) -> list[Request]:
        """Return the failed requests that ended during a cell, except an excused candidate's."""
        cell, begin = self.struck[number].cell, self.struck[number].at if number else 0.0
        end = self.struck[number + 1].at if number + 1 < len(self.struck) else float("inf")
        own = WORLD_FAULTS[cell.fault].excuses_candidate or cell.moment is Moment.ROLLING_BACK
        return [
            request
            for request in requests
            if request.failed and begin <= request.ended_at < end and not (own and request.color == self._candidate)
        ]


def _is_at(cell: Cell, record: Record) -> bool:
    if cell.moment in STEPS:
        in_step = record["step"] == STEPS.index(cell.moment)
        return in_step and record["phase"] == WORLD_FAULTS[cell.fault].step_phase
    return record["phase"] == cell.moment.replace("-", "_")


def _run(stage: Stage, cells: Sequence[Cell]) -> list[WorldTrial]:
    if cells[0].moment is Moment.REAPING:
        if not stage.has_way_back and (problem := _promote(stage)):
            return [_unreached(cells[0], problem)]
        time.sleep(_KEEP_WARM_SECONDS)
    striking = _Striking(stage, cells)
    stage.new_requests()
    played = stage.play(*_command(stage, cells[0]), watch=striking.watch, tick=striking.tick)
    striking.end()
    requests = stage.new_requests()
    if not striking.struck:
        problem = f"the moment never came; the command exited with {played.exit_code}: {played.output[-600:]}"
        return [_unreached(cells[0], problem)]
    ended = _outcome(cells[0], played)
    last = striking.struck[-1].cell
    # Check before the rollback below: this is what the command has left behind.
    striking.problems[last] += [*_problems(stage, last, played, ended), *stage.restore()]
    # Requests that fail during that rollback count as lost, too.
    requests += stage.new_requests()
    trials: list[WorldTrial] = []
    for number, struck in enumerate(striking.struck):
        lost = striking.lost(requests, number)
        following = striking.struck[number + 1].at if number + 1 < len(striking.struck) else time.time()
        trials.append(
            WorldTrial(
                cell=struck.cell,
                ended=ended if struck.cell == last else WENT_ON,
                seconds=following - struck.at,
                requests=len(requests),
                requests_lost=len(lost),
                streams_lost=sum(request.broken for request in lost),
                problems=(*striking.problems[struck.cell], *_loss_problems(lost)),
            )
        )
    return trials


def _unreached(cell: Cell, problem: str) -> WorldTrial:
    return WorldTrial(cell=cell, ended="–", seconds=0, requests=0, requests_lost=0, streams_lost=0, problems=(problem,))


def _command(stage: Stage, cell: Cell) -> tuple[str, ...]:
    if cell.moment is Moment.REAPING:
        return ("reap",)
    return "ramp", *stage.release(_release(cell) or stage.next_good_release())


def _promote(stage: Stage) -> str:
    played = stage.play("ramp", *stage.release(stage.next_good_release()))
    return "" if played.exit_code == EXIT_DONE else f"nothing to reap: {played.output[-600:]}"


def _outcome(cell: Cell, played: Played) -> str:
    phases = [record["phase"] for record in played.records if record["kind"] == "phase"]
    if phases[-1:] == [Outcome.PAUSED]:
        return Outcome.PAUSED
    good = Outcome.REAPED if cell.moment is Moment.REAPING else Outcome.PROMOTED
    return {
        None: HUNG,
        EXIT_DONE: good,
        EXIT_ROLLED_BACK: Outcome.ROLLED_BACK,
        EXIT_REFUSED: Outcome.REFUSED,
        EXIT_NEEDS_HUMAN: Outcome.FAILED,
    }.get(played.exit_code, f"exit code {played.exit_code}")


def _problems(stage: Stage, cell: Cell, played: Played, ended: str) -> Iterator[str]:
    fault = WORLD_FAULTS[cell.fault]
    expected = allowed(cell, fault.lasting)
    if ended not in expected:
        yield f"ended {ended}, which is not among {', '.join(sorted(expected))}: {played.output[-600:]}"
    if ended not in (Outcome.FAILED, Outcome.PAUSED):
        yield from stage.disagreements()
    hindered = ended not in (Outcome.PROMOTED, Outcome.REAPED) and cell.moment is not Moment.ROLLING_BACK
    if hindered and not re.search(fault.words, played.story):
        yield f"no message reports it (none of {fault.words!r}): {played.output[-600:]}"


def _loss_problems(lost: list[Request]) -> Iterator[str]:
    if lost:
        errors = sorted({f"{request.error} on {request.color}" for request in lost})
        yield f"{len(lost)} requests lost, {sum(one.broken for one in lost)} of them open streams: {', '.join(errors)}"
