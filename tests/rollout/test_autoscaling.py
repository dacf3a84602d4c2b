"""Rollouts whose colours an autoscaler resizes: floors rise before traffic moves, and are handed back afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from components.domain.capacity.capacity import replicas_for_weight
from components.domain.naming import COLORS, Color
from rollout.commands import ramp as ramp_by_script
from rollout.commands import reap
from rollout.controller import Controller, Subject
from rollout.journal.replay import run_to_resume
from rollout.model.changes import EngineRun
from rollout.model.machine import Phase, Rollout
from rollout.model.nodes import Pod
from rollout.model.plan import make_plan
from rollout.model.records import FloorMoved
from rollout.model.run import last_run
from rollout.ports import Watch
from rollout.status import read_status
from rollout.steps.drift import adopted
from tests.rollout.fakes import BASE, NEW, OLD, SERVICE
from tests.rollout.killable import KillableWorld, Killed
from tests.rollout.test_commands import session

LEAST, MOST = 2, 12
STEPS = [{"candidate_percent": percent, "hold_seconds": 60} for percent in (1, 25, 50, 75, 100)]
SCALED: dict[str, Any] = {
    "rollout": {**BASE["rollout"], "steps": STEPS},
    "autoscaling": {
        "min_replicas": LEAST,
        "max_replicas": MOST,
        "target": 5,
        "prometheus_url": "http://prometheus.monitoring:9090",
    },
    "blue": {"release": OLD.model_dump(mode="json")},
    "green": {},
}


class ScaledWorld(KillableWorld):
    """A world with an autoscaler that follows the load at once, between floor and ceiling.

    It looks whether a colour lacks replicas for its share of the requests, or could not take everything back.
    """

    def __init__(self, **overrides: Any) -> None:
        self.busy = 6
        """How many replicas all requests need."""
        self.short: list[tuple[Color, int, int]] = []
        """Colours that got a share of the requests before they had the replicas for it."""
        super().__init__(**{**SCALED, **overrides})
        for _ in range(13):
            self.clock.sleep(10)  # as often as Prometheus looks, so that it knows the rate of requests

    def pods(self, color: Color) -> tuple[Pod, ...]:
        pods = super().pods(color)
        if not pods:
            return ()
        share = replicas_for_weight(self.weights[color], self.busy)
        running = min(max(share, self.state.color(color).floor_replicas), MOST)
        return tuple(replace(pods[0], name=f"{SERVICE}-{color}-{number}") for number in range(running))

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        before = {color: len(self.pods(color)) for color in COLORS}
        weights = dict(self.weights)
        run = super().up(message, targets=targets, with_policies=with_policies, watch=watch)
        for color in COLORS:
            if self.weights[color] > weights[color] and before[color] < self.needed(color):
                self.short.append((color, before[color], self.weights[color]))
        return run

    def kill_in_up_of(self, message: str, how: str) -> None:
        """Kill the controller in the first update with this message."""
        up = self.up

        def killing(*given: Any, **named: Any) -> EngineRun:
            if given[0] == message:
                self.up = up  # type: ignore[method-assign]
                self.kill_in_up = (self.ups_begun + 1, how)
            return up(*given, **named)

        self.up = killing  # type: ignore[method-assign]

    def needed(self, color: Color) -> int:
        return min(replicas_for_weight(self.weights[color], self.busy), MOST)

    def at_weight(self, green_weight: int, act: Callable[[], None]) -> None:
        """Do something as soon as the rule has this weight."""
        self.clock.on_sleep = _AtWeight(self, green_weight, self.clock.on_sleep, act)

    @property
    def floors(self) -> list[tuple[Color, int]]:
        return [(one.color, one.floor) for record in self.journal.kept if isinstance(one := record.body, FloorMoved)]


@dataclass
class _AtWeight:
    """Acts after a sleep, once. Not a function, because the copy of a world needs its own."""

    world: ScaledWorld
    green_weight: int
    count: Callable[[], None]
    act: Callable[[], None]
    done: bool = False

    def __call__(self) -> None:
        self.count()
        if not self.done and self.world.weights["green"] == self.green_weight:
            self.done = True
            self.act()


def ramp(world: ScaledWorld) -> Rollout:
    settings = world.config.read()
    plan = make_plan(settings.idle_color, settings.rollout, ladder=settings.ladder, autoscaled=True)
    return Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))


def resume(world: ScaledWorld) -> Rollout:
    found = run_to_resume(last_run(world.journal.kept), NEW)
    if found is None:
        return ramp(world)
    return Controller(world.ports(), Subject(service=SERVICE, release=found.release)).resume(found)


def agree(world: ScaledWorld) -> bool:
    """Return whether the config says what was deployed last."""
    config, state = world.config.read(), world.state
    return config.traffic == state.traffic and all(config.color(color) == state.color(color) for color in COLORS)


def double(world: ScaledWorld) -> Callable[[], None]:
    return partial(_double, world)


def _double(world: ScaledWorld) -> None:
    world.busy *= 2
    world.requests_per_second *= 2


def test_the_candidate_begins_with_what_serves_and_neither_colour_falls_below_until_the_promotion() -> None:
    world = ScaledWorld()
    assert ramp(world).phase is Phase.DONE
    assert world.floors == [("blue", 6), ("green", LEAST)]
    deployed = next(one for one in world.applied if one.green.serves)
    assert deployed.color("green").floor_replicas == deployed.color("blue").floor_replicas == 6
    moving = [one for one in world.applied if one.rolling_out and one.green.serves]
    assert all(one.color(color).floor_replicas >= 6 for one in moving for color in COLORS)


def test_after_the_promotion_the_kept_colour_can_take_everything_back_and_the_promoted_one_is_the_autoscalers() -> None:
    world = ScaledWorld()
    world.at_weight(25, double(world))
    assert ramp(world).phase is Phase.DONE
    assert len(world.pods("blue")) == 12, "no request goes there, and it can carry all"
    assert world.state.color("green").floor_replicas == LEAST
    assert world.config.read().green.floor_replicas == 0


@pytest.mark.parametrize("green_weight", [1, 25, 50, 75])
def test_traffic_that_doubles_is_followed_before_the_next_weight(green_weight: int) -> None:
    world = ScaledWorld()
    world.at_weight(green_weight, double(world))
    assert ramp(world).phase is Phase.DONE
    assert world.short == []
    assert ("blue", 12) in world.floors
    # A rollback at any later step would have found a colour that carries all.
    last = [one for one in world.applied if one.rolling_out][-1]
    assert last.color("blue").floor_replicas == last.color("green").floor_replicas == 12


def test_a_floor_is_an_update_of_nothing_but_its_colour_and_the_rule() -> None:
    world = ScaledWorld()
    ramp(world)
    targets = [targets for message, targets in world.ups if message.startswith("run at least")]
    assert len(targets) == 2
    assert all(len(one) == 2 for one in targets)


def test_a_rollback_parks_the_candidate_and_hands_the_floor_back() -> None:
    world = ScaledWorld()
    world.at_weight(25, lambda: world.error_rate.__setitem__("green", 0.35))
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert world.floors[-1] == ("blue", LEAST)
    assert world.pods("green") == ()
    assert agree(world)
    assert world.config.read().blue.floor_replicas == world.config.read().green.floor_replicas == 0


def test_a_reap_parks_the_kept_colour_with_its_floor() -> None:
    world = ScaledWorld()
    assert ramp_by_script(session(world), NEW).phase is Phase.DONE
    world.clock.sleep(world.config.read().rollout.keep_warm_seconds + 1)
    found = reap(session(world))
    assert found is not None
    assert found.phase is Phase.REAPED
    assert world.pods("blue") == ()
    assert world.config.read().blue.floor_replicas == 0


OTHERS = [
    {"node_selector": {"team": "llm"}},
    {"node_selector": {"team": "llm"}, "autoscaled": True},
    {"karpenter_node_pool": {"node_class": "gpu"}},
]


@pytest.mark.parametrize("nodes", OTHERS, ids=["there", "autoscaled", "node pools"])
def test_on_nodes_of_others_traffic_is_followed_and_taken_back_as_on_node_groups(nodes: dict[str, Any]) -> None:
    world = ScaledWorld(existing_nodes=nodes)
    world.at_weight(25, double(world))
    world.at_weight(75, lambda: world.error_rate.__setitem__("green", 0.35))
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert world.short == []
    assert ("blue", 12) in world.floors
    assert world.floors[-1] == ("blue", LEAST)
    assert world.pods("green") == ()
    assert agree(world)
    world.error_rate["green"] = 0
    assert ramp(world).phase is Phase.DONE


def test_a_rollout_needs_a_quota_for_both_colours_at_their_ceiling_where_nodes_follow_pods() -> None:
    world = ScaledWorld(existing_nodes={"karpenter_node_pool": {"node_class": "gpu"}})
    world.quota_vcpus = 143.0
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "18 new nodes of g6e.2xlarge for green and blue at max_replicas need 144 vCPUs" in rollout.reason
    world.quota_vcpus = 144.0
    assert ramp(world).phase is Phase.DONE


def test_a_floor_that_cannot_be_handed_back_is_told_and_the_promotion_stands() -> None:
    world = ScaledWorld()
    promoted: list[bool] = []

    def fail(*_: Any) -> None:
        if not promoted and world.state.active_color == "green":
            promoted.append(True)
            world.failing_ups = 1

    count = world.clock.on_sleep
    world.clock.on_sleep = lambda: (count(), fail())[0]
    world.hooks.run = lambda *_, **__: fail() or None  # type: ignore[method-assign,return-value]
    write = world.journal.write

    def written(body: Any) -> None:
        write(body)
        if body.kind == "promoted":
            fail()

    world.journal.write = written  # type: ignore[method-assign]
    assert ramp(world).phase is Phase.DONE
    assert any("could not be handed back" in one["text"] for one in world.journal.of("note"))
    # The next command that takes a colour out of use does it.
    world.clock.sleep(world.config.read().rollout.keep_warm_seconds + 1)
    assert reap(session(world)) is not None
    assert world.state.color("green").floor_replicas == LEAST


def test_replicas_that_no_autoscaler_starts_are_told_with_where_to_look() -> None:
    world = ScaledWorld()
    pods = world.pods
    world.pods = lambda color: pods(color)[: 1 if color == "green" else None]  # type: ignore[method-assign]
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "The autoscaler has started 1 of 6; the events of the ScaledObject say why" in rollout.reason


def test_a_stale_config_gets_the_floor_that_the_rule_has() -> None:
    world = ScaledWorld()
    rule = world.rule()
    blue = replace(rule.colors["blue"], replicas=7)
    stale = replace(rule, colors={**rule.colors, "blue": blue}, rollout_serial=3)
    assert adopted(world.config.read(), stale) == {"rollout_serial": 3, "blue.floor_replicas": 7}


def test_the_status_has_the_bounds_of_a_colour_that_is_not_parked() -> None:
    colors = read_status(session(ScaledWorld())).colors
    assert (colors["blue"].replicas_wanted, colors["blue"].replicas_most) == (LEAST, MOST)
    assert (colors["green"].replicas_wanted, colors["green"].replicas_most) == (0, None)


def test_without_keda_no_rollout_begins() -> None:
    world = ScaledWorld()
    world.resource_types.discard("scaledobjects")
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "scaledobjects" in rollout.reason


def _killed(world: ScaledWorld) -> bool:
    try:
        ramp(world)
    except Killed:
        return True
    return False


@pytest.mark.parametrize("how", ["before", pytest.param("after", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "move",
    [
        "run at least 6 replicas of blue",
        "run at least 12 replicas of green",
        "run at least 12 replicas of blue",
        f"run at least {LEAST} replicas of green",
    ],
)
def test_a_rollout_that_is_killed_while_a_floor_moves_goes_on_with_it(move: str, how: str) -> None:
    world = ScaledWorld(rollout={**BASE["rollout"], "steps": STEPS[1:5:3]})
    world.at_weight(25, double(world))
    world.kill_in_up_of(move, how)
    assert _killed(world)
    world.killable.reopen()
    assert resume(world).phase is Phase.DONE
    assert world.short == []
    assert agree(world)
    assert world.state.color("green").floor_replicas == LEAST
    assert world.state.color("blue").floor_replicas == 12


@pytest.mark.parametrize("move", ["run at least 6 replicas of blue", "run at least 12 replicas of blue"])
def test_a_rollout_that_is_killed_while_a_floor_moves_can_be_rolled_back(move: str) -> None:
    world = ScaledWorld(rollout={**BASE["rollout"], "steps": STEPS[1:5:3]})
    world.at_weight(25, double(world))
    world.kill_in_up_of(move, "before")
    assert _killed(world)
    world.killable.reopen()
    found = run_to_resume(last_run(world.journal.kept), NEW)
    assert found is not None
    stopped = Controller(world.ports(), Subject(service=SERVICE, release=found.release)).resume(found, "asked to stop")
    assert stopped.phase is Phase.ROLLED_BACK
    assert agree(world)
    assert world.state.color("blue").floor_replicas == LEAST
    assert world.pods("green") == ()
