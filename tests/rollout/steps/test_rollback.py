"""Which colour a rollback takes traffic from, and how it gets rule, config and state to agree."""

from typing import Any

import pytest

from components.config.settings import ServiceSettings
from components.domain.naming import Color
from rollout.model.errors import RefusedError, RolloutError, UnavailableError, UnreconciledError, UpdateFailedError
from rollout.steps.rollback import candidate_to_undo, restore_traffic
from rollout.steps.updates import Updater
from tests.rollout.fakes import BASE, NEW, RULE_URN, SERVICE, World

FUTURE, PAST = "2026-11-22T08:00:00Z", "2026-11-20T08:00:00Z"
BOTH: dict[str, Any] = {"green": {"replicas": 2, "release": NEW.model_dump(mode="json")}}


def undo(*, unfinished: bool = False, live_weight: int | None = None, **overrides: Any) -> str:
    world = World(**BOTH, **overrides)
    if live_weight is not None:
        world.weights = {"blue": 100 - live_weight, "green": live_weight}
    return candidate_to_undo(world.config.read(), world.rule(), world.clock.now(), unfinished=unfinished)


def test_in_a_ramp_the_idle_colour_gives_its_share_back() -> None:
    assert undo(green_weight=25) == "green"
    assert undo(active_color="green", green_weight=75) == "blue"


def test_before_the_promotion_even_full_traffic_goes_back() -> None:
    assert undo(green_weight=100) == "green"


def test_after_a_promotion_the_promoted_colour_gives_all_back_while_the_former_is_warm() -> None:
    assert undo(active_color="green", green_weight=100, keep_until=FUTURE) == "green"


@pytest.mark.parametrize("keep_until", [PAST, ""])
def test_when_the_former_colour_is_not_kept_any_more_there_is_no_way_back(keep_until: str) -> None:
    with pytest.raises(RefusedError, match="nothing to roll back"):
        undo(active_color="green", green_weight=100, keep_until=keep_until)


def test_a_candidate_left_behind_by_a_killed_ramp_is_undone() -> None:
    assert undo(unfinished=True) == "green"


def test_a_weight_set_directly_is_reconciled_with_a_config_that_differs() -> None:
    assert undo(green_weight=25, live_weight=0) == "green"


def restore(world: World) -> None:
    restore_traffic(world.ports(), Updater(world.ports(), SERVICE), green_weight=0, active_color="blue", reason="test")


def at_25() -> World:
    return World(**BOTH, green_weight=25)


def test_the_rule_comes_before_anything_else() -> None:
    world = at_25()
    world.failing_ups = 1000
    with pytest.raises(RolloutError, match="do not agree"):
        restore(world)
    assert world.journal.records[0]["kind"] == "rule"
    assert world.journal.records[0]["how"] == "direct"
    assert world.weights["green"] == 0


def test_an_update_that_writes_the_old_weight_after_us_is_undone() -> None:
    world = at_25()
    running = [True]

    def late_write() -> None:
        if running[0]:
            running[0] = False
            world.weights = {"blue": 75, "green": 25}

    world.clock.on_sleep = late_write
    world.is_running = lambda: running[0]  # pyright: ignore[reportAttributeAccessIssue]
    restore(world)
    assert world.direct == [0, 0]
    assert world.weights == {"blue": 100, "green": 0}
    assert world.interrupted == 1


@pytest.mark.parametrize("other", ["was interrupted", "has the lock"])
def test_a_weight_that_another_update_writes_is_taken_back_while_it_still_runs(other: str) -> None:
    world = at_25()
    began, written, left = world.clock.elapsed, list[float](), list[float]()

    def write_once() -> None:
        elapsed = world.clock.elapsed - began
        world.stack_locked = other == "has the lock" and elapsed < 20
        if not written:
            written.append(elapsed)
            world.weights = {"blue": 75, "green": 25}
        elif world.weights["green"]:
            left.append(elapsed)

    world.stack_locked = other == "has the lock"
    world.clock.on_sleep = write_once
    world.is_running = lambda: (  # pyright: ignore[reportAttributeAccessIssue]
        other == "was interrupted" and world.clock.elapsed < began + 20
    )
    restore(world)
    assert written[0] < 10
    assert len(left) <= 1  # the next look takes it back
    assert world.weights["green"] == world.state.green_weight == 0


def test_when_all_agree_already_nothing_is_updated() -> None:
    world = World(**BOTH)
    restore(world)
    assert world.ups == []


def test_foreign_changes_stay_out_of_a_rollback() -> None:
    world = at_25()
    world.config.values["blue"] = {**BASE["blue"], "replicas": 5}
    restore(world)
    assert world.state.color("blue").replicas == 2
    assert isinstance(world.config.read(), ServiceSettings)
    assert world.weights["green"] == world.state.green_weight == 0


