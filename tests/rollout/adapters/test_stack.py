"""How errors of the Pulumi CLI are reported, with the real CLI's messages."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollout.adapters.pulumi.lock import OURS, updates_here
from rollout.adapters.pulumi.stack import PulumiStack
from rollout.model.errors import RefusedError, RolloutError, StackLockedError, UpdateFailedError

LOCKED = """\
error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock \
file with `pulumi cancel`.
  file:///state/.pulumi/locks/organization/vllm-blue-green/prod/aa.json: created by ann@build-7 (pid 42) at 2026-11-21
"""
NO_PASSPHRASE = "error: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE"

CONFLICT = """\
error: [409] Conflict: Another update is currently in progress.
To learn more about possible reasons and resolution, visit \
https://www.pulumi.com/docs/support/troubleshooting/common-issues/update-conflicts/
"""
"""As the CLI puts it together: https://github.com/pulumi/pulumi/blob/v3.272.0/pkg/backend/backenderr/backenderr.go"""

Call = Callable[[Path], object]


def answering(folder: Path, monkeypatch: pytest.MonkeyPatch, on: str, logged: str, version: str = "v3.260.0") -> None:
    """Put a ``pulumi`` on PATH that fails at one command with this on stderr."""
    (folder / "logged").write_text(logged)
    (folder / "pulumi").write_text(
        f'#!/bin/sh\n[ "$1" = version ] && {{ echo {version}; exit 0; }}\n'
        f'case "$*" in *"{on}"*) cat "{folder}/logged" >&2; exit 255;; esac\n'
    )
    (folder / "pulumi").chmod(0o755)
    (folder / "Pulumi.yaml").write_text("name: vllm-blue-green\nruntime: python\n")
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def open_stack(folder: Path) -> PulumiStack:
    return PulumiStack("prod", folder, update_timeout_seconds=60, check=lambda: None)


def secret(folder: Path) -> str:
    return open_stack(folder).secret("candidate_route_secret")


def preview(folder: Path) -> object:
    return open_stack(folder).preview("a change")


def update(folder: Path) -> None:
    open_stack(folder).up("a change")


