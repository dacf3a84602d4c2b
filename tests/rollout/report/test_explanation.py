"""Explanations name the decision, its figures, and the next command."""

import pytest

from rollout.model.machine import Phase
from rollout.model.verdict import Verdict
from rollout.report.explanation import duration, evidence_share, explain, figures
from rollout.report.read import report_of
from tests.rollout.fakes import World
from tests.rollout.report.test_read import ramp


def test_a_rollback_is_explained_by_the_gate_that_failed() -> None:
    world = World()
    world.ttft_bucket["green"] = "2.5"
    said = explain(ramp(world), "prod")
    assert "was rolled back at 1 %" in said.headline
    assert said.why[0].startswith("ttft_p95: p95 2.4")
    assert "after the gates began to watch the step of 1 %" in said.why[1]
    assert said.why[2].startswith("ttft_p95: Time to first token (TTFT)")
    assert ("p95", "2.425 s") in said.figures
    assert any(name == "evidence" and "rules out chance" in value for name, value in said.figures)
    assert said.commands == ("python -m scripts.ramp --stack prod --release <file>",)


def test_a_promotion_says_until_when_the_way_back_is_warm() -> None:
    said = explain(ramp(World()), "prod", " --service chat")
    assert "was promoted" in said.headline
    assert said.figures == ()
    assert said.commands[0].startswith("python -m scripts.rollback --stack prod --service chat   # until 2026-")
    assert said.commands[1].startswith("python -m scripts.reap")


def test_a_candidate_that_failed_a_check_never_got_traffic() -> None:
    world = World()
    world.smoke = Verdict.FAIL
    assert "was rolled back before it got traffic" in explain(ramp(world), "prod").headline


def test_a_hold_that_waited_for_evidence_is_named_with_its_gates() -> None:
    world = World()
    world.requests_per_second = 20
    said = explain(ramp(world), "prod")
    assert any("The step of 1 % was extended by" in line and "no verdict yet from" in line for line in said.tried)


@pytest.mark.parametrize(("phase", "can_go_back"), [(Phase.HOLDING, True), (Phase.PREFLIGHT, False)])
def test_an_unfinished_rollout_says_how_to_go_on(phase: Phase, can_go_back: bool) -> None:
    world = World()
    ramp(world)
    kept = world.journal.kept
    middle = next(place for place, one in enumerate(kept) if one.phase is phase)
    report = report_of(kept[: middle + 1])
    assert report is not None
    said = explain(report, "prod")
    assert f"is unfinished ({phase})" in said.headline
    assert any("--resume" in command for command in said.commands)
    assert any("scripts.rollback" in command for command in said.commands) is can_go_back


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.004, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (60, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_share_of_the_evidence_is_of_the_strongest_test() -> None:
    evidence = {"log_evidence_absolute": 2.0, "log_evidence_compared": 4.0, "log_evidence_needed": 8.0}
    assert evidence_share(evidence) == 0.5
    assert evidence_share({"log_evidence_absolute": -3.0, "log_evidence_needed": 8.0}) == 0
    assert evidence_share({"healthy": 2}) is None


def test_figures_have_units_and_unknown_ones_are_left_out() -> None:
    found = dict(figures({"p95_seconds": 1.5, "limit_percent": 2, "requests": 3, "active_p95_seconds": None}))
    assert found == {"p95": "1.5 s", "limit": "2 %", "requests": "3"}


def test_a_large_count_is_written_out() -> None:
    assert dict(figures({"output_tokens": 1_485_000})) == {"output tokens": "1485000"}
