"""Policies on pods, beyond the cases: unknown values, options, and what is never printed."""

from typing import Any

import pytest

from components.domain.naming import SERVICE_KEY
from policies.catalogue import POLICIES
from tests.policies.by_hand import CONTAINER, by_hand
from tests.policies.cases import isolation, release, serving
from tests.policies.edits import GONE, UNKNOWN, edited
from tests.policies.judge import Violation, judge
from tests.policies.stacks import stack

_GRACE = "spec.template.spec.terminationGracePeriodSeconds"
_NEVER_DRAINED = "vllm serve org/model --revision 0a1b2c3 --fingerprint-mode custom --fingerprint-value blue-r7"
_TOPICS = ("serving-", "release-", "isolation-")
_MINE = tuple(policy for policy in POLICIES if policy.name.startswith(_TOPICS))


def _judged(edits: dict[str, Any]) -> list[Violation]:
    return judge(edited(stack("ramp"), edits), policies=_MINE)


def _unknown(*policies: str, resource: str | None) -> set[Violation]:
    return {Violation(policy=policy, message=None, resource=resource) for policy in policies}


def test_an_unknown_target_group_keeps_nothing_from_being_judged() -> None:
    assert _judged({"TargetGroupBinding chat-blue": {"spec.targetGroupARN": UNKNOWN}}) == []


def test_what_is_not_known_yet_is_not_judged_and_not_passed() -> None:
    image = "spec.template.spec.containers[0].image"
    found = _judged({"Deployment chat-blue": {image: UNKNOWN}})
    assert set(found) == _unknown("release-image-pinned", resource="Deployment chat-blue")


def test_an_unknown_namespace_does_not_hide_a_missing_budget() -> None:
    found = judge(
        edited(
            {**stack("ramp"), **{one.key: one for one in by_hand({"metadata.namespace": UNKNOWN}, budget=None)}},
            {"PodDisruptionBudget llm": {"spec.selector.matchLabels": {"app": "other"}}},
        ),
        policies=_MINE,
    )
    messages = {violation.policy: violation.message for violation in found}
    assert "must be one" in (messages.pop("serving-disruption-budget") or "")
    assert messages == {"isolation-network-policy": None}


def test_one_unknown_service_keeps_no_other_from_being_judged() -> None:
    found = _judged(
        {
            "PodDisruptionBudget chat-blue": {"spec.maxUnavailable": UNKNOWN},
            "PodDisruptionBudget chat-green": {"spec.maxUnavailable": 3},
        }
    )
    assert {violation.policy for violation in found} == {"serving-disruption-budget"}
    assert None in {violation.message for violation in found}


def test_other_deployments_are_not_checked() -> None:
    container = {"name": "web", "image": "web:latest", "env": [{"name": "API_KEY", "value": "x"}]}
    web = {
        "metadata.labels": {SERVICE_KEY: "ask"},
        "spec.template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        "spec.strategy": {"type": "Recreate"},
    }
    assert judge({one.key: one for one in by_hand(web)[:1]}, policies=_MINE) == []


@pytest.mark.parametrize(
    ("policy", "option", "least", "most", "default"),
    [
        ("serving-startup-probe", "min_startup_seconds", 0, 86_400, 0),
        ("serving-liveness-spares-the-busy", "min_silence_seconds", 1, 86_400, 180),
        ("serving-drain-chain", "min_pre_stop_seconds", 1, 900, 1),
        ("serving-no-surge", "max_surge_pods", 0, 1000, 0),
        ("serving-no-surge", "max_unavailable_pods", 1, 1000, 1),
        ("serving-disruption-budget", "max_evicted_pods", 1, 1000, 1),
    ],
)
def test_options_have_a_range_and_a_default(policy: str, option: str, least: int, most: int, default: int) -> None:
    (schema,) = (one.config_schema for one in _MINE if one.name == policy)
    assert schema is not None
    about = schema.properties[option]
    assert (about["minimum"], about["maximum"], about["default"]) == (least, most, default)
    assert about["description"]
    for value in (least - 1, most + 1):
        assert _refused(policy, {option: value}).startswith(f"config of the policy: {option} is {value}: ")


def test_an_option_unheard_of_is_refused() -> None:
    message = _refused("serving-no-surge", {"max_surge": 1})
    assert message.startswith("config of the policy: max_surge is not an option; the options are exempt, ")


def _refused(policy: str, config: dict[str, Any]) -> str:
    """The violations of a policy with these options for a safe stack."""
    found = judge(stack("ramp"), {policy: config}, _MINE)
    (message,) = {one.message for one in found if one.policy == policy}
    return message or ""


@pytest.mark.parametrize(
    ("edits", "missing"),
    [
        ({f"{CONTAINER}.lifecycle": GONE, _GRACE: 70}, "preStop"),
        ({f"{CONTAINER}.command[2]": _NEVER_DRAINED, _GRACE: 25}, "--shutdown-timeout"),
    ],
)
def test_a_link_that_is_missing_is_all_that_is_wrong(edits: dict[str, Any], missing: str) -> None:
    found = judge({one.key: one for one in by_hand(edits)}, policies=_MINE)
    assert [violation.policy for violation in found] == ["serving-drain-chain"]
    assert missing in (found[0].message or "")


def test_no_message_tells_a_secret() -> None:
    cases = (*isolation.UNSAFE, *serving.UNSAFE, *release.UNSAFE)
    messages = [one.message or "" for case in cases for one in judge(case.stack(), case.config, _MINE)]
    assert messages
    assert not [message for message in messages if isolation.TOKEN in message or "open-sesame" in message]


def test_a_secret_in_place_of_a_revision_is_not_told_either() -> None:
    args = "spec.template.spec.containers[0].args[--revision]"
    found = _judged({"Deployment chat-blue": {args: isolation.TOKEN}})
    assert {violation.policy for violation in found} == {
        "release-model-pinned",
        "isolation-no-plain-secrets",
    }
    assert not [one for one in found if isolation.TOKEN in (one.message or "")]