@pytest.mark.parametrize(
    ("on", "logged", "call", "kind", "said"),
    [
        ("stack select", "error: no stack named 'prod' found", open_stack, RefusedError, ["'prod'", "pulumi stack ls"]),
        ("stack select", "error: PULUMI_ACCESS_TOKEN must be set", open_stack, RefusedError, ["pulumi login"]),
        (
            "stack select",
            'error: unable to open state directory "file:///nope"',
            open_stack,
            RefusedError,
            ["file:///nope", "PULUMI_BACKEND_URL"],
        ),
        (
            "config get",
            "error: incorrect passphrase",
            secret,
            RefusedError,
            ["vllm-blue-green:candidate_route_secret", "Set PULUMI_CONFIG_PASSPHRASE"],
        ),
        ("config get", NO_PASSPHRASE, secret, RefusedError, ["Set one of them to the stack's passphrase"]),
        (
            "config get",
            "error: configuration key 'candidate_route_secret' not found for stack 'prod'",
            secret,
            RefusedError,
            ["pulumi config set --secret candidate_route_secret"],
        ),
        (
            "preview",
            "error: getting stack configuration: get stack secrets manager: incorrect passphrase",
            preview,
            UpdateFailedError,
            ["preview of 'a change' failed", "Set PULUMI_CONFIG_PASSPHRASE"],
        ),
        ("up", "", update, UpdateFailedError, ["printed nothing, and exited with 255"]),
        ("up", LOCKED, update, StackLockedError, ["ann@build-7 (pid 42) at 2026-11-21", "pulumi cancel --stack"]),
        ("up", CONFLICT, update, StackLockedError, ["Another update is currently", "pulumi cancel --stack"]),
        (
            "up",
            "error: operation error STS: GetCallerIdentity, api error ExpiredToken: expired",
            update,
            UpdateFailedError,
            ["Log in again"],
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on: str,
    logged: str,
    call: Call,
    kind: type[RolloutError],
    said: list[str],
) -> None:
    answering(tmp_path, monkeypatch, on, logged)
    with pytest.raises(kind) as raised:
        call(tmp_path)
    message = str(raised.value)
    assert all(one in message for one in said), message
    assert "\n" not in message
    assert "code:" not in message, "the automation API's frame around it"


LOCKING = """#!/bin/sh
[ "$1" = version ] && { echo v3.260.0; exit 0; }
echo "$*" >> "$HERE/calls"
case "$*" in
*" cancel "*|*cancel) [ -f "$HERE/refusal" ] && { rm "$HERE/holder"; cat "$HERE/refusal" >&2; exit 255; }
  rm "$HERE/holder";;
*" history "*) cat "$HERE/history";;
*" up "*) [ -f "$HERE/holder" ] && { cat "$HERE/holder" >&2; exit 255; };;
esac
exit 0
"""


def lock(folder: Path, monkeypatch: pytest.MonkeyPatch, *holders: str) -> list[str]:
    """Put a ``pulumi`` on PATH whose stack is locked until the lock is cancelled, and return an empty log."""
    answering(folder, monkeypatch, "nothing", "")
    monkeypatch.setenv("HERE", str(folder))
    (folder / "pulumi").write_text(LOCKING)
    lines = [f"error: the stack is currently locked by {len(holders)} lock(s). Either wait or `pulumi cancel`."]
    lines += [f"  file:///state/{number}.json: created by ann@{one} at now" for number, one in enumerate(holders)]
    (folder / "holder").write_text("\n".join(lines) + "\n")
    return []


def locked_stack(folder: Path, logged: list[str], *ended_hosts: str) -> PulumiStack:
    return PulumiStack(
        "prod",
        folder,
        update_timeout_seconds=60,
        check=lambda: None,
        ended_hosts=lambda: ended_hosts,
        log=logged.append,
    )


def ended_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


HERE = socket.gethostname()


def test_the_lock_of_an_update_of_this_host_that_was_killed_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = lock(tmp_path, monkeypatch, f"{HERE} (pid {ended_pid()})")
    locked_stack(tmp_path, logged).up("a change")
    assert "cancelling Pulumi's lock" in logged[0]
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if " up " in line or "cancel" in line]
    assert ["cancel" in line for line in calls] == [False, True, False]


def test_the_lock_of_a_host_from_which_ours_was_taken_over_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = lock(tmp_path, monkeypatch, "build-7 (pid 42)")
    locked_stack(tmp_path, logged, "build-7").up("a change")
    assert not (tmp_path / "holder").exists()


@pytest.mark.parametrize(
    "holders",
    [["build-8 (pid 42)"], [f"{HERE} (pid {os.getpid()})"], ["build-7 (pid 42)", "build-8 (pid 1)"], ["nobody"]],
)
def test_the_lock_of_anybody_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holders: list[str]
) -> None:
    logged = lock(tmp_path, monkeypatch, *holders)
    with pytest.raises(StackLockedError):
        locked_stack(tmp_path, logged, "build-7").up("a change")
    assert (tmp_path / "holder").exists()
    assert logged == []


@contextmanager
def orphan(
    stack: str, on_interrupt: str, word: str = "up", *, leads: bool = False
) -> "Generator[subprocess.Popen[bytes]]":
    """Run an update without its parent process, which ends ``on_interrupt`` seconds after an interrupt.

    With ``leads`` it leads a session, as a script's own child does.
    """
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGINT, lambda *_: (time.sleep({on_interrupt}), sys.exit()))\n"
        "print('ready', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, word],
        stdout=subprocess.PIPE,
        env={**os.environ, OURS: stack},
        start_new_session=leads,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_an_update_of_ours_that_is_an_orphan_is_interrupted_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with orphan("prod", "0.3") as process:
        logged = lock(tmp_path, monkeypatch, f"{HERE} (pid {process.pid})")
        locked_stack(tmp_path, logged).up("a change")
        assert process.poll() == 0
    assert ["interrupting" in line for line in logged] == [True, False]


