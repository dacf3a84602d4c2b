"""Evidence bundles: any change is noticed, and the digests say what was changed."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.domain.balancer.traffic import Traffic
from components.domain.evidence import (
    Bundle,
    EvidenceTag,
    NoBundleError,
    canonical,
    document_digest,
    needs_evidence,
    read_bundle,
    sealed,
    sections,
)
from components.domain.naming import Color
from tests.policies.bundles import bundle

BUNDLE = bundle(checks={"smoke": "pass", "eval": "pass"})
Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, child in children:
        found = True
        yield from leaves(child, (*path, key))
    if not found:
        yield path


def changed(document: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(document)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


def at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=False), st.text(max_size=12))


def test_a_bundle_as_it_was_written_contradicts_nothing() -> None:
    assert list(read_bundle(json.dumps(BUNDLE, indent=2).encode()).differences()) == []


@given(path=st.sampled_from(list(leaves(BUNDLE))), value=VALUES)
def test_any_change_of_one_value_is_noticed(path: Path, value: Any) -> None:
    tampered = changed(BUNDLE, path, value)
    same = canonical(at(BUNDLE, path)) == canonical(value)
    assert bool(list(Bundle(document=tampered).differences())) is not same


@given(path=st.sampled_from(list(leaves(BUNDLE))))
def test_a_value_that_is_gone_is_noticed(path: Path) -> None:
    tampered = copy.deepcopy(BUNDLE)
    holder = at(tampered, path[:-1])
    del holder[path[-1]]
    assert list(Bundle(document=tampered).differences())


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (("report", "release", "model"), "release"),
        (("report", "processes", 0, "config_sha256"), "config"),
        (("report", "processes", 0, "commit"), "program"),
        (("report", "processes", 0, "pack_version"), "pack"),
        (("report", "journal", "sha256"), "journal"),
        (("report", "checks", 0, "readings", 0, "verdict"), "checks"),
        (("report", "holds", 0, "gates", 0, "readings", 0, "verdict"), "checks"),
    ],
)
def test_the_part_that_differs_is_named_even_when_the_document_states_its_new_digest(path: Path, what: str) -> None:
    tampered = changed(BUNDLE, path, "other")
    tampered["evidence"]["sha256"] = document_digest(tampered)
    (difference,) = Bundle(document=tampered).differences()
    assert difference.what == what
    assert difference.why in str(difference)


def stating(section: str, value: Any) -> Bundle:
    """Return a bundle that states something else of a section, and its own digest of that."""
    document = copy.deepcopy(BUNDLE)
    document["evidence"][section] = value
    document["evidence"]["sha256"] = document_digest(document)
    return Bundle(document=document)


@pytest.mark.parametrize(
    ("section", "stated", "text"),
    [
        (
            "journal",
            {**BUNDLE["evidence"]["journal"], "records": 3},
            "journal: the bundle states records 3, but it is records 2: the report may be of other records than",
        ),
        ("program", "c0ffee0", 'program: the bundle states c0ffee0, but it is {"commits":["c0ffee0"]}: another'),
        ("program", None, 'program: the bundle states null, but it is {"commits":["c0ffee0"]}: another'),
        ("program", ["x" * 76], f'program: the bundle states ["{"x" * 76}"], but it is'),
        ("program", ["x" * 77], f'program: the bundle states ["{"x" * 77}"…, but it is'),
        ("program", {}, 'program: the bundle states commits null, but it is commits ["c0ffee0"]: another'),
    ],
)
def test_of_a_section_that_differs_only_what_differs_is_shown(section: str, stated: Any, text: str) -> None:
    (difference,) = stating(section, stated).differences()
    assert str(difference).startswith(text)


def test_a_bundle_that_states_no_digest_is_not_intact() -> None:
    document = copy.deepcopy(BUNDLE)
    del document["evidence"]["sha256"]
    bundle = Bundle(document=document)
    assert bundle.stated_digest == ""
    (difference,) = bundle.differences()
    assert str(difference).startswith(f"document: the bundle states no digest of itself, but it is {bundle.digest}: ")
    assert "a value was changed" not in str(difference)
    document["evidence"]["sha256"] = "0" * 64
    (difference,) = bundle.differences()
    assert difference.stated == "0" * 64


@pytest.mark.parametrize(
    ("stated", "made", "text"),
    [
        (
            {"a": {"b": [1, {"c": 2}]}},
            {"a": {"b": [1, {"c": 3}]}},
            "report.a.b[1].c: the bundle states 2, but it is 3:",
        ),
        ({"a": [1, 2]}, {"a": [2]}, "report.a: the bundle states 2 items, but it is 1 items:"),
        ({"a": "null"}, {"a": None}, "report.a: the bundle states null, but it is null:"),
        ({"a": "nothing"}, {}, "report.a: the bundle states nothing, but it is nothing:"),
        ({}, {"a": False}, "report.a: the bundle states nothing, but it is false:"),
    ],
)
def test_a_value_that_was_made_again_otherwise_is_named_by_its_path(stated: Any, made: Any, text: str) -> None:
    (difference,) = Bundle(document=sealed({"report": stated})).unlike(sealed({"report": made}))
    assert str(difference).startswith(text)


def test_a_run_without_a_release_has_no_release_id() -> None:
    assert Bundle(document=sealed({"explanation": {}, "report": {"release_id": None}})).release_id == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a report with explanation, report, evidence"),
        (b'{"report": {}, "explanation": {}}', "not a report"),
        (b'{"report": {}, "explanation": {}, "evidence": {"a": 1, "a": 2}}', "a key twice"),
    ],
)
def test_what_is_no_bundle_is_not_read(content: bytes, message: str) -> None:
    with pytest.raises(NoBundleError, match=message):
        read_bundle(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(report=st.dictionaries(st.sampled_from([*BUNDLE["report"], "other"]), JSON))
def test_a_report_of_any_shape_can_be_sealed_and_read(report: dict[str, Any]) -> None:
    read = read_bundle(json.dumps(sealed({"explanation": {}, "report": report})).encode())
    assert list(read.differences()) == []
    assert isinstance(read.objections, tuple)


def test_checks_that_did_not_run_or_do_not_count_are_told_apart() -> None:
    report = copy.deepcopy(BUNDLE["report"])
    report["plan"]["checks"] = ["smoke", "eval", "shadow"]
    report["checks"][0]["dry_run"] = True
    assert sections(report)["checks"]["verdicts"] == {"smoke": "dry run", "eval": "pass", "shadow": "not run"}
    assert Bundle(document=sealed({"explanation": {}, "report": report})).objections == ("shadow: not run",)


def test_a_gate_that_failed_once_has_failed() -> None:
    def hold(verdict: str) -> dict[str, Any]:
        return {"gates": [{"name": "error_rate", "dry_run": False, "readings": [{"verdict": verdict}]}]}

    holds = [hold("inconclusive"), hold("fail"), hold("pass")]
    assert sections({"holds": holds})["checks"]["gates"] == {"error_rate": "fail"}
    assert sections({"holds": holds[::2]})["checks"]["gates"] == {"error_rate": "pass"}


@pytest.mark.parametrize(
    ("outcome", "objections"),
    [("promoted", ()), (None, ()), ("rolled_back", ("the rollout ended as rolled_back",))],
)
def test_a_rollout_that_went_back_speaks_for_nothing(outcome: str | None, objections: tuple[str, ...]) -> None:
    report = {**copy.deepcopy(BUNDLE["report"]), "outcome": outcome}
    assert Bundle(document=sealed({"explanation": {}, "report": report})).objections == objections


def test_a_run_without_checks_speaks_for_nothing() -> None:
    assert Bundle(document=sealed({"explanation": {}, "report": {}})).objections == ("no check ran",)


def test_a_tag_is_read_as_it_was_written() -> None:
    tag = Bundle(document=BUNDLE).tag
    assert EvidenceTag.parse(str(tag)) == tag
    assert len(str(tag)) < 256


@pytest.mark.parametrize("text", ["", "abc", f"abc sha256:{'0' * 63}", f"abc SHA256:{'0' * 64}", f" sha256:{'0' * 64}"])
def test_any_other_tag_says_nothing(text: str) -> None:
    assert EvidenceTag.parse(text) is None


@pytest.mark.parametrize(
    ("green_weight", "active_color", "rolling_out", "needed"),
    [
        (0, "blue", False, False),
        (1, "blue", False, False),
        (2, "blue", False, True),
        (25, "blue", True, False),
        (100, "green", False, False),
        (99, "green", False, False),
        (98, "green", False, True),
    ],
)
def test_evidence_is_needed_for_more_than_one_percent_outside_a_rollout(
    green_weight: int, active_color: Color, rolling_out: bool, needed: bool
) -> None:
    traffic = Traffic(
        weights={"blue": 100 - green_weight, "green": green_weight},
        active_color=active_color,
        keep_until=None,
        rollout_serial=1,
        rolling_out=rolling_out,
    )
    assert needs_evidence(traffic) is needed
