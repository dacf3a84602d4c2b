"""One rollout per stack: a running holder keeps the lock, and a holder that has lost the lock changes nothing more."""

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.journal.journal import Journal, RecordObjects, last_seq
from rollout.journal.lock import Lock, Owner
from rollout.journal.store import FileStore, Store, Stored, StoreError
from rollout.model.errors import JournalError, LostLockError, RefusedError
from rollout.model.records import LockTaken, UpdateEnded
from rollout.system.clock import StopSignal, SystemClock
from tests.rollout.fakes import FakeClock
from tests.rollout.full_disk import no_room


def lock(store: Store | Path, what: str = "ramp", clock: Any = None, expiry_seconds: float = 120, **more: Any) -> Lock:
    store = FileStore(store) if isinstance(store, Path) else store
    return Lock(store, what, clock=clock or SystemClock(lambda: None), expiry_seconds=expiry_seconds, **more)


def test_a_second_rollout_is_refused_at_once_with_the_holder_and_its_start_time(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(RefusedError, match=r"in use by ramp \(process \d+ on .*, since 20"):
        lock(tmp_path, "reap").__enter__()


def test_the_refusal_names_the_run_of_a_ci_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"SERVER_URL": "https://github.com", "REPOSITORY": "acme/llm", "RUN_ID": "42"}
    for name, value in run.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    with lock(tmp_path), pytest.raises(RefusedError, match=r", https://github\.com/acme/llm/actions/runs/42\)"):
        lock(tmp_path).__enter__()


def test_a_command_that_stored_nothing_leaves_nothing(tmp_path: Path) -> None:
    with lock(tmp_path / ".rollout" / "prod"):
        assert (tmp_path / ".rollout" / "prod" / "lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_free_after_its_block_and_its_token_is_never_used_again(tmp_path: Path) -> None:
    FileStore(tmp_path).create("chat.jsonl", b"")
    tokens: list[int] = []
    for _ in range(3):
        with lock(tmp_path) as held:
            assert held.owner() is not None
            tokens.append(held.token)
        assert held.owner() is None
        assert held.taken_from is None
        with pytest.raises(LostLockError):
            _ = held.token
    assert tokens == [1, 2, 3]


def _hold(folder: Path, held: Any) -> None:
    taken = lock(folder, "ramp", beats=False)
    taken.take()
    held.set()
    time.sleep(60)


def killed_holder(folder: Path) -> None:
    """Let a process take the lock, and kill it."""
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold, args=(folder, held))
    process.start()
    assert held.wait(30)
    process.kill()
    # Until it is joined it is a zombie, which counts as ended.
    deadline = time.monotonic() + 10
    while lock(folder).owner() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.join()


@pytest.mark.slow
def test_the_lock_of_a_killed_process_on_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    killed_holder(tmp_path)
    with lock(tmp_path) as held:
        assert held.token == 2
        assert held.taken_from is not None
        assert held.taken_from.what == "ramp"


def alter(store: Store, **changes: Any) -> None:
    stored = store.read("lock")
    assert stored is not None
    document = json.loads(stored.content)
    owner = {key: value for key, value in changes.items() if key in Owner.__dataclass_fields__}
    document |= {key: value for key, value in changes.items() if key not in owner}
    document["owner"] |= owner
    store.replace("lock", json.dumps(document).encode(), stored.version)


def test_a_process_with_the_pid_of_an_ended_holder_is_not_mistaken_for_it(tmp_path: Path) -> None:
    lock(tmp_path).take()
    alter(FileStore(tmp_path), process_started="1")
    with lock(tmp_path) as held:
        assert held.token == 2


class Ticking(FakeClock):
    """A clock on which others act during each wait."""

    def __init__(self, others: Callable[[float], None] = lambda _: None) -> None:
        super().__init__(on_sleep=lambda: others(self.elapsed))


def move_away(held: Lock) -> None:
    """Pretend from now on that a holder is on another machine."""
    assert held._held is not None  # pyright: ignore[reportPrivateUsage]
    document, version = held._held  # pyright: ignore[reportPrivateUsage]
    assert document.owner is not None
    owner = replace(document.owner, machine="another", host="elsewhere")
    held._held = replace(document, owner=owner), version  # pyright: ignore[reportPrivateUsage]
    held.renew()
    held.check()


