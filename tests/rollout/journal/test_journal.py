"""The journal: records are numbered and complete, even after a killed process, and only one writer can append."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rollout.journal.journal import Journal, RecordFile, RecordObjects, Records, last_seq
from rollout.journal.store import FileStore, StoreConflictError, StoreError
from rollout.model.errors import JournalError, LostLockError, RefusedError
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import make_plan
from rollout.model.records import (
    Decision,
    Finished,
    Note,
    PhaseBegun,
    Record,
    RuleChanged,
    Started,
    UpdateEnded,
    checked_spans,
    last_rule_change,
    state_of,
)
from tests.components.example import service_settings
from tests.rollout.fakes import record
from tests.rollout.full_disk import no_room

NOW = datetime(2026, 11, 21, 8, 0, 0, 5, tzinfo=UTC)


def ignore(_: Record) -> None: ...


def started() -> Started:
    plan = make_plan("green", service_settings().rollout)
    return Started(
        plan=plan,
        release=None,
        **state_of(Rollout(plan=plan)),
        service="chat",
        candidate="green",
        release_id="new",
        previous_release_id=None,
        green_weight=0,
    )


PHASE = PhaseBegun(step=0, check=0, promoted=False, reason="")
FINISHED = Finished(outcome="rolled_back", reason="")


def journal(records: Records, on_record: Callable[[Record], None] = ignore) -> Journal:
    seq = last_seq(records.read())
    return Journal(records, rollout_id="r1", token=7, last_seq=seq, run=None, now=lambda: NOW, on_record=on_record)


@pytest.fixture(params=["file", "objects"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Returns a function that opens the same records again with each call."""
    if request.param == "file":
        return lambda: RecordFile(tmp_path / "prod" / "chat.jsonl")
    return lambda: RecordObjects(FileStore(tmp_path), "journal/chat")


def texts(records: Sequence[Record]) -> list[Any]:
    return [record.body.text for record in records if isinstance(record.body, Note)]


def test_records_are_numbered_across_processes(folder: Any) -> None:
    first = journal(folder())
    first.phase = Phase.DEPLOYING
    first.write(Note(text="grün"))
    journal(folder()).write(Note(text="two"))
    records = folder().read()
    assert [record.seq for record in records] == [1, 2]
    assert records[0].as_json() == {
        "seq": 1,
        "at": "2026-11-21T08:00:00.000005Z",
        "rollout": "r1",
        "token": 7,
        "kind": "note",
        "phase": "deploying",
        "text": "grün",
    }


def test_the_first_record_of_a_new_writer_stops_the_former_one(folder: Any) -> None:
    former = journal(folder())
    former.write(Note(text="one"))
    following = journal(folder())
    following.write(Note(text="two"))
    former.best_effort = True
    for _ in range(2):
        with pytest.raises(LostLockError, match="taken over the stack"):
            former.write(Note(text="late"))
    following.write(Note(text="three"))
    assert texts(folder().read()) == ["one", "two", "three"]


def test_only_one_of_two_writers_of_an_empty_journal_can_write(folder: Any) -> None:
    one, two = journal(folder()), journal(folder())
    one.write(Note(text="one"))
    with pytest.raises(LostLockError):
        two.write(Note(text="two"))


def test_an_incomplete_line_after_a_kill_does_not_spoil_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    journal(RecordFile(path)).write(Note(text="whole"))
    with path.open("a") as file:
        file.write('{"seq": 2, "kind": "no')
    journal(RecordFile(path)).write(Note(text="after"))
    assert texts(RecordFile(path).read()) == ["whole", "after"]


def test_a_listener_gets_a_record_after_it_is_stored(folder: Any) -> None:
    seen: list[int] = []

    def look(_: Record) -> None:
        seen.append(len(folder().read()))

    journal(folder(), look).write(Note(text="x"))
    assert seen == [1]


