"""Faults on a ladder, in the fake world: while the colours change places on the way up, and on the way back."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.domain.naming import COLORS, Color
from rollout.model.changes import EngineRun
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from rollout.ports import Watch
from tests.faults.fake_faults import CANDIDATE
from tests.faults.fake_moments import Trials
from tests.faults.fake_world import FaultyWorld
from tests.rollout.fakes import OLD

SHARED: dict[str, Any] = {
    "headroom_mode": "surge",
    "node_groups": "shared",
    "surge_replicas": 1,
    "blue": {"replicas": 4, "release": OLD.model_dump(mode="json")},
    "green": {"replicas": 4},
}
MOMENTS: dict[str, Callable[[str, int], bool]] = {
    "on the way up": lambda phase, step: phase == Phase.RESIZING and step == 3,
    "on the way back": lambda phase, _: phase == Phase.ROLLING_BACK,
}


class FaultyLadder(FaultyWorld):
    """A world with places for four replicas and one more, which counts the replicas after every update."""

    def __init__(self, **overrides: Any) -> None:
        self.most = 0
        super().__init__(**{**SHARED, **overrides})

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        before = {color: len(self.pods(color)) for color in COLORS}
        run = super().up(message, targets=targets, with_policies=with_policies, watch=watch)
        for color, (count, reason) in self.not_ready.items():
            # Kubernetes ends pods that are not ready first.
            # https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset
            ended = max(before[color] - len(self.pods(color)), 0)
            self.not_ready[color] = (max(count - ended, 0), reason)
        self.most = max(self.most, sum(len(self.pods(color)) for color in COLORS))
        return run


def _fail_at_the_top(world: FaultyLadder) -> None:
    world.fail_at(CANDIDATE, 100)


def _too_many(world: FaultyLadder) -> Iterator[str]:
    if world.most > 5:
        yield f"{world.most} replicas in 5 places"


def _wrong_at_the_end(world: FaultyLadder, home: Color, _: Rollout) -> Iterator[str]:
    if world.weights[home] != 100 or len(world.pods(home)) != 4:
        yield f"traffic is split {world.weights} and {home} runs {len(world.pods(home))} replicas"


AT_RUNGS = Trials(
    world=FaultyLadder,
    moments=MOMENTS,
    fail=_fail_at_the_top,
    plan=lambda settings: make_plan(settings.idle_color, settings.rollout, ladder=settings.ladder),
    always_wrong=_too_many,
    wrong_at_the_end=_wrong_at_the_end,
)
