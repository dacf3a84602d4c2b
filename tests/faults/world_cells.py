"""Runs cells of the matrix in a rehearsal's world, and judges what came of each."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from rehearsal.journal import Record
from rehearsal.load.records import Record as Request
from rollout.machine import Phase
from scripts.console import EXIT_DONE, EXIT_NEEDS_HUMAN, EXIT_REFUSED, EXIT_ROLLED_BACK
from tests.faults.cells import STEPS, Cell, Moment, Outcome, allowed
from tests.faults.stage import Played, Stage
from tests.faults.world_faults import WORLD_FAULTS, Mend, WorldFault

BAD_RELEASE = "c"
_KEEP_WARM_SECONDS = 1.5

SENSIBLE = tuple(Cell(fault, moment) for fault, how in WORLD_FAULTS.items() for moment in how.moments)
"""Every cell that a world can have."""
SAMPLED = tuple(Cell(fault, how.sampled) for fault, how in WORLD_FAULTS.items())
"""One cell for each fault."""


@dataclass(frozen=True, kw_only=True)
class WorldTrial:
    """A cell that was run, and what came of it."""

    cell: Cell
    outcome: Outcome | None
    """None when the command had to be killed."""
    seconds: float
    requests: int
    requests_lost: int
    """Requests that failed, the faulty candidate's own left out."""
    streams_lost: int
    problems: tuple[str, ...]

    @property
    def survived(self) -> bool:
        """Whether all was as it must be."""
        return not self.problems

    def __str__(self) -> str:
        return f"{self.cell}: {self.outcome}: {'; '.join(self.problems) or 'as it must be'}"


def run_in_world(stage: Stage, cell: Cell) -> WorldTrial:
    """Run a cell on the stage, and leave the stage as the next one needs it."""
    fault = WORLD_FAULTS[cell.fault]
    problems: list[str] = []
    if cell.moment is Moment.REAPING:
        problems += _promote(stage)
    striking = _Striking(stage, cell, fault)
    stage.new_requests()
    played = stage.play(*_command(stage, cell, fault), watch=striking.watch, tick=striking.tick)
    problems += striking.end()
    requests = stage.new_requests()
    outcome = _outcome(cell, played)
    # Read before it is set right: that is what the command has left behind.
    problems += _problems(stage, cell, fault, played, outcome, struck=striking.struck)
    problems += stage.set_right()
    # What breaks while things are set right is lost all the same.
    requests += stage.new_requests()
    lost = [request for request in requests if request.failed and not striking.excuses(request)]
    problems += _told_of_losses(lost)
    return WorldTrial(
        cell=cell,
        outcome=outcome,
        seconds=played.seconds,
        requests=len(requests),
        requests_lost=len(lost),
        streams_lost=sum(request.broken for request in lost),
        problems=tuple(problems),
    )


class _Striking:
    """Does the fault when its moment comes, and mends it when its time is over."""

    def __init__(self, stage: Stage, cell: Cell, fault: WorldFault) -> None:
        self._stage = stage
        self._cell = cell
        self._fault = fault
        self._candidate = stage.idle
        self._former_config = stage.config_file.read_text()
        self._mend: Mend | None = None
        self._until = 0.0
        self._problems: list[str] = []
        self.struck = False

    def watch(self, record: Record) -> None:
        """See a record of the journal."""
        if not self.struck and record["kind"] == "phase" and _is_at(self._cell.moment, record):
            self.struck = True
            self._mend = self._fault.strike(self._stage, self._former_config)
            self._until = time.monotonic() + self._fault.lasts_seconds

    def tick(self) -> None:
        """Look at the time."""
        if self._mend is not None and time.monotonic() > self._until:
            self.end()

    def end(self) -> list[str]:
        """Mend it, if that has not been done; returns what was not as it must be while it lasted."""
        mend, self._mend = self._mend, None
        if mend is not None:
            self._problems += mend()
        return self._problems

    def excuses(self, request: Request) -> bool:
        """Whether a failed request is the candidate's own failure."""
        own = self._fault.excuses_candidate or self._cell.moment is Moment.ROLLING_BACK
        return own and request.color == self._candidate


def _is_at(moment: Moment, record: Record) -> bool:
    if moment in STEPS:
        return record["phase"] == Phase.SHIFTING and record["step"] == STEPS.index(moment)
    return record["phase"] == moment.replace("-", "_")


def _command(stage: Stage, cell: Cell, fault: WorldFault) -> tuple[str, ...]:
    if cell.moment is Moment.REAPING:
        return ("reap",)
    release = BAD_RELEASE if cell.moment is Moment.ROLLING_BACK else fault.release or stage.next_good_release()
    return "ramp", *stage.release(release)


def _promote(stage: Stage) -> list[str]:
    played = stage.play("ramp", *stage.release(stage.next_good_release()))
    time.sleep(_KEEP_WARM_SECONDS)
    return [] if played.exit_code == EXIT_DONE else [f"nothing to reap: {played.said[-600:]}"]


def _outcome(cell: Cell, played: Played) -> Outcome | None:
    phases = [record["phase"] for record in played.records if record["kind"] == "phase"]
    if phases[-1:] == [Outcome.PAUSED]:
        return Outcome.PAUSED
    good = Outcome.REAPED if cell.moment is Moment.REAPING else Outcome.PROMOTED
    return {
        EXIT_DONE: good,
        EXIT_ROLLED_BACK: Outcome.ROLLED_BACK,
        EXIT_REFUSED: Outcome.REFUSED,
        EXIT_NEEDS_HUMAN: Outcome.FAILED,
    }.get(-1 if played.exit_code is None else played.exit_code)


def _problems(
    stage: Stage, cell: Cell, fault: WorldFault, played: Played, outcome: Outcome | None, *, struck: bool
) -> Iterator[str]:
    if not struck:
        yield f"the moment never came; it ended with {played.exit_code}: {played.said[-600:]}"
        return
    may = allowed(cell, fault.lasting)
    if outcome not in may:
        yield f"ended {outcome} ({played.exit_code}), which is not among {', '.join(sorted(may))}: {played.said[-600:]}"
    if outcome not in (Outcome.FAILED, Outcome.PAUSED, None):
        yield from stage.disagreements()
    as_if_nothing = (Outcome.PROMOTED, Outcome.REAPED)
    hindered = outcome not in as_if_nothing and cell.moment is not Moment.ROLLING_BACK
    if hindered and not re.search(fault.words, played.story):
        yield f"nothing tells of it (none of {fault.words!r}): {played.said[-600:]}"


def _told_of_losses(lost: list[Request]) -> Iterator[str]:
    if lost:
        errors = sorted({f"{request.error} on {request.color}" for request in lost})
        yield f"{len(lost)} requests lost, {sum(one.broken for one in lost)} of them open streams: {', '.join(errors)}"
