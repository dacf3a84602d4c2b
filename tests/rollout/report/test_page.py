"""The page of a report: one file, complete, whatever the journal says, and never markup from a message."""

import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.journal.store import FileStore
from rollout.model.records import Note, Record
from rollout.model.verdict import Verdict
from rollout.report.charts import (
    _per_second,  # pyright: ignore[reportPrivateUsage]
    charts,
    marks,
)
from rollout.report.explanation import explain
from rollout.report.facts import Hold, Reading, Report
from rollout.report.files import as_json, page, store_report
from rollout.report.page import FOLDER
from rollout.report.read import report_of
from tests.rollout.fakes import BASE, START, World
from tests.rollout.report.test_read import ramp


@pytest.fixture(scope="module")
def slow() -> World:
    world = World()
    world.ttft_bucket["green"] = "2.5"
    ramp(world)
    return world


def report(records: list[Record]) -> Report:
    found = report_of(records)
    assert found is not None
    return found


def html(records: list[Record]) -> str:
    found = report(records)
    return page(found, explain(found, "prod"))


def test_the_page_needs_no_network(slow: World) -> None:
    text = html(slow.journal.kept)
    assert "default-src 'none'" in text
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:,|#)', without_scripts)
    assert "url(" not in text


def test_its_data_is_the_report(slow: World) -> None:
    text = html(slow.journal.kept)
    found = re.search(r'<script type="application/json" id="report">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["report"]["outcome"] == "rolled_back"
    assert data["report"]["decision"]["tipped_by"][0]["name"] == "ttft_p95"
    assert data["explanation"]["commands"]


def test_it_shows_every_headroom_mode_with_the_chosen_one_marked(slow: World) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", html(slow.journal.kept).partition("headroom modes</h2>")[2], re.DOTALL)[1:5]
    assert [re.findall(r'class="name">(\w+)', row)[0] for row in rows] == ["on_rollout", "reserved", "always", "surge"]
    assert [row for row in rows if "(chosen)" in row] == rows[:1]
    assert all("GPU-hours" in row and "instant" in row for row in rows)


def test_slices_are_a_table_by_value_and_their_values_are_never_markup() -> None:
    gates = {**BASE["rollout"]["gates"], "error_rate": {"by": "model_name"}}
    world = World(rollout={**BASE["rollout"], "gates": gates})
    world.models = {"base": 0.9, "<b>lora": 0.1, "rare": 0.01}
    world.model_error_rate["green", "<b>lora"] = 0.3
    ramp(world)
    text = html(world.journal.kept)
    table = text.partition("Slices at the end of the hold of 25 %</h2>")[2].partition("</table>")[0]
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]]
    assert [row[:4] for row in rows] == [
        ["error_rate", "model_name", "&#34;base&#34;", "pass"],
        ["model_name", "&#34;&lt;b&gt;lora&#34;", "fail", rows[1][3]],
        ["model_name", "&#34;rare&#34;", "no", "verdict"],
    ]
    assert "30.00 % 0.00 %" in " ".join(rows[1])
    assert table.count('<td class="slice">') == len(rows)  # a long value breaks, and the columns after it are in view
    assert "<b>" not in text
    hold = report(world.journal.kept).holds[-1]
    (gate,) = [one for one in hold.gates if one.name == "error_rate"]
    assert all(not one.slices for one in gate.readings[1:-1] if one.verdict is gate.readings[0].verdict)


def test_the_costs_of_both_colours_are_a_table_by_hold() -> None:
    world = World(green={"replicas": 4})
    ramp(world)
    table = html(world.journal.kept).partition("What the tokens cost")[2].partition("</table>")[0]
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]]
    assert [row[:3] for row in rows[::2]] == [
        ["1", "%", "candidate"],
        ["25", "%", "candidate"],
        ["100", "%", "candidate"],
        ["soak", "candidate", rows[6][2]],
    ]
    dear, usual = rows[2], rows[3]
    assert usual[:2] == ["active", "colour"]
    assert float(dear[3]) == pytest.approx(2 * float(usual[2]), abs=0.02)
    assert dear[dear.index("+100.0") :][:3] == ["+100.0", "%,", "surely"]


