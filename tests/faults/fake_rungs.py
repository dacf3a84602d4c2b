"""Faults on a ladder, in the fake world: while the colours change places on the way up, and on the way back."""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from components.domain.naming import COLORS
from rollout.controller import Controller, Subject
from rollout.model.changes import EngineRun
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from rollout.ports import Watch
from tests.faults.cells import Fault, Lasting
from tests.faults.fake_cells import A_WHILE_SECONDS
from tests.faults.fake_faults import CANDIDATE, OUTGOING, PodsFail, StaleConfig, stack_lock, ways
from tests.faults.fake_world import Breakage, FaultyWorld
from tests.rollout.fakes import NEW, OLD, SERVICE

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
_MOST_LOST = 100
"""Requests that a colour's only replica may lose before the next look at it: a quarter of them, for a few seconds."""


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


@dataclass(frozen=True, kw_only=True)
class RungTrial:
    """A fault at a moment of a ladder, and what was wrong with how the rollout ended."""

    fault: Fault
    moment: str
    way: str
    lasting: Lasting
    outcome: Phase
    problems: tuple[str, ...]

    def __str__(self) -> str:
        what = f"{self.fault} {self.way} {self.moment} for {self.lasting.removeprefix('for ')}"
        return f"{what}: {self.outcome}: {'; '.join(self.problems)}"


def run_at_rungs(fault: Fault, *, most: int | None = None) -> Iterator[RungTrial]:
    """Try each variant of a fault at each moment, for a while and for good; at most about ``most`` of them."""
    with tempfile.TemporaryDirectory() as folder:
        names = tuple(ways(fault, FaultyLadder(), Path(folder)))
    every = list(product(MOMENTS, names, Lasting))
    one_in = 1 if most is None else math.ceil(len(every) / most)
    # Other ones for other faults: together, all moments and durations are tried.
    for moment, name, lasting in every[list(Fault).index(fault) % one_in :: one_in]:
        yield _run(fault, moment, name, lasting)


def _run(fault: Fault, moment: str, name: str, lasting: Lasting) -> RungTrial:
    world = FaultyLadder()
    if moment == "on the way back":
        _fail_at_the_top(world)
    with tempfile.TemporaryDirectory() as folder, stack_lock(world, Path(folder)):
        breakage = ways(fault, world, Path(folder))[name]
        lasts_seconds = A_WHILE_SECONDS if lasting is Lasting.A_WHILE else None
        world.break_at(breakage, MOMENTS[moment], lasts_seconds=lasts_seconds)
        settings = world.config.read()
        plan = make_plan(settings.idle_color, settings.rollout, ladder=settings.ladder)
        rollout = Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))
    return RungTrial(
        fault=fault,
        moment=moment,
        way=name,
        lasting=lasting,
        outcome=rollout.phase,
        problems=tuple(_problems(world, breakage, lasting, rollout)),
    )


def _fail_at_the_top(world: FaultyLadder) -> None:
    count = world.clock.on_sleep

    def fail() -> None:
        count()
        if world.weights[CANDIDATE] == 100:
            world.error_rate[CANDIDATE] = 0.35

    world.clock.on_sleep = fail


def _problems(world: FaultyLadder, breakage: Breakage, lasting: Lasting, rollout: Rollout) -> Iterator[str]:
    if not world.has_broken:
        yield "the moment never came"
        return
    if world.lost > (_MOST_LOST if isinstance(breakage, PodsFail) else 0.5):
        yield f"{world.lost:.0f} requests lost"
    if world.wrong_totals:
        yield f"weights do not total 100: {world.wrong_totals}"
    if world.most > 5:
        yield f"{world.most} replicas in 5 places"
    settings = world.config.read()
    match rollout.phase:
        case Phase.DONE | Phase.ROLLED_BACK:
            home = CANDIDATE if rollout.phase is Phase.DONE else OUTGOING
            if world.weights[home] != 100 or len(world.pods(home)) != 4:
                yield f"traffic is split {world.weights} and {home} runs {len(world.pods(home))} replicas"
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
