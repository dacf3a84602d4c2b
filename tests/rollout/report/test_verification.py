"""A bundle is verified by itself and by the journal that it was made from."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.domain.evidence import SECTIONS, Bundle, canonical, document_digest, read_bundle
from rollout.model.errors import RefusedError
from rollout.model.records import LockTaken, Note, Record, read_record
from rollout.report.explanation import explain
from rollout.report.files import as_json
from rollout.report.read import report_of
from rollout.report.verification import read_bundle_file, verify
from tests.components.domain.test_evidence import VALUES, at, changed, leaves
from tests.rollout.fakes import NEW, World, record
from tests.rollout.report.test_read import ramp

LOCK = LockTaken(by="ramp", before="", user="ada", commit="c0ffee0", config_sha256="a" * 64, pack_version="1.0.0")


def records_of_a_ramp() -> list[Record]:
    world = World()
    ramp(world)
    return [replace(record(LOCK), rollout=world.journal.kept[0].rollout), *world.journal.kept]


RECORDS = records_of_a_ramp()


def text_of(records: list[Record]) -> str:
    report = report_of(records)
    assert report is not None
    return as_json(report, explain(report, "prod"))


DOCUMENT: dict[str, Any] = json.loads(text_of(RECORDS))
LEAVES = list(leaves(DOCUMENT))


def forged(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return the bundle with another value, and its own digest made again."""
    document = changed(DOCUMENT, path, value)
    document["evidence"]["sha256"] = document_digest(document)
    return document


def test_the_bundle_of_a_promotion_is_intact_and_speaks_for_its_release() -> None:
    bundle = read_bundle(text_of(RECORDS).encode())
    assert verify(bundle).differences == ()
    assert verify(bundle, RECORDS).differences == ()
    assert bundle.release_id == NEW.release_id
    assert bundle.objections == ()
    evidence = bundle.evidence
    assert evidence["program"] == {"commits": ["c0ffee0"]}
    assert evidence["config"] == {"sha256": ["a" * 64]}
    assert evidence["pack"] == {"versions": ["1.0.0"]}
    assert evidence["journal"]["records"] == len(RECORDS)
    assert evidence["checks"]["verdicts"] == {"smoke": "pass", "eval": "pass"}


def as_other_programs_write(number: str) -> float | int:
    value = float(number)
    return int(value) if value.is_integer() else value


def test_a_bundle_that_another_program_has_written_again_is_intact() -> None:
    # jq and JavaScript know one kind of numbers, so they write 6.0 as 6.
    copied = json.loads(text_of(RECORDS), parse_float=as_other_programs_write)
    again = read_bundle(json.dumps(copied, sort_keys=True).encode())
    assert verify(again, RECORDS).differences == ()


@settings(max_examples=25)
@given(path=st.sampled_from(LEAVES), value=VALUES)
def test_any_change_of_one_value_is_noticed(path: tuple[str | int, ...], value: Any) -> None:
    if value != at(DOCUMENT, path):
        assert verify(Bundle(document=changed(DOCUMENT, path, value))).differences


def test_another_release_is_noticed_by_its_id_although_all_digests_were_made_again() -> None:
    tampered = copy.deepcopy(DOCUMENT)
    tampered["report"]["release"]["model"] = "acme/other"
    bundle = Bundle(document=tampered)
    tampered["evidence"]["release"]["sha256"] = next(
        one.found.removeprefix("sha256 ") for one in bundle.differences() if one.what == "release"
    )
    tampered["evidence"]["sha256"] = document_digest(tampered)
    (difference,) = verify(bundle).differences
    assert difference.what == "release"
    assert difference.stated == f"id {NEW.release_id}"