def test_the_last_change_of_the_rule_is_found(folder: Any) -> None:
    assert last_rule_change(folder().read()) is None
    journal(folder()).write(RuleChanged(green_weight=1, how="up"))
    assert last_rule_change(folder().read()) == NOW


def test_the_times_in_which_checks_sent_requests_are_found(folder: Any) -> None:
    assert checked_spans(folder().read()) == []
    writing = journal(folder())
    phases = (Phase.WARMING, Phase.VERIFYING, Phase.VERIFYING, Phase.SHIFTING, Phase.VERIFYING)
    for phase in phases:
        writing.phase = phase
        writing.write(Note(text="x"))
    assert checked_spans(folder().read()) == [(NOW, NOW), (NOW, NOW)]


def test_a_record_that_does_not_fit_on_the_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    writing = journal(RecordFile(path))
    with no_room(), pytest.raises(JournalError, match=r"chat\.jsonl: cannot be written \(File too large\)"):
        writing.write(Note(text="lost"))
    writing.write(Note(text="later"))
    assert texts(RecordFile(path).read()) == ["later"]


def test_an_incomplete_record_on_a_full_disk_is_removed_and_causes_no_conflict(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    writing = journal(RecordFile(path))
    writing.write(Note(text="before"))
    size = path.stat().st_size
    with no_room(beyond_bytes=size + 20), pytest.raises(JournalError, match=r"cannot be written \(File too large\)"):
        writing.write(Note(text="lost"))
    assert path.stat().st_size == size
    writing.write(Note(text="later"))
    assert texts(RecordFile(path).read()) == ["before", "later"]


def test_a_best_effort_journal_reports_a_failure_once_and_writes_the_records_later(tmp_path: Path) -> None:
    seen: list[Record] = []
    records = RecordFile(tmp_path / "chat.jsonl")
    writing = journal(records, seen.append)
    writing.best_effort = True
    with no_room():
        writing.write(RuleChanged(green_weight=0, how="direct"))
        writing.write(PHASE)
    assert [record.body.kind for record in seen] == ["note", "rule", "phase"]
    assert "continuing without the journal" in str(seen[0].body)
    writing.write(FINISHED)
    assert [record.body.kind for record in records.read()] == ["rule", "phase", "finished"]


def test_a_journal_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").mkdir()
    with pytest.raises(RefusedError, match=r"chat\.jsonl: the journal cannot be read"):
        RecordFile(tmp_path / "chat.jsonl").read()


def test_lines_that_are_not_records_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    whole = json.dumps(record(Note(text="whole")).as_json())
    path.write_text(f'[]\n3\n{{"kind": "note"}}\n{whole}\n')
    assert [record.seq for record in RecordFile(path).read()] == [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "poem"}, r"record 1 \(poem\): .*'poem'"),
        ({"green_weight": "much"}, r"record 1 \(rule\): rule\.green_weight: .*integer"),
        ({"author": "me"}, r"record 1 \(rule\): rule\.author"),
        ({"phase": "dreaming"}, r"record 1 \(rule\): .*dreaming"),
    ],
)
def test_a_record_that_this_version_does_not_know_is_refused(
    folder: Any, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    journal(folder()).write(RuleChanged(green_weight=1, how="up"))
    (path,) = tmp_path.rglob("*.jsonl")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}) + "\n")
    with pytest.raises(RefusedError, match=words):
        folder().read()


def test_a_long_journal_is_split_into_a_few_objects_and_only_the_last_rollouts_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.journal.journal.SEGMENT_RECORDS", 5)
    store = FileStore(tmp_path)
    writing = journal(RecordObjects(store, "journal/chat"))
    for _ in range(3):
        writing.write(started())
        for _ in range(7):
            writing.write(Note(text="x"))
    assert store.keys("journal/chat/", after="journal/chat/0000000011.jsonl") == [
        *("journal/chat/0000000016.jsonl", "journal/chat/0000000021.jsonl", "journal/chat/started")
    ]
    read = [record.seq for record in RecordObjects(store, "journal/chat").read()]
    assert read == list(range(16, 25))
    assert [record.seq for record in RecordObjects(store, "journal/chat").history()] == list(range(1, 25))


