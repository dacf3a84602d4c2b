"""The journal: numbered, whole lines, whatever happened to the process before."""

from datetime import UTC, datetime
from pathlib import Path

from rollout.journal import FileJournal, Record, is_unfinished, last_rule_change, read_journal

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
