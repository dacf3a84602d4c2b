"""No policy stands in the way of the scripts: neither of what they write, nor of a rollback in the middle of it.

The real controller drives whole lives of a service; every config that it writes is declared by the real program and
judged, at the time that it was written. What is in the middle of an update is checked as a rollback finds it: the rule
as the rollback wants it, all else as far as the update had come.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from pulumi_policy import StackValidationPolicy

from components.config.release.release import Release
from components.domain.naming import COLORS, ROLLOUT_SERIAL_KEY, Color
from policies import clock
from policies.catalogue import POLICIES
from rollout.controller import Controller, Subject
from rollout.model.account import CapacityReservation
from rollout.model.changes import EngineRun
from rollout.model.machine import Phase, ReapRequested, Rollout, advance
from rollout.model.plan import make_plan
from rollout.ports import Watch
from tests.policies.judge import Config, judge
from tests.policies.stacks import Stack, declared
from tests.rollout.fakes import BASE, NEW, SERVICE, SIZED_URNS, World, release

pytestmark = pytest.mark.slow

RULE = f"ListenerRule {SERVICE}"
SIZED = {
    urn: tuple(f"{kind} {SERVICE}-{color}" for kind in ("Deployment", "PodDisruptionBudget", "ScaledObject"))
    for color, urn in SIZED_URNS.items()
}
# On, and without a single bundle: what the scripts write must need none.
CONFIG: Config = {"traffic-weight-needs-evidence": {"bundles": ["/no/bundles"]}}
SERVICE_POLICIES = tuple(policy for policy in POLICIES if isinstance(policy, StackValidationPolicy))

_BLOCK: Mapping[str, Any] = {"kind": "capacity_block", "id": "cr-0a1b2c3d4e5f60718", "subnet_id": "subnet-1"}
LAYOUTS: Mapping[str, Mapping[str, Any]] = {
    "on_rollout": {},
    "always": {"headroom_mode": "always", "spare_nodes": 1},
    "shared": {"headroom_mode": "always", "node_groups": "shared"},
    "surge": {"headroom_mode": "surge", "node_groups": "shared", "surge_replicas": 1},
    "existing nodes": {"existing_nodes": {"node_selector": {"team": "llm"}}},
    "scaled": {
        "autoscaling": {"min_replicas": 1, "max_replicas": 2, "target": 5, "prometheus_url": "http://prometheus:9090"},
        "blue": {"release": BASE["blue"]["release"]},
        "green": {},
    },
    "node pools": {"existing_nodes": {"karpenter_node_pool": {"node_class": "gpu"}}},
    "scaled on node pools": {
        "autoscaling": {"min_replicas": 1, "max_replicas": 2, "target": 5, "prometheus_url": "http://prometheus:9090"},
        "existing_nodes": {"karpenter_node_pool": {"node_class": "gpu"}},
        "blue": {"release": BASE["blue"]["release"]},
        "green": {},
    },
    "on_demand reservation that ends before the keep-warm window": {
        "headroom_mode": "reserved",
        "green": {
            "replicas": 2,
            "reservation": {**_BLOCK, "kind": "on_demand", "ends": "2026-11-21T08:30:00Z"},
        },
    },
    "capacity block": {
        "headroom_mode": "reserved",
        "instance_type": "p5.48xlarge",
        "gpus_per_replica": 8,
        "blue": {**BASE["blue"], "reservation": {**_BLOCK, "ends": "2026-11-23T08:00:00Z"}},
        "green": {"replicas": 2, "reservation": {**_BLOCK, "ends": "2026-11-22T08:00:00Z"}},
    },
}


@dataclass(frozen=True, kw_only=True)
class Write:
    """A config that a script has just written, and what it did next: a preview, or an update of some targets."""

    what: str
    at: datetime
    values: dict[str, Any]
    targets: Sequence[str] | None = None


class Recorder(World):
    """The world of fakes, which remembers what it was asked for."""

    def __init__(self, **values: Any) -> None:
        self.writes: list[Write] = []
        super().__init__(**values)
        self.capacity_reservations = [
            CapacityReservation(
                id=reservation.id,
                instance_type=self.state.instance_type,
                zone="us-east-1a",
                state="active",
                total=10,
                available=10,
                is_block=reservation.kind == "capacity_block",
            )
            for color in COLORS
            if (reservation := self.state.color(color).reservation) is not None and reservation.id is not None
        ]

    def preview(self, message: str) -> EngineRun:
        self._record(f"preview of {message}", None)
        return super().preview(message)

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        self._record(message, targets)
        return super().up(message, targets=targets, with_policies=with_policies, watch=watch)

    def _record(self, what: str, targets: Sequence[str] | None) -> None:
        values = json.loads(json.dumps(self.config.values))
        self.writes.append(Write(what=what, at=self.clock.now(), values=values, targets=targets))

    def ramp(self, subject: Release) -> Phase:
        settings = self.config.read()
        scaled = settings.autoscaling is not None
        plan = make_plan(settings.idle_color, settings.rollout, ladder=settings.ladder, autoscaled=scaled)
        return Controller(self.ports(), Subject(service=SERVICE, release=subject)).run(Rollout(plan=plan)).phase

    def roll_back(self, candidate: Color) -> Phase:
        settings = self.config.read()
        plan = make_plan(candidate, settings.rollout, ladder=settings.ladder)
        state = Rollout(plan=plan, phase=Phase.ROLLING_BACK, reason="asked")
        phase = Controller(self.ports(), Subject(service=SERVICE)).run(state).phase
        self.clock.shielded = False
        return phase

    def reap(self) -> Phase:
        settings = self.config.read()
        done = Rollout(plan=make_plan(settings.active_color, settings.rollout), phase=Phase.DONE)
        return Controller(self.ports(), Subject(service=SERVICE)).run(advance(done, ReapRequested())).phase

    def wait_until_the_keep_warm_window_is_over(self) -> None:
        self.clock.sleep(BASE["rollout"]["keep_warm_seconds"])


def promote_roll_back_and_promote_again(world: Recorder) -> None:
    """The way there and back, from a new stack: green has never had a release."""
    assert world.ramp(NEW) is Phase.DONE
    assert world.roll_back("green") is Phase.ROLLED_BACK
    assert world.ramp(NEW) is Phase.DONE


def fail_at_a_step(world: Recorder) -> None:
    """The gates refuse a release in the middle of the ramp, and then the smoke test refuses the next one."""
    world.error_rate["green"] = 0.5
    assert world.ramp(NEW) is Phase.ROLLED_BACK
    assert world.config.read().green_weight == 0
    world.endpoint_down = True
    assert world.ramp(NEW) is Phase.REFUSED


def replace_a_colour_that_still_runs(world: Recorder) -> None:
    """Nobody reaped: the former release is parked first, and then its colour is reaped for once."""
    assert world.ramp(NEW) is Phase.DONE
    world.wait_until_the_keep_warm_window_is_over()
    assert world.ramp(release("c")) is Phase.DONE
    world.wait_until_the_keep_warm_window_is_over()
    assert world.reap() is Phase.REAPED


def stop_during_the_deploy(world: Recorder) -> None:
    """Somebody ends the ramp while nodes and pods come up."""
    world.clock.stop_at = world.clock.elapsed + 3
    assert world.ramp(NEW) is Phase.ROLLED_BACK


LIVES: tuple[Callable[[Recorder], None], ...] = (
    promote_roll_back_and_promote_again,
    fail_at_a_step,
    replace_a_colour_that_still_runs,
    stop_during_the_deploy,
)


def stack_of(values: Mapping[str, Any]) -> Stack:
    return _stack_of(json.dumps({**values, "rollout_serial": 0}, sort_keys=True), values.get("rollout_serial", 0))


@cache
def _stack_of(others: str, serial: int) -> Stack:
    """What the program declares, run once for all serials: each is a tag of the rule and nothing else, as is tested."""
    if serial == 0:
        return declared(service_name=SERVICE, **json.loads(others))
    stack = _stack_of(others, 0)
    tags = {**stack[RULE].props["tags"], ROLLOUT_SERIAL_KEY: str(serial)}
    return {**stack, RULE: replace(stack[RULE], props={**stack[RULE].props, "tags": tags})}


@pytest.fixture
def judged_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    def set_time(time: datetime) -> None:
        monkeypatch.setattr(clock, "now", lambda: time)

    return set_time


@pytest.mark.parametrize(
    ("life", "layout"),
    [
        *((life, "on_rollout") for life in LIVES),
        *((promote_roll_back_and_promote_again, layout) for layout in list(LAYOUTS)[1:]),
    ],
)
def test_whatever_the_scripts_write_passes(
    life: Callable[[Recorder], None], layout: str, judged_at: Callable[[datetime], None]
) -> None:
    world = Recorder(**LAYOUTS[layout])
    applied, judged = stack_of(world.config.values), None
    life(world)
    assert len(world.writes) >= 4
    for write in world.writes:
        judged_at(write.at)
        wanted = stack_of(write.values)
        if wanted is not judged:
            assert judge(wanted, CONFIG) == [], write.what
            judged = wanted
        if write.targets:
            reached = [RULE, *(key for urn in write.targets for key in SIZED.get(urn, ()))]
            applied = {**applied, **{key: wanted[key] for key in reached if key in wanted}}
            assert judge(applied, policies=SERVICE_POLICIES) == [], write.what
        elif write.targets is not None:
            applied = wanted


@pytest.mark.parametrize("layout", ["on_rollout", "shared"])
def test_a_rollback_passes_in_the_middle_of_any_update(layout: str, judged_at: Callable[[datetime], None]) -> None:
    world = Recorder(**LAYOUTS[layout])
    before = world.config.values
    replace_a_colour_that_still_runs(world)
    for write in world.writes:
        if write.targets is None:
            continue
        asked = rollback_from(before, write.values)
        judged_at(write.at)
        assert judge(stack_of(asked), CONFIG) == [], write.what
        rule = stack_of(asked)[RULE]
        for found in on_the_way(stack_of(before), stack_of(write.values)):
            assert judge({**found, RULE: rule}, policies=SERVICE_POLICIES) == [], write.what
        before = write.values


def rollback_from(before: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
    """Return the config that a rollback writes first when an update from one config to another was broken off."""
    world = Recorder(**before)
    world.config.values = written
    settings = world.config.read()
    # As candidate_to_undo has it: a promotion is undone, else whatever was on its way to the idle colour.
    undoes = settings.keep_until and settings.color(settings.idle_color).serves
    world.roll_back(settings.active_color if undoes else settings.idle_color)
    return next(write.values for write in world.writes if write.targets)


def on_the_way(before: Stack, after: Stack) -> Iterator[Stack]:
    """The states of an update, in the order in which the program's resources depend on each other."""
    kinds = ("ListenerRule", "LaunchTemplate", "NodeGroup", "ConfigMap", "PodDisruptionBudget", "Deployment")
    last: Stack | None = None
    for done in range(len(kinds) + 1):
        found = {**before, **{key: one for key, one in after.items() if key.split()[0] in kinds[:done]}}
        # Most updates change nothing of most kinds.
        if found != last:
            yield found
        last = found


