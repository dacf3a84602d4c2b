"""Which notification each record gives, in whole rollouts on fakes; and what no notification contains."""

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.approval import Approval
from rollout.model.machine import Phase
from rollout.model.notification import Notification, Origin
from rollout.model.records import Decision, Finished, Record, VerdictGiven
from rollout.model.verdict import Verdict
from rollout.report.notifications import Following, follow, notification_of, reap_due
from tests.rollout.fakes import BASE, NEW, START, World, record
from tests.rollout.report.test_read import ramp

ORIGIN = Origin(stack="prod", service="chat", options="--stack prod")


def sent(records: Sequence[Record]) -> list[Notification]:
    known, found = Following(), list[Notification]()
    for one in records:
        known, notification = follow(known, one, ORIGIN)
        if notification is not None:
            found.append(notification)
    return found


def of_a_ramp(world: World) -> list[Notification]:
    ramp(world)
    return sent(world.journal.kept)


def events(found: Sequence[Notification]) -> list[str]:
    return [one.event for one in found]


def the(event: str, found: Sequence[Notification]) -> Notification:
    (one,) = (one for one in found if one.event == event)
    return one


def with_gates(**gates: Any) -> World:
    rollout = {**BASE["rollout"], "gates": {**BASE["rollout"]["gates"], **gates}}
    return World(rollout=rollout)


STEPS = ["step_in_effect"] * 3


def test_a_promotion() -> None:
    found = of_a_ramp(World())
    assert events(found) == ["started", *STEPS, "promoted", "ended"]
    assert [one.details["candidate_percent"] for one in found[1:4]] == [1, 25, 100]
    assert all(one.details["release_id"] == NEW.release_id for one in found)
    assert found[-1].details["outcome"] == "promoted"
    assert len({one.id for one in found}) == len(found)


def test_a_rollback_has_its_reason_and_the_figures_of_the_gates_that_decided_it() -> None:
    world = World()
    world.error_rate["green"] = 0.3
    found = of_a_ramp(world)
    assert events(found)[-2:] == ["rollback", "ended"]
    details: Any = the("rollback", found).details
    assert "requests failed" in details["reason"]
    named = [part.split(":")[0].split(", ") for part in details["reason"].split("; ")]
    assert sorted(one["gate"] for one in details["figures"]) == sorted(gate for gates in named for gate in gates)
    assert all(one["verdict"] == "fail" and one["figures"] for one in details["figures"])
    assert found[-1].details["outcome"] == "rolled_back"


def test_a_hold_beyond_its_planned_time_is_reported_once() -> None:
    world = World()
    world.requests_per_second = 0.4
    ramp(world)
    found = sent(world.journal.kept)
    for one in found:
        if one.event == "hold_extended":
            details: Any = one.details
            assert 0 < details["over_seconds"] <= details["at_most_seconds"]
    assert "hold_extended" in events(found)
    holds = events(found).count("step_in_effect") + 1
    assert events(found).count("hold_extended") <= holds


def test_a_step_that_waits_for_a_person_has_the_command() -> None:
    found = of_a_ramp(with_gates(manual={"at_percents": [25], "timeout_seconds": 100}))
    details = the("approval_wanted", found).details
    command = "python -m scripts.approve --stack prod --percent 25 --because REASON"
    assert (details["approve_command"], details["deny_command"]) == (command, f"{command} --deny")
    assert events(found)[-2:] == ["rollback", "ended"]


def test_a_step_that_was_approved_beforehand_asks_nobody() -> None:
    world = with_gates(manual={"at_percents": [25], "timeout_seconds": 100})
    world.approvals[25] = Approval(approved=True, by="ada", because="fine", at=START)
    assert events(of_a_ramp(world)) == ["started", *STEPS, "promoted", "ended"]


def test_a_pause_has_the_commands() -> None:
    found = of_a_ramp(with_gates(manual={"at_percents": [25], "timeout_seconds": 100}, on_timeout="pause"))
    assert events(found)[-1] == "paused"
    assert found[-1].details["resume_command"] == "python -m scripts.ramp --stack prod --resume"
    assert found[-1].details["rollback_command"] == "python -m scripts.rollback --stack prod"


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_the_reason_of_a_check_may_quote_an_answer_and_is_not_sent(verdict: Verdict) -> None:
    world = World()
    world.smoke = verdict
    ramp(world)
    quote, kept = "smoke: the answer was 'my diagnosis is'", list[Record]()
    for one in world.journal.kept:
        body = one.body
        if isinstance(body, VerdictGiven):
            body = body.model_copy(update={"reason": quote, "evidence": {"answer": quote, "failed": 3}})
        elif (isinstance(body, Decision) and body.action == "rollback") or isinstance(body, Finished):
            body = body.model_copy(update={"reason": quote})
        kept.append(Record(seq=one.seq, at=one.at, rollout=one.rollout, token=1, phase=one.phase, body=body))
    found = sent(kept)
    assert events(found) == ["started", "rollback", "ended"]
    assert "diagnosis" not in json.dumps([one.as_json() for one in found])
    details: Any = the("rollback", found).details
    assert details["reason"] == "the check smoke did not pass"
    assert details["figures"] == [{"gate": "smoke", "verdict": verdict, "figures": {"failed": 3}}]


def test_what_looks_like_a_secret_is_not_sent() -> None:
    secret = "hf_abcdefghijklmnopqrstuvwx"
    (found,) = sent([record(Finished(outcome="failed", reason=f"no access with {secret}"))])
    assert secret not in json.dumps(found.as_json())
    assert "a Hugging Face token" in found.text


@given(st.integers(min_value=0, max_value=10_000), st.sampled_from(["promoted", "rolled_back"]))
def test_it_depends_on_the_records_alone(number: int, how: str) -> None:
    kept = ramps()[how]
    at = number % len(kept)
    known = Following()
    for one in kept[:at]:
        known, _ = follow(known, one, ORIGIN)
    found = notification_of(kept[:at], kept[at], ORIGIN)
    assert found == follow(known, kept[at], ORIGIN)[1]
    if found is not None:
        json.dumps(found.as_json(), allow_nan=False)


def _kept(error_rate: float) -> list[Record]:
    world = World()
    world.error_rate["green"] = error_rate
    ramp(world)
    return [one for one in world.journal.kept if one.phase not in (Phase.HOLDING, Phase.SOAKING)][:400]


@cache
def ramps() -> dict[str, list[Record]]:
    return {"promoted": _kept(0.0), "rolled_back": _kept(0.3)}


@pytest.mark.parametrize(
    ("minutes", "due"), [(-1, False), (0, True), (30, True), (60, True), (61, False), (1440, False)]
)
def test_a_reap_is_due_within_an_hour(minutes: int, due: bool) -> None:
    until = START + timedelta(minutes=minutes)
    found = reap_due(ORIGIN, "blue", until, START)
    assert (found is not None) is due
    if found is not None:
        later = reap_due(ORIGIN, "blue", until, START + timedelta(seconds=30))
        assert later is None or later.id == found.id
        assert found.details["keep_command"] == "python -m scripts.keep --stack prod --until +24h"
