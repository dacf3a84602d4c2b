"""Faults at moments at which replicas move, in a fake world: each way of a fault, for a while and for good."""

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Generic, TypeVar

from components.config.settings import ServiceSettings
from components.domain.naming import Color
from rollout.controller import Subject
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import Plan
from tests.faults.cells import Fault, Lasting
from tests.faults.fake_cells import A_WHILE_SECONDS, Stepping
from tests.faults.fake_faults import CANDIDATE, OUTGOING, PodsFail, StaleConfig, stack_lock, ways
from tests.faults.fake_world import Breakage, FaultyWorld
from tests.rollout.fakes import NEW, SERVICE, copy_together

_MOST_LOST = 100
"""Requests that failing pods may lose before the next look at them: for a few seconds, a colour's only replica's."""

WorldT = TypeVar("WorldT", bound=FaultyWorld)


@dataclass(frozen=True, kw_only=True)
class MomentTrial:
    """A fault at a moment of a rollout, and what was wrong with how the rollout ended."""

    fault: Fault
    moment: str
    way: str
    lasting: Lasting
    outcome: Phase
    problems: tuple[str, ...]

    def __str__(self) -> str:
        what = f"{self.fault} {self.way} {self.moment} for {self.lasting.removeprefix('for ')}"
        return f"{what}: {self.outcome}: {'; '.join(self.problems)}"


@dataclass(frozen=True, kw_only=True)
class Trials(Generic[WorldT]):
    """What is tried with every fault."""

    world: Callable[[], WorldT]
    moments: Mapping[str, Callable[[str, int], bool]]
    """By name, whether a phase and a step are the moment. For ``on the way back``, the rollout is made to fail."""
    fail: Callable[[WorldT], None]
    """Make the rollout fail late."""
    plan: Callable[[ServiceSettings], Plan]
    always_wrong: Callable[[WorldT], Iterator[str]]
    """Yield what is wrong however the rollout ended."""
    wrong_at_the_end: Callable[[WorldT, Color, Rollout], Iterator[str]]
    """Yield what is wrong with a colour to which all traffic went at the end."""
    _reached: dict[str, tuple[WorldT, Stepping]] = field(default_factory=dict[str, tuple[WorldT, Stepping]], init=False)

    def run(self, fault: Fault, *, most: int | None = None) -> Iterator[MomentTrial]:
        """Try each variant of a fault at each moment, for a while and for good; at most about ``most`` of them."""
        with tempfile.TemporaryDirectory() as folder:
            names = tuple(ways(fault, self.world(), Path(folder)))
        every = list(product(self.moments, names, Lasting))
        one_in = 1 if most is None else math.ceil(len(every) / most)
        # Other ones for other faults: together, all moments and durations are tried.
        for moment, name, lasting in every[list(Fault).index(fault) % one_in :: one_in]:
            yield self._run(fault, moment, name, lasting)

    def _at(self, moment: str) -> tuple[WorldT, Stepping]:
        """Return the world and its controller when the moment comes. Until then, nothing depends on the fault."""
        if moment not in self._reached:
            world = self.world()
            if moment == "on the way back":
                self.fail(world)
            controller = Stepping(world.ports(), Subject(service=SERVICE, release=NEW))
            controller.stop_at(Rollout(plan=self.plan(world.config.read())), self.moments[moment])
            self._reached[moment] = world, controller
        return self._reached[moment]

    def _run(self, fault: Fault, moment: str, name: str, lasting: Lasting) -> MomentTrial:
        world, controller = copy_together(*self._at(moment))
        with tempfile.TemporaryDirectory() as folder, stack_lock(world, Path(folder)):
            breakage = ways(fault, world, Path(folder))[name]
            lasts_seconds = A_WHILE_SECONDS if lasting is Lasting.A_WHILE else None
            world.break_at(breakage, self.moments[moment], lasts_seconds=lasts_seconds)
            rollout = controller.go_on()
        return MomentTrial(
            fault=fault,
            moment=moment,
            way=name,
            lasting=lasting,
            outcome=rollout.phase,
            problems=tuple(self._problems(world, breakage, lasting, rollout)),
        )

    def _problems(self, world: WorldT, breakage: Breakage, lasting: Lasting, rollout: Rollout) -> Iterator[str]:
        if not world.has_broken:
            yield "the moment never came"
            return
        if world.lost > (_MOST_LOST if isinstance(breakage, PodsFail) else 0.5):
            yield f"{world.lost:.0f} requests lost"
        if world.wrong_totals:
            yield f"weights do not total 100: {world.wrong_totals}"
        yield from self.always_wrong(world)
        settings = world.config.read()
        match rollout.phase:
            case Phase.DONE | Phase.ROLLED_BACK:
                home = CANDIDATE if rollout.phase is Phase.DONE else OUTGOING
                yield from self.wrong_at_the_end(world, home, rollout)
                if settings.green_weight != world.weights["green"] or settings.active_color != home:
                    yield f"the config says green_weight {settings.green_weight} and {settings.active_color}"
            case Phase.FAILED:
                # A stale config cannot be used to move replicas, and a person must repair what is broken for good.
                excused = lasting is Lasting.FOR_GOOD or breakage.needs_a_person or isinstance(breakage, StaleConfig)
                if not excused or not rollout.reason:
                    yield f"failed: {rollout.reason!r}"
                if not world.pods(OUTGOING):
                    yield "no way back is left"
            case phase:
                yield f"ended {phase}: {rollout.reason}"
