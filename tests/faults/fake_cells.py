"""Runs cells of the matrix in the fake world, and checks the result of each."""

import math
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from rollout.controller import Controller, Subject
from rollout.model.machine import Phase, ReapRequested, Rollout, advance
from rollout.model.plan import make_plan
from rollout.model.records import Body
from tests.faults.cells import CELLS, STEPS, Cell, Fault, Lasting, Moment, Outcome, allowed
from tests.faults.fake_faults import CANDIDATE, OUTGOING, SecondRamp, WeightMoved, stack_lock, ways
from tests.faults.fake_world import Breakage, FaultyWorld
from tests.rollout.fakes import NEW, SERVICE, copy_together

A_WHILE_SECONDS = 60.0
ENDINGS = {
    Phase.DONE: Outcome.PROMOTED,
    Phase.ROLLED_BACK: Outcome.ROLLED_BACK,
    Phase.REFUSED: Outcome.REFUSED,
    Phase.REAPED: Outcome.REAPED,
    Phase.FAILED: Outcome.FAILED,
}

Drive = Callable[[FaultyWorld], tuple["Stepping", Rollout]]
"""Returns what drives a rollout, and its first state."""
Strikes = Callable[[str, int], bool]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One variant of a cell, and its result."""

    cell: Cell
    way: str
    lasting: Lasting
    outcome: Outcome
    lost: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        problems = "; ".join(self.problems) or "no problem"
        return f"{self.cell} {self.way} for {self.lasting.removeprefix('for ')}: {self.outcome}: {problems}"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """One way to reach a moment of the matrix."""

    name: str
    phase: Phase
    step: int | None
    drive: Drive
    prepare: Callable[[FaultyWorld], None] = lambda _: None

    def is_at(self, phase: str, step: int) -> bool:
        return phase == self.phase and self.step in (None, step)


class _ReachedError(Exception):
    """The moment has come."""

    def __init__(self, rollout: Rollout, first: tuple[Body, ...]) -> None:
        super().__init__()
        self.rollout, self.first = rollout, first


class Stepping(Controller):
    """A controller that can stop at a moment and go on from it, as if it had not stopped."""

    _stops: Strikes | None = None
    _left: tuple[Rollout, tuple[Body, ...]] | None = None

    def stop_at(self, rollout: Rollout, stops: Strikes) -> None:
        """Run until a phase and a step begin at which ``stops`` returns true."""
        self._stops = stops
        try:
            ended = self.run(rollout)
        except _ReachedError as reached:
            self._left = reached.rollout, reached.first
        else:
            raise AssertionError(f"the moment never came: the rollout ended {ended.phase} ({ended.reason})")
        self._stops = None

    def go_on(self) -> Rollout:
        """Go on to the end."""
        assert self._left is not None
        rollout, first = self._left
        return self._follow(rollout, *first)

    def _entered(self, rollout: Rollout, *first: Body) -> Rollout:
        if self._stops is not None and self._stops(rollout.phase, rollout.step):
            raise _ReachedError(rollout, first)
        return super()._entered(rollout, *first)


def run_cell(cell: Cell, *, most: int | None = None) -> tuple[Trial, ...]:
    """Run the variants of a cell, each for a while and for good; at most about ``most`` of them."""
    return tuple(
        _run(cell, lasting, reached, name) for lasting in Lasting for reached, name in variants(cell, most=most)
    )


def variants(cell: Cell, *, most: int | None = None) -> list[tuple[Reached, str]]:
    """Return the variants of a cell: how its moment is reached, and the way to break something.

    With ``most``, only about so many, and other ones for other cells: together, all ways and phases are tried.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = tuple(ways(cell.fault, FaultyWorld(), Path(folder)))
    every = [(reached, name) for reached in _moments(cell.moment) for name in names]
    one_in = 1 if most is None else math.ceil(len(every) / most)
    # Neighbours in the list differ in their way, and those a row apart in their phase: the diagonal has all of both.
    diagonal = [place + place // len(names) + CELLS.index(cell) for place in range(len(every))]
    return [variant for variant, at in zip(every, diagonal, strict=True) if at % one_in == 0]


def _run(cell: Cell, lasting: Lasting, reached: Reached, name: str) -> Trial:
    world, controller = copy_together(*_at(reached))
    with tempfile.TemporaryDirectory() as folder, stack_lock(world, Path(folder)):
        breakage = ways(cell.fault, world, Path(folder))[name]
        lasts_seconds = A_WHILE_SECONDS if lasting is Lasting.A_WHILE else None
        world.break_at(breakage, reached.is_at, lasts_seconds=lasts_seconds)
        rollout = controller.go_on()
    outcome = ENDINGS.get(rollout.phase, Outcome.PAUSED)
    end = _End(cell=cell, lasting=lasting, world=world, breakage=breakage, rollout=rollout, outcome=outcome)
    return Trial(
        cell=cell,
        way=" ".join(filter(None, (reached.name, name))),
        lasting=lasting,
        outcome=outcome,
        lost=round(world.lost),
        problems=tuple(end.problems()),
    )


@cache
def _at(reached: Reached) -> tuple[FaultyWorld, Stepping]:
    """Return the world and its controller when the moment comes. Until then, nothing depends on the fault."""
    world = FaultyWorld()
    reached.prepare(world)
    controller, rollout = reached.drive(world)
    controller.stop_at(rollout, reached.is_at)
    return world, controller


# The moments


def _moments(moment: Moment) -> tuple[Reached, ...]:
    if moment in STEPS:
        step = STEPS.index(moment)
        phases = (Phase.SHIFTING, Phase.ATTESTING, Phase.HOLDING)
        return tuple(Reached(name=f"in {phase}", phase=phase, step=step, drive=_ramp) for phase in phases)
    match moment:
        case Moment.DEPLOYING:
            phases = (Phase.PREFLIGHT, Phase.DEPLOYING, Phase.WARMING, Phase.VERIFYING)
            return tuple(Reached(name=f"in {phase}", phase=phase, step=None, drive=_ramp) for phase in phases)
        case Moment.PROMOTING | Moment.SOAKING:
            return (Reached(name="", phase=Phase(moment), step=None, drive=_ramp),)
        case Moment.ROLLING_BACK:
            at = partial(Reached, phase=Phase.ROLLING_BACK, step=None)
            return (
                at(name="from a step", drive=_ramp, prepare=_fail_at_the_second_step),
                at(name="from a promotion", drive=_undo, prepare=_promote),
            )
        case _:
            return tuple(
                Reached(name=f"in {phase}", phase=phase, step=None, drive=_reap, prepare=_promote_and_wait)
                for phase in (Phase.REAPING, Phase.RETIRING)
            )


def _ramp(world: FaultyWorld) -> tuple[Stepping, Rollout]:
    settings = world.config.read()
    plan = make_plan(settings.idle_color, settings.rollout)
    return Stepping(world.ports(), Subject(service=SERVICE, release=NEW)), Rollout(plan=plan)


def _undo(world: FaultyWorld) -> tuple[Stepping, Rollout]:
    plan = make_plan(CANDIDATE, world.config.read().rollout)
    rollout = Rollout(plan=plan, phase=Phase.ROLLING_BACK, reason="asked for by an operator")
    return Stepping(world.ports(), Subject(service=SERVICE)), rollout


def _reap(world: FaultyWorld) -> tuple[Stepping, Rollout]:
    done = Rollout(plan=make_plan(CANDIDATE, world.config.read().rollout), phase=Phase.DONE)
    return Stepping(world.ports(), Subject(service=SERVICE)), advance(done, ReapRequested())


def _fail_at_the_second_step(world: FaultyWorld) -> None:
    world.fail_at(CANDIDATE, 25)


def _promote(world: FaultyWorld) -> None:
    controller, rollout = _ramp(world)
    assert controller.run(rollout).phase is Phase.DONE


def _promote_and_wait(world: FaultyWorld) -> None:
    _promote(world)
    world.clock.sleep(world.config.read().rollout.keep_warm_seconds + 1)


# Checks


@dataclass(frozen=True, kw_only=True)
class _End:
    """How a trial ended."""

    cell: Cell
    lasting: Lasting
    world: FaultyWorld
    breakage: Breakage
    rollout: Rollout
    outcome: Outcome

    def problems(self) -> Iterator[str]:
        """Yield every violated expectation."""
        if not self.world.has_broken:
            yield "the moment never came"
            return
        expected = allowed(self.cell, self.lasting) | ({Outcome.FAILED} if self.breakage.needs_a_person else set())
        if self.outcome not in expected:
            yield f"ended {self.outcome} ({self.rollout.reason}), which is not among {', '.join(sorted(expected))}"
        if round(self.world.lost):
            yield f"{self.world.lost:.0f} requests lost"
        if self.world.wrong_totals:
            yield f"weights do not total 100: {self.world.wrong_totals}"
        yield from self._disagreements()
        yield from self._misplaced_traffic()
        yield from self._missing_reports()

    def _disagreements(self) -> Iterator[str]:
        world, settings = self.world, self.world.config.read()
        agree = (
            world.weights["green"] == settings.green_weight == world.state.green_weight
            and settings.active_color == world.state.active_color
            and settings.rollout_serial == world.state.rollout_serial
        )
        if not agree and not (self.outcome is Outcome.FAILED and self.rollout.reason):
            yield (
                f"rule {world.weights}, config (green_weight {settings.green_weight}, {settings.active_color}, serial "
                f"{settings.rollout_serial}) and state (green_weight {world.state.green_weight}, "
                f"{world.state.active_color}, serial {world.state.rollout_serial}) do not agree, and no message says so"
            )

    def _misplaced_traffic(self) -> Iterator[str]:
        """Yield a problem if traffic is not where it belongs, or if no way back is left."""
        world, cell = self.world, self.cell
        impossible = cell.fault in (Fault.AWS_5XX, Fault.AWS_TIMEOUTS) and self.outcome is Outcome.FAILED
        # A reap never moves weight, not even back.
        left_alone = cell.moment is Moment.REAPING and isinstance(self.breakage, WeightMoved)
        if self.outcome is not Outcome.PAUSED and not impossible and not left_alone:
            stays = cell.moment is Moment.REAPING or self.outcome is Outcome.PROMOTED
            home = CANDIDATE if stays else OUTGOING
            if world.weights[home] != 100:
                yield f"traffic is split {world.weights}, but belongs on {home}"
        if cell.moment is not Moment.REAPING and not world.state.color(OUTGOING).serves:
            yield "the former release no longer serves"

    def _missing_reports(self) -> Iterator[str]:
        """Yield what the journal should report but does not."""
        world, breakage, rollout = self.world, self.breakage, self.rollout
        if not world.journal.of("finished"):
            yield "the journal has no record of the end"
        if isinstance(breakage, SecondRamp):
            if not re.search(r"in use by ramp .*since", breakage.refusal):
                yield f"the second ramp got {breakage.refusal!r} without the lock's owner and its start time"
            return
        if self.cell.moment is Moment.ROLLING_BACK and not breakage.hits:
            return  # The rollback has another reason, and the fault has not affected it.
        if isinstance(breakage, WeightMoved) and self.cell.moment is Moment.ROLLING_BACK:
            return  # Somebody else did what the rollback does.
        hindered = self.outcome not in (Outcome.PROMOTED, Outcome.REAPED)
        if (breakage.hits or hindered) and not re.search(breakage.words, f"{world.journal.records} {rollout.reason}"):
            yield f"the journal does not report it (none of {breakage.words!r}); its last reason is {rollout.reason!r}"