def test_a_rollback_does_not_wait_for_an_orphan_and_interrupts_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with orphan("prod", "1") as process:
        logged = lock(tmp_path, monkeypatch, f"{HERE} (pid {process.pid})")
        stack = locked_stack(tmp_path, logged)
        for _ in range(3):
            with pytest.raises(StackLockedError):
                stack.up("back", with_policies=False)
        assert len(logged) == 1
        process.wait()
        stack.up("back", with_policies=False)
    assert process.returncode == 0


def test_an_orphan_of_another_stack_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with orphan("staging", "0") as process:
        logged = lock(tmp_path, monkeypatch, f"{HERE} (pid {process.pid})")
        with pytest.raises(StackLockedError):
            locked_stack(tmp_path, logged).up("a change")
        assert process.poll() is None


def test_a_passphrase_that_is_wrong_is_not_taken_for_a_missing_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(tmp_path, monkeypatch, "config get", "error: incorrect passphrase")
    with pytest.raises(RefusedError) as raised:
        secret(tmp_path)
    assert "config set" not in str(raised.value)


@pytest.mark.parametrize("version", ["v2.9.0", "v3.181.0"])
def test_a_pulumi_that_is_too_old_for_guards_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    answering(tmp_path, monkeypatch, "nothing", "", version=version)
    with pytest.raises(RefusedError, match=r"on PATH is too old: .* Update it"):
        open_stack(tmp_path)


def test_a_pulumi_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match="no `pulumi` on PATH"):
        open_stack(tmp_path)


@pytest.mark.parametrize("with_policies", [True, False])
def test_the_policy_pack_judges_unless_it_must_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_policies: bool
) -> None:
    answering(tmp_path, monkeypatch, "a change", "error: no")
    logged = (tmp_path / "pulumi").read_text().replace("case ", f'echo " $* " >> "{tmp_path}/calls"\ncase ', 1)
    (tmp_path / "pulumi").write_text(logged)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "PulumiPolicy.yaml").write_text("runtime: python\n")
    stack = open_stack(tmp_path)
    with pytest.raises(UpdateFailedError):
        stack.up("a change", with_policies=with_policies)
    with pytest.raises(UpdateFailedError):
        stack.preview("a change")
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if "a change" in line]
    assert [(" up " in line, " preview " in line) for line in calls] == [(True, False), (False, True)]
    assert [f"--policy-pack {tmp_path}/policies " in line for line in calls] == [with_policies, True]


def test_an_update_that_became_pointless_is_left_at_once_and_can_be_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(tmp_path, monkeypatch, "no such command", "")
    logged = (
        (tmp_path / "pulumi")
        .read_text()
        .replace("case ", 'case "$*" in "up "*|*" up "*) exec sleep 300;; esac\ncase ', 1)
    )
    (tmp_path / "pulumi").write_text(logged)
    stack, looks = open_stack(tmp_path), []

    def crashed() -> None:
        looks.append(stack.is_running())
        raise UpdateFailedError("pod chat-green-0 does not come up")

    with pytest.raises(UpdateFailedError, match="does not come up"):
        stack.up("a change", watch=crashed)
    assert looks == [True]
    assert stack.is_running()
    while stack.is_running():
        stack.interrupt()
        time.sleep(0.05)


def test_an_update_of_one_resource_is_one_command_without_a_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(tmp_path, monkeypatch, "no such command", "")
    logged = (tmp_path / "pulumi").read_text().replace("case ", f'echo " $* " >> "{tmp_path}/calls"\ncase ', 1)
    (tmp_path / "pulumi").write_text(logged)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "PulumiPolicy.yaml").write_text("runtime: python\n")
    stack = open_stack(tmp_path)
    (tmp_path / "calls").write_text("")
    run = stack.up("a step", targets=["urn:pulumi:prod::x::rule"])
    (call,) = (tmp_path / "calls").read_text().splitlines()
    for word in (
        " up ",
        " --skip-preview ",
        " --target urn:pulumi:prod::x::rule ",
        f" --policy-pack {tmp_path}/policies ",
    ):
        assert word in call
    assert run.changes == ()


