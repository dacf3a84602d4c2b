"""The examples in the checks' documents can be used as they are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config.sections.rollout_settings import RolloutSettings
from rollout.checks.evals.command import EvaluatedColor, filled
from rollout.checks.evals.preference import fewest_labels
from rollout.checks.evals.questions import Label, Prompt, read_lines, read_suite
from rollout.checks.recorded_prompts import read_log
from rollout.statistics.exact_tests import fewest_sure_losses

ROOT = Path(__file__).parents[4]
DOCS = ROOT / "docs"
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


def test_the_judges_files_are_long_enough_and_favour_no_place() -> None:
    (block,) = [block for block in blocks("evals.md", "yaml") if "judge:" in block]
    config: Any = yaml.safe_load(block)["config"]["vllm-blue-green:rollout"]
    judge = RolloutSettings.model_validate(config).gates.eval.judge
    assert judge is not None
    prompts = read_lines(Prompt, (ROOT / judge.prompts).read_text(encoding="utf-8"), "prompts", "prompt")
    labels = read_lines(Label, (ROOT / judge.labels).read_text(encoding="utf-8"), "labels", "label")
    assert len(prompts) >= fewest_sure_losses()
    assert len(labels) >= fewest_labels(judge.minimum_agreement_percent)
    assert 0.4 < sum(label.better == "a" for label in labels) / len(labels) < 0.6
    (line,) = blocks("evals.md", "json")
    (label,) = read_lines(Label, line, "docs", "label")
    assert label.better == "b"