def test_a_rule_update_that_aws_does_not_take_is_retried_and_reported_once() -> None:
    world = at_25()
    failures, set_weight = [10], world.set_green_weight

    def throttled(green_weight: int, *, cohorts_to: Color | None = None) -> None:
        if failures[0]:
            failures[0] -= 1
            raise UnavailableError("AWS ModifyRule: Throttling: Rate exceeded, also after retries. Try again later")
        set_weight(green_weight, cohorts_to=cohorts_to)

    world.set_green_weight = throttled  # pyright: ignore[reportAttributeAccessIssue]
    restore(world)
    assert world.weights["green"] == 0
    assert len([one for one in world.journal.of("note") if "NOT back yet" in one["text"]]) == 1


def test_a_rule_update_that_is_forbidden_is_not_tried_again() -> None:
    world = at_25()

    def forbidden(green_weight: int, *, cohorts_to: Color | None = None) -> None:
        assert cohorts_to == "blue"
        world.direct.append(green_weight)
        raise RolloutError("AWS ModifyRule: AccessDenied")

    world.set_green_weight = forbidden  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(RolloutError, match="AccessDenied"):
        restore(world)
    assert world.direct == [0]


def test_somebody_elses_update_is_waited_for_and_its_weight_undone() -> None:
    world = at_25()
    world.stack_locked = True
    count, began = world.clock.on_sleep, world.clock.elapsed

    def end_of_the_update() -> None:
        count()
        if world.stack_locked and world.clock.elapsed > began + 300:
            world.weights = {"blue": 75, "green": 25}
            world.stack_locked = False

    world.clock.on_sleep = end_of_the_update
    restore(world)
    assert world.weights["green"] == world.state.green_weight == world.config.read().green_weight == 0
    assert world.direct == [0, 0]


def test_a_stack_that_stays_locked_is_reported_as_what_remains() -> None:
    world = at_25()
    world.stack_locked = True
    with pytest.raises(UnreconciledError, match=r"all traffic is on blue.*currently locked"):
        restore(world)
    assert world.weights["green"] == 0


def failing(world: World, name: str, times: int, error: Exception, *, seconds: float = 10.0) -> None:
    """After the rule has been set, make a call of the world fail several times, each after some seconds."""
    left, call = [times], getattr(world, name)

    def fail(*arguments: Any, **named: Any) -> Any:
        if left[0] and world.direct:
            left[0] -= 1
            world.clock.elapsed += seconds
            raise error
        return call(*arguments, **named)

    setattr(world, name, fail)


def test_a_rule_that_cannot_be_read_back_is_set_again_until_it_can_and_reported_once() -> None:
    world = at_25()
    failing(world, "rule", 100, UnavailableError("AWS DescribeRules: InternalFailure: oops"))
    restore(world)
    assert set(world.direct) == {0}
    assert len(world.direct) == 101
    assert len([one for one in world.journal.of("note") if "cannot be read back" in one["text"]]) == 1
    assert world.weights["green"] == world.state.green_weight == world.config.read().green_weight == 0


def test_a_load_balancer_api_that_stays_down_is_given_up_after_the_time_of_an_update() -> None:
    world = at_25()
    failing(world, "rule", 10_000, UnavailableError("AWS: it does not answer"))
    began = world.clock.elapsed
    with pytest.raises(UnavailableError):
        restore(world)
    assert 3600 <= world.clock.elapsed - began < 3700
    assert world.weights["green"] == 0


def test_a_rule_that_cannot_be_read_while_an_update_ends_is_held_anyway() -> None:
    world = at_25()
    began = world.clock.elapsed
    failing(world, "rule", 3, UnavailableError("AWS: it does not answer"))
    world.is_running = lambda: world.clock.elapsed < began + 20  # pyright: ignore[reportAttributeAccessIssue]
    restore(world)
    assert world.weights["green"] == world.state.green_weight == 0


def test_an_update_at_the_same_serial_that_moved_the_weight_is_undone_in_the_state_too() -> None:
    world = World(**BOTH)
    world.state = world.state.model_copy(update={"green_weight": 50})
    world.weights = {"blue": 50, "green": 50}
    serial = world.config.read().rollout_serial
    restore(world)
    assert world.weights["green"] == world.state.green_weight == world.config.read().green_weight == 0
    assert world.state.rollout_serial == world.config.read().rollout_serial == serial + 1
    assert len(world.ups) == 1


def test_a_state_that_cannot_be_read_is_not_taken_to_agree() -> None:
    world = World(**BOTH)
    failing(world, "rule_in_state", 1, UpdateFailedError("Pulumi's state cannot be read"))
    restore(world)
    assert len(world.ups) == 1


def test_the_rule_is_found_in_the_state_without_a_preview() -> None:
    world = at_25()
    failing(world, "preview", 1000, UpdateFailedError("configured Kubernetes cluster is unreachable"))
    restore(world)
    assert [targets for _, targets in world.ups] == [(RULE_URN,)]
    assert world.state.green_weight == world.config.read().green_weight == 0
