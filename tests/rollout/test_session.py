"""What a session finds out about its service before a command acts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.model.errors import RefusedError
from rollout.model.machine import Phase, Rollout
from rollout.model.notification import Notification
from rollout.model.plan import make_plan
from rollout.model.records import LockTaken, Record, TakenUp, UpdateBegun, UpdateEnded, state_of
from rollout.model.run import begun_by
from rollout.report.lines import line_of
from rollout.report.read import report_of
from rollout.session import Place, Session
from rollout.system.waits import longest_call_seconds
from tests.components.example import config, release
from tests.rollout.fakes import World
from tests.rollout.report.test_read import ramp

KEYS = {"api_key_secret": {"name": "vllm-keys", "key": "api-key"}}


def session(folder: Path, stack: str = "prod", **changes: Any) -> Session:
    secret = "vllm-blue-green:candidate_route_secret"
    values = {key: json.dumps(text) if text[0] not in "[{" else text for key, text in config(**changes).items()}
    written = {key: yaml.safe_load(text) for key, text in values.items()} | {secret: {"secure": "v1:abc:def"}}
    (folder / "Pulumi.yaml").write_text("name: vllm-blue-green\n")
    (folder / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": written}))
    return Session(Place(stack=stack, service=None, work_dir=folder), "a test")


def test_a_service_with_an_api_key_needs_the_operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed = session(tmp_path, pods=KEYS)
    monkeypatch.delenv("ENDPOINT_API_KEY", raising=False)
    with pytest.raises(RefusedError, match=r"ENDPOINT_API_KEY: is not set, but the service has pods\.api_key_secret"):
        keyed.api_key()
    monkeypatch.setenv("ENDPOINT_API_KEY", "sesame")
    assert keyed.api_key() == "sesame"


def test_a_service_without_one_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENDPOINT_API_KEY", raising=False)
    assert session(tmp_path).api_key() is None


def test_while_cloudwatch_hangs_the_other_gates_are_judged_within_half_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client: Any = session(tmp_path).cloudwatch._client  # pyright: ignore[reportPrivateUsage]
    config = client.meta.config
    attempts, seconds = config.retries["total_max_attempts"], config.connect_timeout + config.read_timeout
    assert attempts > 1, "one lost packet is no outage"
    assert longest_call_seconds(attempts=attempts, timeout_seconds=seconds) < 30


def of_a_rollout(folder: Path) -> tuple[Session, list[str]]:
    """Return a session with the journal of a rollout, and what it says."""
    said: list[str] = []
    opened = session(folder)

    def say(record: Record) -> None:
        said.append(str(line_of(record)))

    opened._on_record = say  # pyright: ignore[reportPrivateUsage]
    world = World()
    ramp(world)
    lines = [json.dumps(one.as_json()) + "\n" for one in world.journal.kept]
    journal = folder / ".rollout" / "prod" / f"{opened.service}.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("".join(lines))
    return opened, said


def test_the_report_of_the_last_run_is_stored_beside_the_journal(tmp_path: Path) -> None:
    opened, said = of_a_rollout(tmp_path)
    opened.store_report()
    assert said[0].startswith("report: ")
    page = Path(said[0].removeprefix("report: "))
    assert page.is_relative_to(tmp_path / ".rollout" / "prod" / "reports")
    assert opened.report == str(page)
    assert "was promoted" in page.read_text()
    report = report_of(opened.history())
    assert report is not None
    assert opened.stored_page(report) == str(page)


def test_a_report_that_cannot_be_written_is_only_mentioned(tmp_path: Path) -> None:
    opened, said = of_a_rollout(tmp_path)
    (tmp_path / ".rollout" / "prod" / "reports").write_text("in the way")
    opened.store_report()
    assert len(said) == 1
    assert said[0].startswith("no report was written: ")
    assert opened.report is None
    assert "scripts.explain --page FILE makes one" in said[0]
    report = report_of(opened.history())
    assert report is not None
    assert opened.stored_page(report) is None


def test_without_a_run_there_is_no_report(tmp_path: Path) -> None:
    opened = session(tmp_path)
    opened.store_report()
    assert not (tmp_path / ".rollout").exists()


@pytest.mark.parametrize(("phase", "unfinished"), [("preflight", False), ("deploying", True), ("soaking", True)])
def test_a_rollout_is_unfinished_once_it_may_have_changed_something(
    phase: str, unfinished: bool, tmp_path: Path
) -> None:
    opened, _ = of_a_rollout(tmp_path)
    journal = tmp_path / ".rollout" / "prod" / f"{opened.service}.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    begun = next(number for number, line in enumerate(lines) if json.loads(line)["phase"] == phase)
    journal.write_text("".join(lines[: begun + 1]))
    assert opened.unfinished is unfinished
    assert opened.last_run is not None
    assert opened.last_run.is_unfinished_rollout


@pytest.mark.parametrize("stack", ["prod", "acme/prod", "acme/vllm-blue-green/prod"])
def test_however_a_stack_is_named_it_has_one_lock_and_one_journal(tmp_path: Path, stack: str) -> None:
    assert str(session(tmp_path, stack).store) == str(tmp_path / ".rollout" / "prod")


def begin_update(session: Session, message: str, *, end: bool) -> None:
    """Record an update as the holder of the lock does, without any other port."""
    journal = session._own_journal()  # pyright: ignore[reportPrivateUsage]
    journal.write(UpdateBegun(serial=1, green_weight=1, message=message, color=None, edits={}))
    if end:
        journal.write(UpdateEnded(status="done", serial=1))


def test_only_what_a_killed_process_began_and_did_not_end_may_be_taken_for_its_update(tmp_path: Path) -> None:
    killed = session(tmp_path)
    killed.lock.take()
    begin_update(killed, "chat: 1 % of requests to green", end=True)
    begin_update(killed, "chat: 25 % of requests to green", end=False)
    # The process ends here: its lock stays. Another machine's would first have to expire.
    path = tmp_path / ".rollout" / "prod" / "lock"
    document = json.loads(path.read_text())
    document["owner"]["process_started"] = "long ago"
    path.write_text(json.dumps(document))
    next_one = session(tmp_path, "acme/prod")
    with next_one.lock:
        begin_update(next_one, "roll back to blue", end=False)
        assert next_one._unended() == ("chat: 25 % of requests to green",)  # pyright: ignore[reportPrivateUsage]
    # It released the lock, so it ended in order.
    last = session(tmp_path)
    with last.lock:
        assert last._unended() == ()  # pyright: ignore[reportPrivateUsage]


def test_the_journal_says_which_run_began_a_rollout_whoever_looked_at_it_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    rollout = Rollout(plan=make_plan("green", World().config.read().rollout), phase=Phase.HOLDING)
    resumed = TakenUp(plan=rollout.plan, release=None, resumed=True, **state_of(rollout))
    for url, goes_on in (("https://ci.example/1", True), ("https://ci.example/2", False)):
        monkeypatch.setenv("CI_JOB_URL", url)
        command = session(tmp_path)
        with command.lock:
            journal = command._own_journal()  # pyright: ignore[reportPrivateUsage]
            if goes_on:
                journal.write(resumed)
    began = begun_by(session(tmp_path).records)
    assert began is not None
    assert began.run_url == "https://ci.example/1"


def notified(folder: Path, **changes: Any) -> tuple[Session, list[Notification], list[str]]:
    """Return a session with a target, and what it sends and says."""
    target = {"slack": {"url_from": {"env": "SLACK_URL"}}}
    sent: list[Notification] = []
    said: list[str] = []
    opened = session(folder, rollout={"notifications": [target]}, **changes)

    class Collected:
        def send(self, notification: Notification) -> None:
            sent.append(notification)

    opened.__dict__["notifier"] = Collected()

    def say(record: Record) -> None:
        said.append(str(line_of(record)))

    opened._on_record = say  # pyright: ignore[reportPrivateUsage]
    return opened, sent, said


def test_records_are_shown_and_those_of_a_rollout_sent(tmp_path: Path) -> None:
    opened, sent, said = notified(tmp_path)
    world = World()
    ramp(world)
    for one in world.journal.kept:
        opened._recorded(one)  # pyright: ignore[reportPrivateUsage]
    assert [one.event for one in sent] == ["started", *["step_in_effect"] * 3, "promoted", "ended"]
    assert {(one.origin.stack, one.origin.service) for one in sent} == {("prod", opened.service)}
    assert len(said) == len(world.journal.kept)


def test_a_bug_in_notifications_is_said_once_and_fails_nothing(tmp_path: Path) -> None:
    opened, _, said = notified(tmp_path)
    opened.__dict__["notifier"] = None
    world = World()
    ramp(world)
    for one in world.journal.kept:
        opened._recorded(one)  # pyright: ignore[reportPrivateUsage]
    assert len([line for line in said if line.startswith("warning: no notifications are sent: ")]) == 1
    assert len(said) == len(world.journal.kept) + 1


def test_what_a_former_process_recorded_is_not_sent_again(tmp_path: Path) -> None:
    of_a_rollout(tmp_path)
    opened, sent, _ = notified(tmp_path)
    opened._follow_former()  # pyright: ignore[reportPrivateUsage]
    assert sent == []
    assert opened._notified.run is not None  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("minutes", "events"), [(30, ["reap_due"]), (90, [])])
def test_a_reap_that_is_due_within_an_hour_is_sent(minutes: int, events: list[str], tmp_path: Path) -> None:
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    opened, sent, _ = notified(tmp_path, keep_until=f"{until:%Y-%m-%dT%H:%M:%SZ}")
    opened.notify_reap_due()
    assert [one.event for one in sent] == events


def test_the_first_record_has_the_digest_of_the_settings_that_no_script_writes_and_the_packs_version(
    tmp_path: Path,
) -> None:
    def taken(**changes: Any) -> LockTaken:
        return session(tmp_path, **changes)._lock_taken()  # pyright: ignore[reportPrivateUsage]

    first = taken()
    moved = taken(green_weight=0, rollout_serial=7, keep_until="2099-01-01T00:00:00Z", rolling_out=True)
    assert len(first.config_sha256) == 64
    assert moved.config_sha256 == first.config_sha256
    assert (
        taken(blue={"replicas": 2, "release": release(model_revision="beef123")}).config_sha256 == first.config_sha256
    )
    assert taken(blue={"replicas": 3, "release": release()}).config_sha256 != first.config_sha256
    assert taken(rollout={"soak_seconds": 7}).config_sha256 != first.config_sha256
    assert first.pack_version == ""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "PulumiPolicy.yaml").write_text("version: 1.2.3\n")
    assert taken().pack_version == "1.2.3"
