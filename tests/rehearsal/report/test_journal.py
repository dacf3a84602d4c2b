"""Each read of the journal continues where the last one ended, and never returns half a record."""

from pathlib import Path

from rehearsal.report.journal import JournalTail, at, of_kind


def test_records_appear_once_they_are_complete(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    tail = JournalTail(path)
    tail.look()
    assert tail.records == []
    path.write_text('{"kind": "phase", "at": "2026-11-21T00:00:01+00:00"}\n{"kind": "wei')
    tail.look()
    assert [record["kind"] for record in tail.records] == ["phase"]
    with path.open("a") as file:
        file.write('ght", "status": "done", "at": "2026-11-21T00:00:02.5+00:00"}\n')
    tail.look()
    tail.look()
    assert [record["kind"] for record in tail.records] == ["phase", "weight"]
    assert at(tail.records[1]) - at(tail.records[0]) == 1.5
    assert list(of_kind(tail.records, "weight", status="begun")) == []


def test_half_a_record_from_a_full_disk_is_skipped_whether_it_stays_or_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    tail = JournalTail(path)
    path.write_text('{"kind": "phase"}\n{"kind": "wei\n')
    tail.look()
    path.write_text('{"kind": "phase"}\n{"kind": "rule"}\n')
    tail.look()
    with path.open("a") as file:
        file.write('{"kind\n\n{"kind": "note"}\n')
    tail.look()
    assert [record["kind"] for record in tail.records] == ["phase", "rule", "note"]