def test_a_message_is_never_markup(slow: World) -> None:
    evil = '</script><script>alert(1)</script><img src="x">'
    kept = slow.journal.kept
    note = Record(seq=9999, at=kept[-1].at, rollout="r1", token=1, phase=kept[-1].phase, body=Note(text=evil))
    text = html([*kept[:-1], note, kept[-1]])
    assert "<script>alert" not in text
    assert "<img" not in text


def test_every_chart_has_both_colours_and_its_limit(slow: World) -> None:
    found = {one.title: one for one in charts(report(slow.journal.kept))}
    ttft = found["Time to first token, p95"]
    assert [one.role for one in ttft.series] == ["blue", "green", "limit"]
    assert max(value for _, value in ttft.series[1].points if value is not None) > 1
    assert "green from" in ttft.summary
    rates = found["Requests per second"]
    assert max(value for _, value in rates.series[0].points if value is not None) == pytest.approx(99, rel=0.1)


def test_a_rate_does_not_leap_where_polls_are_more_frequent_than_scrapes() -> None:
    # 30 requests a second are counted every 15 s, and looked at every 0.5 s.
    looks = [
        Reading(
            at=START + timedelta(seconds=place / 2),
            verdict=Verdict.PASS,
            reason="",
            evidence={"requests": 30 * 15 * (place // 30)},
        )
        for place in range(1, 600)
    ]
    hold = Hold(
        step=0,
        candidate_percent=100,
        planned_seconds=300,
        counted_from=START,
        began_at=START,
        ended_at=None,
        gates=(),
    )
    rate = _per_second("requests")
    rates = [rate(hold, place, looks) or 0.0 for place in range(len(looks))]
    assert max(rates) < 40
    assert min(rates[120:]) > 20


def test_the_evidence_reaches_the_limit_where_a_gate_fails(slow: World) -> None:
    found = {one.title: one for one in charts(report(slow.journal.kept))}
    evidence = found["Evidence against the candidate, by gate"]
    by_name = {one.name: max(value or 0 for _, value in one.points) for one in evidence.series}
    assert by_name["ttft_p95"] >= 100
    assert by_name["error_rate"] < 100


def test_each_gate_is_defined_before_its_verdicts(slow: World) -> None:
    text = html(slow.journal.kept)
    defined, _, verdicts = text.partition("Gates at the end of each hold")[2].partition("<table>")
    gates = set(re.findall(r'<td class="name">([a-z0-9_]+_[a-z0-9_]+)', verdicts.partition("</table>")[0]))
    assert {"ttft_p95", "error_rate"} <= gates
    assert gates <= set(re.findall(r"<dfn>(\w+)</dfn>", defined))
    assert "<dfn>ttft_p95</dfn>: Time to first token (TTFT)" in defined


def test_the_weights_are_marked(slow: World) -> None:
    assert [one.text for one in marks(report(slow.journal.kept))] == ["1 %", "rollback"]


def test_every_beginning_of_a_journal_makes_a_page(slow: World) -> None:
    kept = slow.journal.kept
    made = 0
    for length in range(1, len(kept), 7):
        found = report_of(kept[:length])
        if found is not None:
            made += len(page(found, explain(found, "prod"))) > 0
    assert made > 5


def test_page_and_json_are_stored_and_replaced(slow: World, tmp_path: Path) -> None:
    store, found = FileStore(tmp_path), report(slow.journal.kept)
    said = explain(found, "prod")
    store_report(store, "chat", found, said)
    where = store_report(store, "chat", found, said)
    assert Path(where).read_text() == page(found, said)
    assert Path(where).with_suffix(".json").read_text() == as_json(found, said)
    assert len(store.keys("reports/chat/")) == 2


def test_the_chart_library_is_what_its_author_published() -> None:
    text = (FOLDER / "uplot" / "README.md").read_text()
    listed = dict(re.findall(r"\| `([^`]+)` \| `([0-9a-f]{64})` \|", text))
    assert set(listed) == {"uPlot.iife.min.js", "uPlot.min.css", "LICENSE"}
    for name, digest in listed.items():
        assert hashlib.sha256((FOLDER / "uplot" / name).read_bytes()).hexdigest() == digest
