"""The result reports the counts, and a rehearsal that lost something never passes."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rehearsal.load.records import Record
from rehearsal.report.report import product_reports, write_report
from rehearsal.report.result import Evidence, Window, problems, read_requests, scenario_results
from rehearsal.report.rule import RuleChange
from tests.rollout.fakes import World
from tests.rollout.report.test_read import ramp


def request(number: int, at: float, color: str | None, **fields: Any) -> Record:
    good = Record(
        id=str(number),
        started_at=at,
        stream=True,
        status=200,
        color=color,
        release="r",
        ttft_seconds=0.1,
        duration_seconds=12.0,
        chunks=9,
        complete=True,
        finish_reason="stop",
        error=None,
    )
    return replace(good, **fields)


def journal(at: float, kind: str, **fields: Any) -> dict[str, Any]:
    return {"at": written(at), "kind": kind, **fields}


def written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def change(at: float, green: int, *, applied: bool = True) -> RuleChange:
    return RuleChange(at=at, applied=applied, weights={"blue": 100 - green, "green": green})


@pytest.fixture
def evidence() -> Evidence:
    """A passed rehearsal: a release at 100…200 s, a reap at 200…300 s, a bad release at 300…400 s."""
    requests = [request(n, 50 + n / 10, "blue") for n in range(700)]  # 50…120 s
    requests += [request(1000 + n, 120 + n / 10, "green" if n % 4 else "blue") for n in range(700)]  # 120…190 s
    requests += [request(2000 + n, 190 + n / 10, "green") for n in range(2000)]  # 190…390 s
    requests += [request(9000, 340.0, "blue", status=500, complete=False), request(9001, 341.2, "blue")]
    return Evidence(
        requests=requests,
        rule_changes=[
            change(20, 0),
            *(change(at, green) for at, green in ((110, 1), (130, 25), (150, 75), (170, 100))),
            change(175, 100),  # The promotion changed only tags.
            change(335, 99),
            change(341.05, 100, applied=False),
            change(341.5, 100),
        ],
        journal=[
            journal(101, "started", candidate="green"),
            journal(180, "promoted", active_color="green", keep_until="2026-11-22T08:00:00Z"),
            journal(199, "finished", outcome="promoted"),
            journal(299, "finished", outcome="reaped"),
            journal(301, "started", candidate="blue"),
            # Written after the rule was set.
            journal(341.08, "decision", action="rollback", reason="errors", green_weight=99, decided_at=written(341)),
            journal(399, "finished", outcome="rolled_back"),
        ],
        windows={
            "release": Window(started_at=100, ended_at=200, nodes_before=2, nodes_after=4),
            "reap": Window(started_at=200, ended_at=300, nodes_before=4, nodes_after=2),
            "bad_release": Window(started_at=300, ended_at=400, nodes_before=2, nodes_after=2),
        },
    )


def test_a_rehearsal_that_lost_nothing_has_no_problems(evidence: Evidence) -> None:
    assert problems(scenario_results(evidence)) == []


def test_steps_are_counted_from_the_applied_weight_to_the_next_change(evidence: Evidence) -> None:
    steps = scenario_results(evidence)["release"]["steps"]
    assert [step["green_weight"] for step in steps] == [1, 25, 75, 100]
    assert steps[1]["requests"] == 200
    assert steps[1]["observed_green_percent"] == 75.0
    assert steps[0]["open_streams_on_falling_color"] == 120  # Ten a second, twelve seconds each.


def test_rollback_times_count_from_the_decision(evidence: Evidence) -> None:
    seconds = scenario_results(evidence)["bad_release"]["rollback_seconds"]
    assert seconds == {"decision_to_rule": 0.05, "decision_to_last_candidate_request": 0.2}


def test_failures_of_the_candidate_are_counted_apart(evidence: Evidence) -> None:
    lost = replace(
        evidence,
        requests=[
            *evidence.requests,
            request(9002, 342.0, "green", complete=False),
            request(9003, 343, None, status=503),
        ],
    )
    requests = scenario_results(lost)["bad_release"]["requests"]
    assert requests["failed_on_candidate"] == 1
    assert requests["failed_elsewhere"] == 2
    assert requests["streams_broken"] == 1


@pytest.mark.parametrize(
    ("lost", "problem"),
    [
        (request(9100, 150.0, "blue", status=502, complete=False), "release lost 1 requests"),
        (request(9100, 250.0, "green", complete=False), "reap broke 1 streams"),
        (request(9100, 350.0, "green", status=503, complete=False), "bad_release lost 1 requests outside"),
    ],
)
def test_anything_lost_is_a_problem(evidence: Evidence, lost: Record, problem: str) -> None:
    found = problems(scenario_results(replace(evidence, requests=[*evidence.requests, lost])))
    assert any(problem in sentence for sentence in found), found


def test_too_few_open_streams_on_the_falling_colour_are_a_problem(evidence: Evidence) -> None:
    short = [replace(record, duration_seconds=0.1) for record in evidence.requests]
    assert any(
        "streams were open" in sentence for sentence in problems(scenario_results(replace(evidence, requests=short)))
    )


def test_a_scenario_that_did_not_end_is_a_problem(evidence: Evidence) -> None:
    unfinished = replace(evidence, windows={"release": evidence.windows["release"]})
    found = problems(scenario_results(unfinished))
    assert "reap did not run to its end" in found
    assert "bad_release did not run to its end" in found


def test_an_answer_that_names_no_colour_gets_it_from_the_access_log(tmp_path: Path) -> None:
    requests_log, access_log = tmp_path / "requests.jsonl", tmp_path / "access.jsonl"
    requests_log.write_text(request(7, 1.0, None, status=500).line() + "\n")
    access_log.write_text(json.dumps({"request_id": "7", "color": "green"}) + "\n")
    assert [record.color for record in read_requests(requests_log, access_log)] == ["green"]


def test_there_are_no_requests_when_the_traffic_never_began(tmp_path: Path) -> None:
    assert read_requests(tmp_path / "requests.jsonl", tmp_path / "access.jsonl") == []


def test_the_report_shows_every_scenario_and_every_problem(evidence: Evidence, tmp_path: Path) -> None:
    result = {
        "engine": "v3.274.1",
        "language_host": "stand-in",
        "kubernetes_provider": "stand-in",
        "load_balancer_controller": "stand-in",
        "versions": {"pulumi": "3"},
        "wall_seconds": 1.5,
        "scenarios": scenario_results(evidence),
    }
    world = World()
    ramp(world)
    runs = product_reports([record.as_json() for record in world.journal.kept])
    write_report(tmp_path / "report.html", result, ["reap lost 3 requests & <more>"], evidence, runs, "rehearsal")
    page = (tmp_path / "report.html").read_text()
    assert "reap lost 3 requests &amp; &lt;more&gt;" in page
    for scenario in ("release", "reap", "bad release"):
        assert f'<td class="name">{scenario}</td>' in page
    for chart in ("Requests started", "Weight of green", "Time to first token, p95 over 5 s", "Failed requests"):
        assert f"<figcaption>{chart}" in page
    assert "<h2>Release " in page
    assert all(f"<dfn>{word}</dfn>: " in page for word in ("Lost", "Failed", "ttft_p95"))
