"""The journal: numbered, whole lines, whatever happened to the process before."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rollout.errors import JournalError, RefusedError
from rollout.journal import FileJournal, Record, is_unfinished, last_rule_change, read_journal
from tests.rollout.full_disk import no_room

NOW = datetime(2026, 11, 21, 8, 0, 0, 5, tzinfo=UTC)


def journal(path: Path) -> FileJournal:
    return FileJournal(path, "r1", lambda: NOW)


def test_records_are_numbered_across_processes(tmp_path: Path) -> None:
    path = tmp_path / "prod" / "chat.jsonl"
    first = journal(path)
    first.phase = "deploying"
    first.write("note", text="grün")
    journal(path).write("note", text="two")
    records = read_journal(path)
    assert [record["seq"] for record in records] == [1, 2]
    assert records[0] == {
        "seq": 1,
        "at": "2026-11-21T08:00:00.000005Z",
        "rollout": "r1",
        "kind": "note",
        "phase": "deploying",
        "text": "grün",
    }


def test_a_line_cut_short_by_a_kill_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    journal(path).write("note", text="whole")
    with path.open("a") as file:
        file.write('{"seq": 2, "kind": "no')
    journal(path).write("note", text="after")
    assert [record["text"] for record in read_journal(path)] == ["whole", "after"]


def test_whoever_listens_sees_a_record_that_is_on_disk_already(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    seen: list[int] = []
    listening = FileJournal(path, "r1", lambda: NOW, lambda _: seen.append(len(read_journal(path))))
    listening.write("note", text="x")
    assert seen == [1]


def test_a_rollout_without_an_end_is_unfinished() -> None:
    started: Record = {"kind": "started"}
    finished: Record = {"kind": "finished"}
    note: Record = {"kind": "note"}
    assert not is_unfinished([])
    assert is_unfinished([started, note])
    assert not is_unfinished([started, finished, note])
    assert is_unfinished([started, finished, started])


def test_the_last_change_of_the_rule_is_found(tmp_path: Path) -> None:
    assert last_rule_change(read_journal(tmp_path / "none.jsonl")) is None
    journal(tmp_path / "chat.jsonl").write("rule", green_weight=1, how="up")
    assert last_rule_change(read_journal(tmp_path / "chat.jsonl")) == NOW


def test_a_record_that_does_not_fit_on_the_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    with no_room(), pytest.raises(JournalError, match=r"chat\.jsonl: cannot be written \(File too large\)"):
        journal(path).write("note", text="lost")


def test_a_dispensable_journal_says_once_that_records_are_lost_and_goes_on(tmp_path: Path) -> None:
    seen: list[Record] = []
    writing = FileJournal(tmp_path / "chat.jsonl", "r1", lambda: NOW, seen.append)
    writing.dispensable = True
    with no_room():
        writing.write("rule", green_weight=0, how="direct")
        writing.write("phase", step=0)
    assert [record["kind"] for record in seen] == ["note", "rule", "phase"]
    assert "going on without the journal" in str(seen[0]["text"])


def test_a_journal_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").mkdir()
    with pytest.raises(RefusedError, match=r"chat\.jsonl: the journal cannot be read"):
        read_journal(tmp_path / "chat.jsonl")


def test_lines_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('[]\n3\n{"kind": "note"}\n{"seq": 1, "kind": "note"}\n')
    assert [record["seq"] for record in read_journal(path)] == [1]