@pytest.mark.parametrize("layout", ["on_rollout", "surge", "scaled on node pools"])
def test_a_serial_is_a_tag_of_the_rule_and_nothing_else(layout: str) -> None:
    world = Recorder(**LAYOUTS[layout])
    assert world.ramp(NEW) is Phase.DONE
    for write in (world.writes[2], world.writes[-1]):
        assert write.values["rollout_serial"] > 0
        assert declared(service_name=SERVICE, **write.values) == stack_of(write.values)


def test_the_lives_pass_through_every_state_of_a_rule() -> None:
    """The tests above would be worth little if their worlds did not get anywhere."""
    seen: set[tuple[int, bool, bool, bool]] = set()
    for life in LIVES:
        world = Recorder()
        life(world)
        for write in world.writes:
            settings = World(**write.values).config.read()
            idle = settings.color(settings.idle_color)
            seen.add(
                (settings.weight(settings.idle_color), settings.rolling_out, bool(settings.keep_until), idle.serves)
            )
    assert {weight for weight, *_ in seen} == {0, 1, 25, 100}
    assert (0, True, False, False) in seen  # nodes come up
    assert (0, True, False, True) in seen  # the candidate comes up
    assert (100, True, False, True) in seen  # the last step
    assert (0, False, True, True) in seen  # promoted
    assert (0, False, False, True) in seen  # rolled back, not yet parked
    assert (0, False, False, False) in seen  # parked
