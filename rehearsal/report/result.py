"""The result of a rehearsal: the counts of the load generator and the data plane, and whether they are as required."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rehearsal.load.records import (
    Record,
    last_started_at,
    open_streams,
    read_records,
    started_between,
    summarize,
    with_colors,
)
from rehearsal.report.journal import Record as JournalRecord
from rehearsal.report.journal import at, of_kind
from rehearsal.report.rule import RuleChange

Result = dict[str, Any]

MINIMUM_OPEN_STREAMS = 20


@dataclass(frozen=True, kw_only=True)
class Window:
    """When a scenario ran, in seconds since the epoch, and the number of GPU nodes before and after it."""

    started_at: float
    ended_at: float
    nodes_before: int
    nodes_after: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All records: requests by the load generator, rule changes by the data plane, the product's journal."""

    requests: Sequence[Record]
    rule_changes: Sequence[RuleChange]
    journal: Sequence[JournalRecord]
    windows: Mapping[str, Window]

    def requests_in(self, scenario: str) -> list[Record]:
        """Return the requests that were started during a scenario."""
        window = self.windows[scenario]
        return started_between(self.requests, window.started_at, window.ended_at)

    def journal_in(self, scenario: str) -> list[JournalRecord]:
        """Return the journal records from a scenario."""
        window = self.windows[scenario]
        return [record for record in self.journal if window.started_at <= at(record) < window.ended_at]


def read_requests(requests_log: Path, access_log: Path) -> list[Record]:
    """Read the load generator's records. Colours that answers do not name come from the load balancer's log."""
    if not requests_log.exists():
        return []  # The traffic never began.
    colors: dict[str, str] = {}
    for line in access_log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["request_id"] and entry["color"]:
            colors[entry["request_id"]] = entry["color"]
    return with_colors(read_records(requests_log), colors)


def scenario_results(evidence: Evidence) -> dict[str, Result]:
    """Return the entries of ``result.json`` for all scenarios that ran to their end."""
    builders = {"release": _release, "reap": _reap, "bad_release": _bad_release}
    return {name: build(evidence) for name, build in builders.items() if name in evidence.windows}


def _release(evidence: Evidence) -> Result:
    return {
        "outcome": _outcome(evidence.journal_in("release")),
        "steps": _steps(evidence, "release"),
        "requests": _requests(evidence.requests_in("release")),
    }


def _reap(evidence: Evidence) -> Result:
    window = evidence.windows["reap"]
    return {
        "outcome": _outcome(evidence.journal_in("reap")),
        "nodes_before": window.nodes_before,
        "nodes_after": window.nodes_after,
        "requests": _requests(evidence.requests_in("reap")),
    }


def _bad_release(evidence: Evidence) -> Result:
    journal, requests = evidence.journal_in("bad_release"), evidence.requests_in("bad_release")
    candidate = next(of_kind(journal, "started"))["candidate"]
    decision = next(of_kind(journal, "decision", action="rollback"), None)
    result: Result = {
        "outcome": _outcome(journal),
        "caught_at_green_weight": _green_weight_before(evidence, _decided_at(decision)) if decision else None,
        "steps": _steps(evidence, "bad_release"),
        "nodes_before": evidence.windows["bad_release"].nodes_before,
        "nodes_after": evidence.windows["bad_release"].nodes_after,
    }
    on_candidate = [request for request in requests if request.color == candidate]
    failed = [request for request in requests if request.failed]
    result["requests"] = {
        "total": len(requests),
        "failed_on_candidate": sum(request.failed for request in on_candidate),
        "failed_elsewhere": sum(request.color != candidate for request in failed),
        "streams_broken": sum(request.broken for request in requests),
    }
    if decision:
        decided_at = _decided_at(decision)
        rule_at = _when_candidate_lost_traffic(evidence, candidate, decided_at)
        last_at = last_started_at(requests, candidate) or decided_at
        result["rollback_seconds"] = {
            "decision_to_rule": None if rule_at is None else round(rule_at - decided_at, 3),
            "decision_to_last_candidate_request": round(max(0.0, last_at - decided_at), 3),
        }
    return result


def _decided_at(decision: JournalRecord) -> float:
    """Return when the rollback was decided, in seconds since the epoch. The record itself follows the rule change."""
    return datetime.fromisoformat(decision["decided_at"]).timestamp()