def test_reading_the_history_does_not_allow_a_former_writer_to_append(folder: Any) -> None:
    one = folder()
    writing = journal(one)
    writing.write(Note(text="first"))
    journal(folder()).write(Note(text="second"))
    assert texts(one.history()) == ["first", "second"]
    with pytest.raises(LostLockError):
        writing.write(Note(text="written after the lock was lost"))


def test_a_new_object_is_started_after_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.journal.journal.SEGMENT_BYTES", 500)
    writing = journal(RecordObjects(FileStore(tmp_path), "journal/chat"))
    for text in ("x" * 600, "small", "y" * 600, "end"):
        writing.write(Note(text=text))
    assert len(FileStore(tmp_path).keys("journal/chat/")) == 3


class Unreliable(FileStore):
    """A store that loses the answers to writes. The writes themselves arrive or not."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.arrives = True
        self.silent = False

    def create(self, key: str, content: bytes) -> str:
        return self._lose(lambda: super(Unreliable, self).create(key, content))

    def replace(self, key: str, content: bytes, version: str) -> str:
        return self._lose(lambda: super(Unreliable, self).replace(key, content, version))

    def _lose(self, write: Any) -> str:
        if not self.silent:
            return write()
        if self.arrives:
            write()
        raise StoreError("s3://records: cannot be written (no answer)")


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_record_whose_answer_was_lost_does_not_stop_its_own_writer(
    tmp_path: Path, arrives: bool, first: bool
) -> None:
    store = Unreliable(tmp_path)
    writing = journal(RecordObjects(store, "journal/chat"))
    if not first:
        writing.write(Note(text="before"))
    store.arrives, store.silent = arrives, True
    with pytest.raises(JournalError):
        writing.write(Note(text="unknown"))
    store.silent = False
    writing.write(Note(text="after"))
    expected = ["before"] * (not first) + ["unknown"] * arrives + ["after"]
    assert texts(RecordObjects(store, "journal/chat").read()) == expected


class Counting(RecordFile):
    """Records on a network, with a count of the appends."""

    remote = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.appends = 0
        self.down = False

    def append(self, records: Sequence[Record]) -> None:
        self.appends += 1
        if self.down:
            raise StoreError("no answer")
        super().append(records)


def test_the_start_of_a_rollback_does_not_wait_for_the_network(tmp_path: Path) -> None:
    records = Counting(tmp_path / "chat.jsonl")
    writing = journal(records)
    writing.phase, writing.best_effort = Phase.ROLLING_BACK, True
    writing.write(Decision(action="rollback", reason="slow", green_weight=0))
    writing.write(PHASE)
    assert records.appends == 0
    writing.write(RuleChanged(green_weight=0, how="direct"))
    assert [record.body.kind for record in records.read()] == ["decision", "phase", "rule"]


def test_a_journal_on_a_network_that_is_down_is_tried_once_more_at_the_end(tmp_path: Path) -> None:
    records = Counting(tmp_path / "chat.jsonl")
    writing = journal(records)
    writing.phase, writing.best_effort, records.down = Phase.ROLLING_BACK, True, True
    for body in (RuleChanged(green_weight=0, how="direct"), UpdateEnded(status="done", serial=1), PHASE):
        writing.write(body)
    assert records.appends == 1
    records.down = False
    writing.write(FINISHED)
    assert [record.body.kind for record in records.read()] == ["rule", "update", "phase", "finished"]


def test_a_conflict_is_not_a_failure_that_a_best_effort_journal_ignores(tmp_path: Path) -> None:
    records = RecordFile(tmp_path / "chat.jsonl")
    journal(records).write(Note(text="mine"))
    journal(RecordFile(tmp_path / "chat.jsonl")).write(Note(text="another's"))
    with pytest.raises(StoreConflictError):
        records.append([])