STEP = "chat: 25 % of requests to green"


def conflict(folder: Path, monkeypatch: pytest.MonkeyPatch, history: object) -> list[str]:
    """Put a ``pulumi`` on PATH whose stack, in Pulumi Cloud, is locked until the update is cancelled."""
    logged = lock(folder, monkeypatch, "nobody")
    (folder / "holder").write_text(CONFLICT)
    (folder / "history").write_text(history if isinstance(history, str) else json.dumps(history))
    return logged


def cloud_stack(folder: Path, logged: list[str], *unended: str) -> PulumiStack:
    return PulumiStack(
        "acme/prod",
        folder,
        update_timeout_seconds=60,
        check=lambda: None,
        unended=lambda: unended,
        log=logged.append,
    )


def entry(result: str, message: str = STEP) -> dict[str, object]:
    return {"version": 7, "kind": "update", "message": message, "result": result, "environment": {}, "config": {}}


def test_the_update_of_a_killed_process_is_cancelled_in_pulumi_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = conflict(tmp_path, monkeypatch, [entry("in-progress"), entry("succeeded", "before")])
    cloud_stack(tmp_path, logged, STEP).up("a change")
    assert "cancelling Pulumi's lock" in logged[0]
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if " up " in line or "cancel" in line]
    assert ["cancel" in line for line in calls] == [False, True, False]
    assert all("--stack acme/prod" in line for line in calls)


@pytest.mark.parametrize(
    ("history", "unended"),
    [
        ([entry("in-progress", "a change by hand")], [STEP]),
        ([entry("in-progress")], []),
        ([entry("succeeded")], [STEP]),
        ([], [STEP]),
        ("no JSON", [STEP]),
        ({"not": "a list"}, [STEP]),
    ],
)
def test_the_update_of_anybody_else_is_left_alone_in_pulumi_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, history: object, unended: list[str]
) -> None:
    logged = conflict(tmp_path, monkeypatch, history)
    with pytest.raises(StackLockedError):
        cloud_stack(tmp_path, logged, *unended).up("a change")
    assert (tmp_path / "holder").exists()
    assert logged == []


def test_an_update_that_ends_before_it_is_cancelled_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = conflict(tmp_path, monkeypatch, [entry("in-progress")])
    (tmp_path / "refusal").write_text("error: [409] Conflict: The Update has already completed\n")
    cloud_stack(tmp_path, logged, STEP).up("a change")
    (tmp_path / "holder").write_text(CONFLICT)
    (tmp_path / "refusal").write_text("error: [403] Forbidden\n")
    with pytest.raises(UpdateFailedError, match=r"cannot be cancelled: \[403\]"):
        cloud_stack(tmp_path, logged, STEP).up("a change")


def test_an_update_of_ours_that_outlived_its_script_is_interrupted_before_it_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its mark names the stack without its organization, and its child must not be taken for another update.
    with orphan("prod", "0.3", "up", leads=True) as process:
        logged = conflict(tmp_path, monkeypatch, [entry("in-progress")])
        cloud_stack(tmp_path, logged, STEP).up("a change")
        assert process.poll() == 0
    assert ["interrupting" in line for line in logged] == [True, False]


@pytest.mark.parametrize(
    ("stack", "word", "leads", "found"),
    [
        ("prod", "up", True, True),
        ("prod", "preview", True, False),
        ("prod", "up", False, False),
        ("other", "up", True, False),
    ],
)
def test_only_updates_of_the_stack_are_found_on_this_host(stack: str, word: str, leads: bool, found: bool) -> None:
    with orphan(stack, "0", word, leads=leads) as process:
        assert (process.pid in updates_here("prod")) == found
