"""Faults with an autoscaler, in the fake world: while floors rise before a weight, and while they are handed back."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from components.domain.naming import Color
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from tests.faults.fake_faults import CANDIDATE, OUTGOING
from tests.faults.fake_moments import Trials
from tests.faults.fake_world import FaultyWorld
from tests.rollout.test_autoscaling import LEAST, ScaledWorld, double

MOMENTS: dict[str, Callable[[str, int], bool]] = {
    "while floors rise": lambda phase, step: phase == Phase.RESIZING and step == 2,
    "at the promotion": lambda phase, _: phase == Phase.PROMOTING,
    "on the way back": lambda phase, _: phase == Phase.ROLLING_BACK,
}


class FaultyFloors(FaultyWorld, ScaledWorld):
    """A world with an autoscaler, whose traffic doubles at the second weight: floors must rise before the third."""

    def __init__(self, **overrides: Any) -> None:
        super().__init__(**overrides)
        self.at_weight(25, double(self))


def _fail_late(world: FaultyFloors) -> None:
    world.at_weight(75, partial(_fail, world))


def _fail(world: FaultyFloors) -> None:
    world.error_rate[CANDIDATE] = 0.35


def _too_few(world: FaultyFloors) -> Iterator[str]:
    if world.short:
        yield f"a weight rose before the replicas for it: {world.short}"


def _wrong_at_the_end(world: FaultyFloors, home: Color, rollout: Rollout) -> Iterator[str]:
    if world.weights[home] != 100 or len(world.pods(home)) < world.busy:
        yield f"traffic is split {world.weights} and {home} runs {len(world.pods(home))} replicas"
    if rollout.phase is Phase.DONE and len(world.pods(OUTGOING)) < world.busy:
        yield f"the way back runs {len(world.pods(OUTGOING))} replicas, and all requests need {world.busy}"
    floor = world.state.color(home).floor_replicas
    if floor != LEAST and not any("could not be handed back" in one["text"] for one in world.journal.of("note")):
        yield f"the floor of {home} stays at {floor}, and nobody says so"


AT_FLOORS = Trials(
    world=FaultyFloors,
    moments=MOMENTS,
    fail=_fail_late,
    plan=lambda settings: make_plan(settings.idle_color, settings.rollout, autoscaled=True),
    always_wrong=_too_few,
    wrong_at_the_end=_wrong_at_the_end,
)
