"""A weight step: one update of only the weighted rule, checked by its changes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rollout.journal.replay import missing_edits
from rollout.model.changes import Change, EngineRun
from rollout.model.errors import (
    PlanRefusedError,
    PolicyRefusedError,
    StackLockedError,
    UnavailableError,
    UnexpectedChangeError,
    UpdateFailedError,
)
from rollout.model.rule import LiveRule, StateRule
from rollout.ports import Watch
from rollout.steps.updates import MAX_MESSAGE, Updater, message_of
from tests.rollout.fakes import NEW, RULE_URN, SERVICE, World

DEPLOYMENT = Change(op="update", urn="urn::x::chat-blue", type="kubernetes:apps/v1:Deployment", new={"metadata": {}})
PROVIDER = Change(op="update", urn="urn::x::default", type="pulumi:providers:aws", new={"version": "8.0.0"})


WARM: dict[str, Any] = {"replicas": 2, "release": NEW.model_dump(mode="json")}


def warm() -> World:
    return World(green=WARM)


def step(world: World, green_weight: int = 25) -> Updater:
    updater = Updater(world.ports(), SERVICE)
    updater.change_weight(green_weight, message="a step")
    return updater


def statuses(world: World) -> list[str]:
    return [record["status"] for record in world.journal.of("update")]


class Breaking(World):
    """Updates end as a test says: before the rule is changed, in the middle, or after it."""

    def __init__(self, how: "How") -> None:
        self.how = how
        super().__init__(green=WARM)

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        return self.how(
            self, lambda: super(Breaking, self).up(message, targets=targets, with_policies=with_policies, watch=watch)
        )


How = Callable[[Breaking, Callable[[], EngineRun]], EngineRun]


def test_a_step_is_one_update_of_the_rule_alone_without_a_preview() -> None:
    world = warm()
    step(world)
    assert world.previews == []
    assert world.ups == [("a step", (RULE_URN,))]
    assert world.weights["green"] == world.config.read().green_weight == world.state.green_weight == 25
    assert statuses(world) == ["begun", "done"]


def test_the_policies_that_could_not_be_evaluated_are_noted_before_an_update() -> None:
    unknown = "traffic-weights-add-up: can't run policy 'x' during preview: unknown"
    world = Breaking(lambda _, update: replace(update(), not_evaluated=(unknown,)))
    step(world)
    assert [record["text"] for record in world.journal.of("note")] == [
        f"policy not evaluated before the update: {unknown}"
    ]


def test_what_others_have_changed_in_the_program_is_no_business_of_a_step() -> None:
    world = warm()
    world.foreign = [DEPLOYMENT]
    step(world)
    assert world.weights["green"] == 25


def another_priority(world: World) -> None:
    world.program_rule = {"priority": 7}


def another_provider(world: World) -> None:
    world.foreign = [PROVIDER]


@pytest.mark.parametrize(("change", "named"), [(another_priority, "chat: priority"), (another_provider, "aws default")])
def test_what_was_changed_beside_the_weight_is_named_and_recorded_as_done(
    change: Callable[[World], None], named: str
) -> None:
    world = warm()
    change(world)
    updater = Updater(world.ports(), SERVICE)
    with pytest.raises(UnexpectedChangeError, match=named):
        updater.change_weight(25, message="a step")
    assert statuses(world) == ["begun", "done"]
    assert named in world.journal.of("update")[-1]["unexpected"][0]
    assert updater.touched
    assert world.config.read().green_weight == world.state.green_weight == 25, "rule, config and state agree"
    # A stale file gets these edits, as those of any update that took effect.
    serial = world.state.rollout_serial
    edits = missing_edits(world.journal.kept, config_serial=serial - 1, rule_serial=serial)
    assert edits == {"green_weight": 25, "rollout_serial": serial}


def test_weights_that_are_not_those_that_were_meant_are_unexpected() -> None:
    def elsewhere(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
        world.config.edit({"green_weight": 30})
        return up()

    world = Breaking(elsewhere)
    with pytest.raises(UnexpectedChangeError, match=r"weights \{'arn:blue': 70, 'arn:green': 30\}, intended"):
        step(world)


def guard(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
    del world, up
    raise UpdateFailedError("update 'a step' failed: guard refused: 60 points, and max_step_points is 50")


def policy(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
    del world, up
    raise PolicyRefusedError("update 'a step' failed: policy refused: traffic-weights-add-up: 101")


def locked(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
    del world, up
    raise StackLockedError("the stack is currently locked by 1 lock(s)")


@pytest.mark.parametrize(
    ("refusal", "kind"), [(guard, UpdateFailedError), (policy, PolicyRefusedError), (locked, StackLockedError)]
)
def test_what_refuses_before_the_change_leaves_the_config_as_it_was(
    refusal: How, kind: type[UpdateFailedError]
) -> None:
    world = Breaking(refusal)
    before, updater = world.config.values, Updater(world.ports(), SERVICE)
    with pytest.raises(kind):
        updater.change_weight(25, message="a step")
    assert world.config.values == before
    assert not updater.touched
    assert statuses(world) == ["begun", "taken_back"]


def test_an_update_that_changes_nothing_is_refused_and_leaves_the_config_as_it_was() -> None:
    def idle(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
        del world, up
        return EngineRun(changes=())

    world = Breaking(idle)
    before = world.config.values
    with pytest.raises(PlanRefusedError, match="no change of the weighted rule"):
        step(world)
    assert world.config.values == before
    assert statuses(world) == ["begun", "taken_back"]


def after_all(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
    del world
    up()
    raise UpdateFailedError("the state cannot be saved")


def after_the_weights(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
    del up
    world.weights = {"blue": 75, "green": 25}
    raise UpdateFailedError("adding tags: AccessDenied")


def service_policy(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
    del world
    up()
    raise PolicyRefusedError("judged when all was done")


def unheard(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
    """It is unknown whether the rule was changed."""

    def down() -> LiveRule:
        raise UnavailableError("AWS does not answer")

    del up
    world.rule = down
    raise UpdateFailedError("AWS does not answer")


def still_running(world: Breaking, up: Callable[[], EngineRun]) -> EngineRun:
    """The update was interrupted, and may still change the rule."""
    del up
    world.is_running = lambda: True
    raise UpdateFailedError("took longer than rollout.update_timeout_seconds")


@pytest.mark.parametrize("failure", [after_all, after_the_weights, service_policy, unheard, still_running])
def test_a_failure_after_which_the_rule_may_be_changed_leaves_the_edit(
    failure: How,
) -> None:
    world = Breaking(failure)
    updater = Updater(world.ports(), SERVICE)
    with pytest.raises(UpdateFailedError):
        updater.change_weight(25, message="a step")
    assert world.config.read().green_weight == 25
    assert updater.touched
    assert statuses(world) == ["begun", "failed"]


def test_a_rule_that_somebody_has_changed_is_left_alone() -> None:
    world = warm()
    world.weights = {"blue": 50, "green": 50}
    before = world.config.values
    with pytest.raises(PlanRefusedError, match="somebody changed the rule outside of Pulumi"):
        step(world)
    assert (world.config.values, world.ups, statuses(world)) == (before, [], [])


class Forgetful(World):
    """Pulumi's state cannot be read."""

    def rule_in_state(self, service: str) -> StateRule | None:
        raise UpdateFailedError(f"Pulumi's state cannot be read: {service}")


