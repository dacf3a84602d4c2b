"""Reading a preview out of the engine's events."""

from typing import Any

import pytest
from pulumi.automation.events import EngineEvent

from rollout.adapters.pulumi.events import EngineEvents

URN = "urn:pulumi:prod::vllm-blue-green::aws:lb/listenerRule:ListenerRule::chat"


def state(**inputs: Any) -> dict[str, Any]:
    return {"type": "t", "urn": URN, "id": "i", "parent": "p", "provider": "", "inputs": inputs, "outputs": {}}


def step(op: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "urn": URN, "type": "t", "provider": "", "old": state(weight=1), "new": state(weight=25), **more}


def event(**parts: Any) -> EngineEvent:
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, **parts})


def policy(level: str, message: str) -> EngineEvent:
    fields = {
        "message": message,
        "color": "never",
        "policyName": "weights-add-up",
        "policyPackName": "p",
        "policyPackVersion": "1",
        "policyPackVersionTag": "1",
        "enforcementLevel": level,
    }
    return event(policyEvent=fields)


def collected(*events: EngineEvent) -> EngineEvents:
    every = EngineEvents()
    for one in events:
        every.append(one)
    return every


def test_what_changes_is_listed_with_old_and_new_inputs() -> None:
    update = step("update", diffs=["weight"], detailedDiff={"weight": {"diffKind": "update", "inputDiff": True}})
    changes = collected(
        event(resourcePreEvent={"metadata": step("same")}), event(resourcePreEvent={"metadata": update})
    ).changes()
    assert [(change.op, change.old, change.new, change.paths) for change in changes] == [
        ("update", {"weight": 1}, {"weight": 25}, ("weight",))
    ]


def test_a_creation_has_no_old_inputs() -> None:
    (change,) = collected(event(resourcePreEvent={"metadata": step("create", old=None)})).changes()
    assert change.old == {}


def test_refusals_of_policies_and_errors_are_reported() -> None:
    error = event(diagnosticEvent={"message": "boom\n", "color": "never", "severity": "error"})
    info = event(diagnosticEvent={"message": "fine", "color": "never", "severity": "info"})
    reported = collected(error, info, policy("mandatory", "no"), policy("advisory", "hm"))
    assert reported.errors() == "policy refused: weights-add-up: no\nboom"
    assert reported.refused_by_policy()
    assert not collected(error, policy("advisory", "hm")).refused_by_policy()


@pytest.mark.parametrize("where", ["Preview failed: ", ""])
def test_what_a_guard_says_is_reported_without_the_engine_s_frame(where: str) -> None:
    said = f'{where}before hook "chat-guards" failed: chat: the weight of green may not\nGo to 75 at most'
    refusal = event(diagnosticEvent={"message": said, "color": "never", "severity": "error"})
    failed = event(diagnosticEvent={"message": "preview failed", "color": "never", "severity": "error"})
    reported = "guard refused: chat: the weight of green may not\nGo to 75 at most\npreview failed"
    assert collected(refusal, failed).errors() == reported


def test_a_policy_that_could_not_run_is_not_a_policy_that_passed() -> None:
    reported = collected(policy("advisory", "can't run policy 'x' during preview: unknown"), policy("advisory", "hm"))
    assert reported.not_evaluated() == ["weights-add-up: can't run policy 'x' during preview: unknown"]
