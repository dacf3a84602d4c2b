"""Faults with an autoscaler, in the fake world: while floors rise before a weight, and while they are handed back."""

import math
import tempfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from rollout.controller import Controller, Subject
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from tests.faults.cells import Fault, Lasting
from tests.faults.fake_cells import A_WHILE_SECONDS
from tests.faults.fake_faults import CANDIDATE, OUTGOING, PodsFail, StaleConfig, stack_lock, ways
from tests.faults.fake_rungs import RungTrial
from tests.faults.fake_world import Breakage, FaultyWorld
from tests.rollout.fakes import NEW, SERVICE
from tests.rollout.test_autoscaling import LEAST, ScaledWorld, double

MOMENTS: dict[str, Callable[[str, int], bool]] = {
    "while floors rise": lambda phase, step: phase == Phase.RESIZING and step == 2,
    "at the promotion": lambda phase, _: phase == Phase.PROMOTING,
    "on the way back": lambda phase, _: phase == Phase.ROLLING_BACK,
}
_MOST_LOST = 100
"""Requests that failing pods may lose before the next look at them."""


class FaultyFloors(FaultyWorld, ScaledWorld):
    """A world with an autoscaler, whose traffic doubles at the second weight: floors must rise before the third."""

    def __init__(self, **overrides: Any) -> None:
        super().__init__(**overrides)
        self.at_weight(25, double(self))


def run_at_floors(fault: Fault, *, most: int | None = None) -> Iterator[RungTrial]:
    """Try each variant of a fault at each moment, for a while and for good; at most about ``most`` of them."""
    with tempfile.TemporaryDirectory() as folder:
        names = tuple(ways(fault, FaultyFloors(), Path(folder)))
    every = list(product(MOMENTS, names, Lasting))
    one_in = 1 if most is None else math.ceil(len(every) / most)
    # Other ones for other faults: together, all moments and durations are tried.
    for moment, name, lasting in every[list(Fault).index(fault) % one_in :: one_in]:
        yield _run(fault, moment, name, lasting)


def _run(fault: Fault, moment: str, name: str, lasting: Lasting) -> RungTrial:
    world = FaultyFloors()
    if moment == "on the way back":
        world.at_weight(75, lambda: world.error_rate.__setitem__(CANDIDATE, 0.35))
    with tempfile.TemporaryDirectory() as folder, stack_lock(world, Path(folder)):
        breakage = ways(fault, world, Path(folder))[name]
        lasts_seconds = A_WHILE_SECONDS if lasting is Lasting.A_WHILE else None
        world.break_at(breakage, MOMENTS[moment], lasts_seconds=lasts_seconds)
        settings = world.config.read()
        plan = make_plan(settings.idle_color, settings.rollout, autoscaled=True)
        rollout = Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))
    return RungTrial(
        fault=fault,
        moment=moment,
        way=name,
        lasting=lasting,
        outcome=rollout.phase,
        problems=tuple(_problems(world, breakage, lasting, rollout)),
    )


def _problems(world: FaultyFloors, breakage: Breakage, lasting: Lasting, rollout: Rollout) -> Iterator[str]:
    if not world.has_broken:
        yield "the moment never came"
        return
    if world.lost > (_MOST_LOST if isinstance(breakage, PodsFail) else 0.5):
        yield f"{world.lost:.0f} requests lost"
    if world.wrong_totals:
        yield f"weights do not total 100: {world.wrong_totals}"
    if world.short:
        yield f"a weight rose before the replicas for it: {world.short}"
    settings = world.config.read()
    match rollout.phase:
        case Phase.DONE | Phase.ROLLED_BACK:
            home = CANDIDATE if rollout.phase is Phase.DONE else OUTGOING
            if world.weights[home] != 100 or len(world.pods(home)) < world.busy:
                yield f"traffic is split {world.weights} and {home} runs {len(world.pods(home))} replicas"
            if rollout.phase is Phase.DONE and len(world.pods(OUTGOING)) < world.busy:
                yield f"the way back runs {len(world.pods(OUTGOING))} replicas, and all requests need {world.busy}"
            if settings.green_weight != world.weights["green"] or settings.active_color != home:
                yield f"the config says green_weight {settings.green_weight} and {settings.active_color}"
            floor = world.state.color(home).floor_replicas
            if floor != LEAST and not any(
                "could not be handed back" in one["text"] for one in world.journal.of("note")
            ):
                yield f"the floor of {home} stays at {floor}, and nobody says so"
        case Phase.FAILED:
            # A stale config cannot be used to move replicas, and a person must repair what is broken for good.
            excused = lasting is Lasting.FOR_GOOD or breakage.needs_a_person or isinstance(breakage, StaleConfig)
            if not excused or not rollout.reason:
                yield f"failed: {rollout.reason!r}"
            if not world.pods(OUTGOING):
                yield "no way back is left"
        case phase:
            yield f"ended {phase}: {rollout.reason}"