def test_a_rule_that_nobody_can_name_is_changed_once_the_whole_plan_has_shown_it() -> None:
    world = Forgetful(green=WARM)
    updater = step(world, 1)
    assert (world.previews, world.ups) == (["a step"], [("a step", ())])
    updater.change_weight(25, message="another step")
    assert (world.previews, world.ups[1:]) == (["a step"], [("another step", (RULE_URN,))])


def test_a_foreign_change_stops_a_step_that_needs_the_whole_plan() -> None:
    world = Forgetful(green=WARM)
    world.foreign = [DEPLOYMENT]
    before = world.config.values
    with pytest.raises(PlanRefusedError, match="chat-blue"):
        step(world)
    assert (world.config.values, world.ups) == (before, [])


def test_a_step_that_a_killed_process_has_begun_is_made_again_from_wherever_it_came() -> None:
    world = warm()
    world.config.edit({"green_weight": 25, "rollout_serial": 1})  # edited, not updated
    updater = Updater(world.ports(), SERVICE)
    updater.change_weight(25, message="a step", from_green_weight=0)
    assert world.ups == [("a step", (RULE_URN,))]
    updater.change_weight(25, message="a step", from_green_weight=0)  # updated, not recorded
    assert world.weights["green"] == world.state.green_weight == 25
    assert world.state.rollout_serial == world.config.read().rollout_serial == 3


def test_a_message_that_is_cut_ends_with_an_ellipsis() -> None:
    assert message_of("roll back to blue: too slow") == "roll back to blue: too slow"
    cut = message_of("roll back to blue: " + 300 * "x")
    assert (len(cut), cut[-1]) == (MAX_MESSAGE, "…")