def elsewhere(store: Store) -> Lock:
    """Return a held lock whose holder is on another machine."""
    held = lock(store, "ramp", FakeClock(), beats=False)
    held.take()
    move_away(held)
    return held


def test_a_holder_on_another_machine_that_renews_the_lock_keeps_it(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    holder = elsewhere(store)

    def beat(elapsed: float) -> None:
        if elapsed >= 100:
            holder.renew()

    clock, messages = Ticking(beat), list[str]()
    with pytest.raises(RefusedError, match="on elsewhere"):
        lock(store, "reap", clock, log=messages.append).take()
    assert 100 <= clock.elapsed < 102
    assert len(messages) == 1
    assert "waiting up to 120 s" in messages[0]
    holder.check()


def test_a_holder_on_another_machine_that_does_not_renew_the_lock_loses_it_and_notices(tmp_path: Path) -> None:
    store, clock = FileStore(tmp_path), Ticking()
    holder = elsewhere(store)
    taker = lock(store, "ramp", clock, expiry_seconds=5)
    taker.take()
    assert 120 <= clock.elapsed < 122
    assert taker.token == 2
    assert taker.taken_from is not None
    assert taker.taken_from.host == "elsewhere"
    holder.check()
    holder.renew()
    with pytest.raises(LostLockError, match="was lost to ramp"):
        holder.check()
    holder.give_back()
    assert taker.owner() is not None
    with pytest.raises(LostLockError, match="was lost to"):
        StopSignal(lambda: None, holder.check).check()


def test_a_shield_against_stops_does_not_hide_the_loss_of_the_lock(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    holder = elsewhere(store)
    stop = StopSignal(lambda: "stop", holder.check)
    stop.shield()
    stop.check()
    lock(store, "ramp", Ticking()).take()
    holder.renew()
    with pytest.raises(LostLockError):
        stop.check()


def test_polling_the_owner_shows_when_the_lock_expires(tmp_path: Path) -> None:
    store, clock = FileStore(tmp_path), FakeClock()
    elsewhere(store)
    watching = lock(store, "rollback", clock)
    assert watching.owner() is not None
    clock.elapsed += 119
    assert watching.owner() is not None
    clock.elapsed += 1
    assert watching.owner() is None


@pytest.mark.slow
def test_a_heartbeat_keeps_a_lock_for_longer_than_its_expiry(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    with lock(store, expiry_seconds=1) as held:
        move_away(held)
        with pytest.raises(RefusedError):
            lock(store, "reap").take()
        time.sleep(1.5)
        with pytest.raises(RefusedError):
            lock(store, "reap").take()
        held.check()


def test_a_stop_mark_reaches_only_the_current_owner(tmp_path: Path) -> None:
    with lock(tmp_path) as held:
        assert held.asked_to_stop() is None
        lock(tmp_path, "rollback").ask_to_stop("users complain")
        deadline = time.monotonic() + 5
        while held.asked_to_stop() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert held.asked_to_stop() == "users complain"
    with lock(tmp_path) as held:
        held.look()
        assert held.asked_to_stop() is None
        assert held.left_mark is None


def test_a_new_holder_knows_that_the_former_one_was_asked_to_stop(tmp_path: Path) -> None:
    lock(tmp_path, "ramp").take()
    lock(tmp_path, "rollback").ask_to_stop("users complain")
    alter(FileStore(tmp_path), process_started="1")
    taker = lock(tmp_path, "ramp")
    taker.take()
    assert taker.left_mark == "users complain"
    taker.look()
    assert taker.asked_to_stop() is None


def test_without_a_lock_nobody_is_asked_to_stop(tmp_path: Path) -> None:
    lock(tmp_path).ask_to_stop("users complain")
    assert FileStore(tmp_path).keys("") == []


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense", '{"what": 1, "more": 2}', '{"owner": {"what": 1}}'])
def test_a_document_that_is_not_a_lock_is_refused_with_a_fix(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    with pytest.raises(RefusedError, match=r"cannot be read as a lock .* delete it"):
        lock(tmp_path).__enter__()


def test_a_lock_that_does_not_fit_on_the_disk_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with no_room(), pytest.raises(RefusedError, match=r"lock: cannot be written \(File too large\)"):
        lock(tmp_path).__enter__()
    assert FileStore(tmp_path).keys("") == []


def test_a_stop_during_the_wait_for_the_lock_changes_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    elsewhere(store)
    with pytest.raises(RefusedError, match="stopped by SIGTERM while waiting for the lock; nothing was changed"):
        lock(store, "ramp", FakeClock(stop_at=10)).__enter__()


class Unreliable(FileStore):
    """A store that does not answer, or writes without an answer."""

    down = False
    loses_answers = False

    def read(self, key: str) -> Stored | None:
        if self.down:
            raise StoreError("no answer")
        return super().read(key)

    def replace(self, key: str, content: bytes, version: str) -> str:
        if self.down:
            raise StoreError("no answer")
        written = super().replace(key, content, version)
        if self.loses_answers:
            raise StoreError("no answer")
        return written


def test_a_store_that_does_not_answer_ends_no_lock(tmp_path: Path) -> None:
    store = Unreliable(tmp_path)
    messages: list[str] = []
    held = lock(store, log=messages.append)
    held.take()
    store.down = True
    held.renew()
    held.look()
    held.check()
    store.down, store.loses_answers = False, True
    held.renew()
    store.loses_answers = False
    held.renew()
    held.check()
    held.renew()
    held.check()
    store.down = True
    held.give_back()
    assert "could not be released" in messages[0]


def test_of_many_that_take_the_lock_at_once_only_one_holds_it_at_a_time(tmp_path: Path) -> None:
    store, tokens, refused = FileStore(tmp_path), list[int](), list[str]()
    store.create("chat.jsonl", b"")

    def take() -> None:
        mine = lock(store, beats=False)
        try:
            mine.take()
        except RefusedError as error:
            refused.append(str(error))
            return
        tokens.append(mine.token)
        mine.give_back()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tokens) == list(range(1, len(tokens) + 1))
    assert len(tokens) + len(refused) == 8
    assert all(str(os.getpid()) in message for message in refused)


class Writer:
    """One of two ramps. It takes the lock, opens the journal as a session does, and writes a record for each update."""

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self.clock = FakeClock()
        self._records = RecordObjects(store, "journal/chat")
        self._lock = lock(store, name, self.clock, beats=False)
        self._journal: Journal | None = None
        self.ended = False

    def take(self) -> None:
        if self._journal is not None or self.ended:
            return
        self._lock.take()
        move_away(self._lock)
        seq = last_seq(self._records.read())
        self._journal = Journal(
            self._records, rollout_id=self.name, token=self._lock.token, last_seq=seq, run=None, now=self.clock.now
        )
        self._journal.write(LockTaken(by=self.name, before=""))

    def update(self, updates: list[str]) -> None:
        if self._journal is None or self.ended:
            return
        try:
            self._journal.write(UpdateEnded(status="done", serial=1))
        except (LostLockError, JournalError):
            self.ended = True
        else:
            updates.append(self.name)

    def renew(self) -> None:
        self._lock.renew()
        try:
            self._lock.check()
        except LostLockError:
            self.ended = True


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["one updates", "two updates", "one beats", "two beats"]), max_size=12),
    st.lists(st.sampled_from(["one updates", "two updates", "one beats", "two beats"]), max_size=12),
)
@pytest.mark.slow
def test_only_the_writer_that_took_the_lock_last_writes_and_makes_updates(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], after: list[str]
) -> None:
    store = FileStore(tmp_path_factory.mktemp("two"))
    writers = {name: Writer(store, name) for name in ("one", "two")}
    updates: list[str] = []

    def follow(events: list[str]) -> None:
        for event in events:
            name, what = event.split()
            if what == "beats":
                writers[name].renew()
            else:
                writers[name].update(updates)

    writers["one"].take()
    follow(before)
    assert set(updates) <= {"one"}
    updates.clear()
    writers["two"].take()  # one does not renew the lock meanwhile
    follow(after)
    assert set(updates) <= {"two"}, "the former holder made an update after it had lost the lock"
    records = RecordObjects(store, "journal/chat").read()
    tokens = [record.token for record in records]
    assert tokens == sorted(tokens)
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert sum(isinstance(record.body, UpdateEnded) for record in records if record.token == 2) == len(updates)