@settings(max_examples=25)
@given(path=st.sampled_from([one for one in LEAVES if one != ("evidence", "sha256")]), value=VALUES)
@pytest.mark.slow
def test_the_journal_contradicts_any_change_although_the_digest_was_made_again(
    path: tuple[str | int, ...], value: Any
) -> None:
    if canonical(value) != canonical(at(DOCUMENT, path)):
        differences = verify(Bundle(document=forged(path, value)), RECORDS).differences
        assert {one.what.partition(".")[0] for one in differences} <= {*SECTIONS, "report", "explanation", "evidence"}
        assert differences


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("report", "outcome"), "failed", "report.outcome"),
        (("report", "reason"), "all is well", "report.reason"),
        (("report", "began_at"), "2020-01-01T00:00:00Z", "report.began_at"),
        (("report", "plan", "soak_seconds"), 1, "report.plan.soak_seconds"),
        (("report", "timeline", 2, "text"), "x", "report.timeline[2].text"),
        (("report", "weights"), [], "report.weights"),
        (("report", "usd"), 0.01, "report.usd"),
        (("explanation", "headline"), "x", "explanation.headline"),
        (("explanation", "commands", 0), "python -m scripts.reap --stack prod", "explanation.commands[0]"),
        (("report", "approved"), True, "report.approved"),
        (("evidence", "approved"), True, "evidence.approved"),
        (("approved",), True, "approved"),
    ],
)
def test_what_was_forged_is_named_by_the_journal_alone(path: tuple[str | int, ...], value: Any, what: str) -> None:
    bundle = Bundle(document=forged(path, value))
    assert verify(bundle).differences == ()
    assert [one.what for one in verify(bundle, RECORDS).differences] == [what]


def test_the_names_of_stack_and_service_in_commands_are_said_to_be_not_compared() -> None:
    report = report_of(RECORDS)
    assert report is not None
    text = as_json(report, explain(report, "acme/prod", " --service chat"))
    found = verify(read_bundle(text.encode()), RECORDS)
    assert found.differences == ()
    assert "explanation.commands" in found.not_compared


@pytest.mark.parametrize("records", [RECORDS[:1], [replace(one, rollout="r9") for one in RECORDS]])
def test_a_journal_without_the_rollout_does_not_confirm_it(records: list[Record]) -> None:
    (difference,) = verify(Bundle(document=DOCUMENT), records).differences
    assert difference.found == "none of this service's rollouts"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"commit": "beef123"}, {"program", "journal"}),
        ({"config_sha256": "b" * 64}, {"config", "journal"}),
        ({"pack_version": "2.0.0"}, {"pack", "journal"}),
        ({"host": "elsewhere"}, {"journal"}),
    ],
)
def test_a_journal_that_says_something_else_is_noticed(change: dict[str, str], what: set[str]) -> None:
    records = [replace(RECORDS[0], body=LOCK.model_copy(update=change)), *RECORDS[1:]]
    found = {one.what for one in verify(Bundle(document=DOCUMENT), records).differences}
    assert found == {*what, *(f"report.processes[0].{field}" for field in change)}


def test_a_rollout_that_went_on_later_confirms_what_it_did_until_then() -> None:
    early = json.loads(text_of(RECORDS[:40]))
    assert verify(Bundle(document=early), RECORDS).differences == ()


def test_a_record_that_was_removed_is_noticed() -> None:
    shorter = [*RECORDS[:20], *RECORDS[21:]]
    assert {one.what for one in verify(Bundle(document=DOCUMENT), shorter).differences} >= {"journal"}


def test_the_digest_of_a_record_stays_when_a_later_version_adds_a_field() -> None:
    before = {name: value for name, value in record(LockTaken(by="ramp", before="")).as_json().items() if value != ""}
    read = read_record({**before, "before": "", "phase": ""})
    assert read.sha256 == record(LockTaken(by="ramp", before="")).sha256
    assert read.sha256 != record(LockTaken(by="ramp", before="", user="ada")).sha256
    assert record(Note(text="x")).sha256 != record(Note(text="y")).sha256


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"cannot be read \(No such file"), ("{}", "is no evidence bundle: it is not a report with explanation")],
)
def test_a_file_that_is_no_bundle_is_refused_with_the_fix(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "bundle.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RefusedError, match=message) as refused:
        read_bundle_file(path, "--verify")
    assert str(refused.value).startswith("--verify ")
    assert "Name the JSON file of a report" in str(refused.value)
