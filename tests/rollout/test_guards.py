"""The updates of the scripts, in their order, pass the guards in every course of a rollout onto either colour."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config.service_settings import ServiceSettings
from components.domain.balancer.traffic import Traffic
from components.domain.guards import Context, DeclaredNodes, DeclaredPods, nodes_refusal, pods_refusal, rule_refusal
from components.domain.naming import COLORS, Color
from rollout.controller import Controller, Subject
from rollout.model.changes import EngineRun
from rollout.model.errors import UpdateFailedError
from rollout.model.machine import Phase, ReapRequested, Rollout, advance
from rollout.model.plan import make_plan
from rollout.model.verdict import Verdict
from rollout.ports import Watch
from rollout.steps.preflight import preflight_violations
from tests.rollout.fakes import NEW, OLD, SERVICE, World


def traffic(state: ServiceSettings) -> Traffic:
    return Traffic(
        weights={color: state.weight(color) for color in COLORS},
        active_color=state.active_color,
        keep_until=state.keep_until,
        rollout_serial=state.rollout_serial,
    )


class GuardedWorld(World):
    """A world that calls the guards as the hooks do: in previews and updates, for the rule, the nodes and the pods."""

    def __init__(self, **overrides: Any) -> None:
        self.accepted = 0
        super().__init__(**overrides)

    def preview(self, message: str) -> EngineRun:
        preview = super().preview(message)
        self._ask(())
        return preview

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        self._ask(targets)
        return super().up(message, targets=targets, with_policies=with_policies, watch=watch)

    def refusals(self, targets: Sequence[str] = ()) -> list[str]:
        old, new = self.state, self.config.read()
        context = Context(
            stack="prod",
            service=SERVICE,
            deployed=traffic(old),
            desired=traffic(new),
            announced=new.announced,
            max_step_points=1,  # does not limit the steps of a script
            now=self.clock.now(),
        )
        judged = [rule_refusal(context)]
        for color in () if targets else COLORS:
            judged.append(nodes_refusal((color,), _nodes(old, color), _nodes(new, color), context))
            before, after = _pods(old, color), _pods(new, color)
            if before is not None and after is not None:
                judged.append(pods_refusal(color, before, after, context))
        return [refusal for refusal in judged if refusal]

    def _ask(self, targets: Sequence[str]) -> None:
        if refusals := self.refusals(targets):
            raise UpdateFailedError(f"guard refused: {refusals[0]}")
        self.accepted += 1


def _pods(state: ServiceSettings, color: Color) -> DeclaredPods | None:
    colored = state.color(color)
    if colored.release is None:
        return None
    return DeclaredPods(release_id=colored.release.release_id, replicas=colored.replicas if colored.serves else 0)


def _nodes(state: ServiceSettings, color: Color) -> DeclaredNodes:
    size = state.pools[color]
    return DeclaredNodes(desired=size.desired_nodes, maximum=size.max_nodes, made_from={})


def new_world(active: Color) -> GuardedWorld:
    if active == "blue":
        return GuardedWorld(rollout_serial=3)
    green = {"replicas": 2, "release": OLD.model_dump(mode="json")}
    return GuardedWorld(rollout_serial=3, active_color="green", green_weight=100, blue={"replicas": 2}, green=green)


def ramp(world: GuardedWorld, plan_steps: Any = None) -> Rollout:
    state = world.config.read()
    plan = make_plan(state.idle_color, plan_steps or state.rollout)
    return Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))


def roll_back(world: GuardedWorld, candidate: Color) -> Rollout:
    plan = make_plan(candidate, world.config.read().rollout)
    rollout = Rollout(plan=plan, phase=Phase.ROLLING_BACK, reason="asked")
    return Controller(world.ports(), Subject(service=SERVICE)).run(rollout)


def reap(world: GuardedWorld) -> Rollout:
    state = world.config.read()
    done = Rollout(plan=make_plan(state.active_color, state.rollout), phase=Phase.DONE)
    return Controller(world.ports(), Subject(service=SERVICE)).run(advance(done, ReapRequested()))


def assert_nothing_was_refused(world: GuardedWorld) -> None:
    assert "guard refused" not in str(world.journal.records)
    assert world.accepted >= len(world.ups)


@pytest.mark.parametrize("active", COLORS)
def test_a_rollout_its_reap_and_the_next_one_write_nothing_that_is_refused(active: Color) -> None:
    world = new_world(active)
    assert ramp(world).phase is Phase.DONE
    world.clock.sleep(3601)
    assert reap(world).phase is Phase.REAPED
    assert ramp(world).phase is Phase.DONE
    assert_nothing_was_refused(world)


@pytest.mark.parametrize("active", COLORS)
def test_a_rollout_onto_a_colour_that_still_serves_an_older_release_passes(active: Color) -> None:
    world = new_world(active)
    ramp(world)
    world.clock.sleep(3601)
    assert ramp(world).phase is Phase.DONE
    assert_nothing_was_refused(world)


@pytest.mark.parametrize("active", COLORS)
def test_a_rollback_after_promotion_passes_and_parks_the_candidate(active: Color) -> None:
    world = new_world(active)
    candidate = world.config.read().idle_color
    ramp(world)
    assert roll_back(world, candidate).phase is Phase.ROLLED_BACK
    assert world.state.color(candidate).parked
    assert world.state.active_color == active
    assert_nothing_was_refused(world)


@pytest.mark.parametrize("active", COLORS)
def test_a_rollback_passes_when_somebody_gave_the_kept_colour_traffic(active: Color) -> None:
    world = new_world(active)
    ramp(world)
    world.set_green_weight(50)
    assert roll_back(world, active).phase is Phase.ROLLED_BACK
    assert world.state.color(active).parked
    assert_nothing_was_refused(world)


@settings(max_examples=60, deadline=None)
@given(
    active=st.sampled_from(COLORS),
    stop_at=st.none() | st.floats(600, 2000),
    smoke=st.sampled_from(Verdict),
    errors=st.sampled_from([0.0, 0.5]),
    failing_ups=st.integers(0, 3),
)
@pytest.mark.slow
def test_however_a_rollout_ends_its_writes_pass(
    active: Color, stop_at: float | None, smoke: Verdict, errors: float, failing_ups: int
) -> None:
    world = new_world(active)
    world.clock.stop_at, world.smoke, world.failing_ups = stop_at, smoke, failing_ups
    world.error_rate[world.config.read().idle_color] = errors
    ramp(world)
    world.clock.stop_at, world.failing_ups = None, 0
    if world.state.active_color != active:
        world.clock.shielded = False
        assert roll_back(world, world.state.active_color).phase is Phase.ROLLED_BACK
    assert_nothing_was_refused(world)


def test_a_ramp_onto_a_colour_that_is_kept_warm_is_refused_before_it_begins_with_the_way_to_announce_it() -> None:
    world = new_world("blue")
    ramp(world)
    state = world.config.read()
    violations = preflight_violations(
        plan=make_plan("blue", state.rollout),
        settings=state,
        rule=world.rule(),
        outgoing=world.health("green"),
        now=world.clock.now(),
        idle_timeout_seconds=state.required_idle_timeout_seconds,
    )
    assert [violation for violation in violations if violation.startswith("keep_until: blue is kept warm until")]
    assert "give up the way back: scripts.keep --until +1m --shorten <reason>. By hand: set" in str(violations)
    assert f'announced to "{state.rollout_serial} <reason>"' in str(violations)
    # Exactly the fix in the message passes the guards.
    world.config.edit({"keep_until": ""})
    assert world.refusals()
    world.config.edit({"announced": f"{state.rollout_serial} no way back needed"})
    assert world.refusals() == []
    world.up("by hand")
    assert ramp(world).phase is Phase.DONE


def test_an_announcement_is_void_after_the_scripts_next_write() -> None:
    world = new_world("blue")
    world.config.edit({"announced": "3 any change"})
    ramp(world)
    world.config.edit({"keep_until": "", "blue.parked": True})
    assert world.refusals()


def test_a_guard_that_refuses_a_ramp_s_update_ends_it_with_its_words_and_nothing_changed() -> None:
    world = new_world("blue")
    before = world.config.values
    world.state = world.state.model_copy(update={"rollout_serial": 99})
    rule_before = world.weights
    world.rule = lambda: GuardedWorld().rule()  # type: ignore[method-assign]
    world.rule_in_state = lambda service: GuardedWorld().rule_in_state(service)  # type: ignore[method-assign]
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "guard refused: chat: rollout_serial" in rollout.reason
    assert world.config.values == before
    assert world.weights == rule_before
    assert world.ups == []


def test_the_promise_outlives_every_moment_before_its_end() -> None:
    world = new_world("blue")
    ramp(world)
    world.config.edit({"blue.parked": True})
    for _ in range(36):
        assert world.refusals()
        world.clock.sleep(timedelta(seconds=99).total_seconds())
    world.clock.sleep(100)
    assert world.refusals() == []