def _outcome(journal: Iterable[JournalRecord]) -> str | None:
    finished = list(of_kind(journal, "finished"))
    return finished[-1]["outcome"] if finished else None


def _requests(requests: Sequence[Record]) -> Result:
    summary = summarize(requests)
    return {
        "total": summary.total,
        "failed": summary.failed,
        "streams": summary.streams,
        "streams_broken": summary.streams_broken,
    }


def _steps(evidence: Evidence, scenario: str) -> list[Result]:
    """Count each step from the moment its weight was applied until the next change of the rule."""
    window = evidence.windows[scenario]
    applied = [
        change
        for change in evidence.rule_changes
        if change.applied and window.started_at <= change.at < window.ended_at
    ]
    before = _green_weight_before(evidence, window.started_at)
    steps: list[Result] = []
    ends = [*(change.at for change in applied[1:]), window.ended_at]
    for change, ended_at in zip(applied, ends, strict=True):
        began_at, green_weight = change.at, change.weights["green"]
        if green_weight == before:
            continue  # Only the rule's tags changed.
        falling = "blue" if green_weight > before else "green"
        counted = [record for record in started_between(evidence.requests, began_at, ended_at) if record.color]
        green = sum(record.color == "green" for record in counted)
        steps.append(
            {
                "green_weight": green_weight,
                "requests": len(counted),
                "observed_green_percent": round(100 * green / len(counted), 1) if counted else None,
                "open_streams_on_falling_color": open_streams(evidence.requests, began_at, falling),
            }
        )
        before = green_weight
    return steps


def _green_weight_before(evidence: Evidence, moment: float) -> int:
    earlier = [change for change in evidence.rule_changes if change.applied and change.at < moment]
    return earlier[-1].weights["green"] if earlier else 0


def _when_candidate_lost_traffic(evidence: Evidence, candidate: str, decided_at: float) -> float | None:
    return next(
        (
            change.at
            for change in evidence.rule_changes
            if not change.applied and change.at >= decided_at and change.weights.get(candidate) == 0
        ),
        None,
    )


def problems(scenarios: Mapping[str, Result]) -> list[str]:
    """Return why the scenarios failed, one sentence per problem; empty when all passed."""
    found: list[str] = []

    def require(condition: bool, sentence: str) -> None:
        if not condition:
            found.append(sentence)

    for name, outcome in (("release", "promoted"), ("reap", "reaped"), ("bad_release", "rolled_back")):
        if name not in scenarios:
            found.append(f"{name} did not run to its end")
            continue
        result = scenarios[name]
        require(result["outcome"] == outcome, f"{name} ended {result['outcome']} instead of {outcome}")
        streams_broken = result["requests"]["streams_broken"]
        require(streams_broken == 0, f"{name} broke {streams_broken} streams")
        require(result["requests"]["total"] > 0, f"{name} saw no traffic")
    for name in {"release", "reap"} & scenarios.keys():
        failed = scenarios[name]["requests"]["failed"]
        require(failed == 0, f"{name} lost {failed} requests")
    if "release" in scenarios:
        steps = scenarios["release"]["steps"]
        weights = [step["green_weight"] for step in steps]
        require(weights == [1, 25, 75, 100], f"release stepped through {weights} instead of 1, 25, 75, 100")
        for step in steps:
            streams = step["open_streams_on_falling_color"]
            require(
                streams >= MINIMUM_OPEN_STREAMS,
                f"only {streams} streams were open on the falling colour at green_weight {step['green_weight']}",
            )
    if "reap" in scenarios:
        reap = scenarios["reap"]
        require(reap["nodes_after"] < reap["nodes_before"], "reap released no nodes")
    if "bad_release" in scenarios:
        bad = scenarios["bad_release"]
        elsewhere = bad["requests"]["failed_elsewhere"]
        require(elsewhere == 0, f"bad_release lost {elsewhere} requests outside the candidate")
        caught_at = bad["caught_at_green_weight"]
        require(caught_at in (99, 75), f"bad_release was caught at green_weight {caught_at} instead of 99 or 75")
        require(bad["nodes_after"] == bad["nodes_before"], "the failed candidate kept its nodes")
    return found
