"""What the program does with the evidence bundle that the config names."""

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.domain.evidence import Bundle
from tests.components.example import release, run_program
from tests.policies.bundles import bundle

BOTH: dict[str, Any] = {
    "service_name": "chat",
    "blue": {"replicas": 2, "release": release()},
    "green": {"replicas": 2, "release": release(model_revision="beef123")},
    "green_weight": 25,
}
KEY = "vllm-blue-green/evidence"


def tags(**changes: Any) -> dict[str, str]:
    (rule,) = (
        one
        for one in run_program(**{**BOTH, **changes}).resources.values()
        if one.inputs.get("tags", {}).get("vllm-blue-green/role") == "weighted-rule"
    )
    return rule.inputs["tags"]


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []

    def warn(message: str, *_: Any, **__: Any) -> None:
        said.append(message)

    monkeypatch.setattr(pulumi.log, "warn", warn)
    return said


def test_a_bundle_is_named_by_release_and_digest_in_the_rules_tags(tmp_path: Path) -> None:
    document = bundle(checks={"smoke": "pass"})
    (tmp_path / "b.json").write_text(json.dumps(document))
    assert tags(evidence=str(tmp_path / "b.json"))[KEY] == str(Bundle(document=document).tag)


def test_without_a_bundle_the_rule_has_no_tag_for_it() -> None:
    assert KEY not in tags()


UNUSABLE = [
    (None, "chat: evidence is {path}, but it cannot be read (No such file or directory). Name the JSON of a rollout's"),
    ("{", "but it is not JSON"),
    ("changed", "but it was changed after it was written (checks). Restore it; `python -m scripts.explain --verify"),
    ("reap", "but it is not of a rollout, so it has no release"),
]


def put(path: Path, content: str | None) -> None:
    document = bundle(checks={"smoke": "fail"}, release_id="" if content == "reap" else "0a1b")
    if content == "changed":
        document["report"]["checks"][0]["readings"][0]["verdict"] = "pass"
    if content is not None:
        path.write_text(content if content == "{" else json.dumps(document))


@pytest.mark.parametrize(("content", "message"), UNUSABLE)
def test_a_weight_by_hand_with_a_bundle_that_cannot_be_used_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "b.json"
    put(path, content)
    with pytest.raises(pulumi.RunError) as refused:
        run_program(**BOTH, evidence=str(path))
    assert message.format(path=path) in str(refused.value)


@pytest.mark.parametrize("traffic", [{"rolling_out": True}, {"green_weight": 0}])
@pytest.mark.parametrize(("content", "message"), UNUSABLE)
@pytest.mark.slow
def test_a_rollout_and_a_rollback_go_on_with_a_warning(
    tmp_path: Path, warnings: list[str], content: str | None, message: str, traffic: dict[str, Any]
) -> None:
    path = tmp_path / "b.json"
    put(path, content)
    assert KEY not in tags(evidence=str(path), **traffic)
    (warning,) = [one for one in warnings if "evidence" in one]
    assert message.format(path=path) in warning
    assert warning.endswith("; the rule gets no tag for it")
