"""What the cases of lifecycle cannot show: the clock, and values that are not known yet."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pulumi_policy import Policy

from policies import clock
from policies.lifecycle import (
    idle_color_kept,
    promotion_matches_weights,
    protected,
    rollout_ends_the_promise,
    rule_says_what_it_does,
)
from tests.policies.edits import UNKNOWN, Edits, edited
from tests.policies.judge import judge
from tests.policies.releases import BLUE_ID
from tests.policies.stacks import stack

_BLUE = 'tags["vllm-blue-green/blue"]'
_ROLLING_OUT = 'tags["vllm-blue-green/rolling-out"]'
_ARN = "actions[0].forward.targetGroups[0].arn"
_GREEN_WEIGHT = "actions[0].forward.targetGroups[1].weight"
_ROLE = 'tags["vllm-blue-green/role"]'
NOT_EVALUATED = None

LAST_SECOND = datetime(2098, 12, 31, 23, 59, 59, tzinfo=UTC)
OVER = datetime(2099, 1, 1, tzinfo=UTC)


def found(policy: Policy, base: str, edits: Edits) -> list[str | None]:
    return [one.message for one in judge(edited(stack(base), edits), policies=(policy,))]


@pytest.mark.parametrize(("now", "refused"), [(LAST_SECOND, True), (OVER, False)])
@pytest.mark.parametrize(
    ("policy", "edits"),
    [
        (idle_color_kept, {"ListenerRule chat": {_BLUE: f"{BLUE_ID} parked"}}),
        (rollout_ends_the_promise, {"ListenerRule chat": {_ROLLING_OUT: "true"}}),
    ],
)
def test_a_keep_warm_window_lasts_to_its_last_second(
    policy: Policy, edits: Edits, now: datetime, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: now)
    assert bool(found(policy, "promoted", edits)) == refused


def test_a_rule_without_any_weight_is_left_to_the_traffic_policies() -> None:
    assert found(promotion_matches_weights, "promoted", {"ListenerRule chat": {_GREEN_WEIGHT: 0}}) == []


@pytest.mark.parametrize("policy", [idle_color_kept, promotion_matches_weights, rollout_ends_the_promise])
def test_target_groups_that_are_not_there_yet_say_nothing(policy: Policy) -> None:
    assert found(policy, "promoted", {"ListenerRule chat": {_ARN: UNKNOWN}}) == [NOT_EVALUATED]


def test_tags_and_protection_are_judged_before_there_are_target_groups() -> None:
    edits = {"ListenerRule chat": {_ARN: UNKNOWN, _BLUE: "asleep", "#protect": False}}
    (of_tags,), (of_protection,) = (found(policy, "promoted", edits) for policy in (rule_says_what_it_does, protected))
    assert "vllm-blue-green/blue is asleep" in (of_tags or "")
    assert "protect is false" in (of_protection or "")


def test_a_rule_whose_role_is_not_known_yet_is_not_judged() -> None:
    edits = {"ListenerRule chat": {_ROLE: UNKNOWN}}
    assert found(rule_says_what_it_does, "promoted", edits) == [NOT_EVALUATED]


@pytest.mark.parametrize("key", ["active-color", "rollout-serial", "keep-until", "rolling-out", "announced", "green"])
def test_a_tag_that_is_not_known_yet_is_neither_readable_nor_not(key: str) -> None:
    edits = {"ListenerRule chat": {f'tags["vllm-blue-green/{key}"]': UNKNOWN}}
    assert found(rule_says_what_it_does, "promoted", edits) == [NOT_EVALUATED]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2099-01-01T00:00:00Z", OVER),
        ("2099-01-01t01:00:00+01:00", OVER.astimezone(timezone(timedelta(hours=1)))),
        ("", None),
        ("2099-01-01T00:00:00", None),
        ("2099-02-30T00:00:00Z", None),
        ("tomorrow", None),
    ],
)
def test_only_a_time_with_its_zone_is_one(text: str, time: datetime | None) -> None:
    assert clock.moment(text) == time
