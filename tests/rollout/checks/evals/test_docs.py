"""The examples in the checks' documents can be used as they are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config.sections.rollout_settings import RolloutSettings
from rollout.checks.evals.command import EvaluatedColor, filled
from rollout.checks.evals.questions import read_suite
from rollout.checks.recorded_prompts import read_log

DOCS = Path(__file__).parents[4] / "docs"
TARGET = EvaluatedColor(
    base_url="http://127.0.0.1:1/x/v1", model="chat", color="green", release_id="r", release_model="a/b"
)


def blocks(name: str, language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    assert found
    return found


@pytest.mark.parametrize(
    "block", [block for name in ("evals.md", "shadow.md", "approvals.md") for block in blocks(name, "yaml")]
)
def test_settings_are_taken_and_leave_no_placeholder(block: str) -> None:
    config: Any = yaml.safe_load(block)["config"]["vllm-blue-green:rollout"]
    settings = RolloutSettings.model_validate(config).gates.eval
    for word in filled(settings.command, TARGET.values(Path("/tmp/x"))):
        assert "{" not in word


def test_the_suite_is_one() -> None:
    (suite,) = blocks("evals.md", "jsonl")
    refund, tone, order = read_suite(suite, "docs")
    assert refund.check.holds("Within 30 days.")
    assert tone.check.holds("No.")
    assert order.check.holds('```json\n{"city": "Rome", "count": 2}\n```')


def test_the_gateways_lines_are_read() -> None:
    (lines,) = blocks("shadow.md", "jsonl")
    log = read_log(("", line) for line in lines.splitlines())
    assert (len(log.requests), log.left_out) == (2, "")
    assert log.requests[1].at == 1795248001.25
