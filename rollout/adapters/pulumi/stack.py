"""The Pulumi stack, through the automation API: preview, update, state, one secret."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pulumi import automation as auto
from pulumi.automation import errors
from pulumi.automation._stack import StackInitMode  # `Stack.select` makes no subclass

from rollout.adapters.pulumi.events import EngineEvents
from rollout.adapters.pulumi.lock import (
    LockDecision,
    began_by_us,
    decide_conflict,
    decide_lock,
    has_ended,
    is_conflict,
    running_update,
    updates_here,
)
from rollout.adapters.pulumi.pack import find_pack
from rollout.adapters.pulumi.process import InterruptiblePulumi
from rollout.adapters.pulumi.project import read_project
from rollout.adapters.pulumi.state import state_rule
from rollout.model.changes import EngineRun
from rollout.model.errors import PolicyRefusedError, RefusedError, StackLockedError, UpdateFailedError
from rollout.model.rule import StateRule
from rollout.ports import Watch
from rollout.system.failures import describe_error, pulumi_words
from rollout.system.processes import process_start_time
from rollout.system.waits import waiting

_WAIT_SLICE_SECONDS = 0.05
_WATCH_SECONDS = 2.0
# An interrupted update finishes the operations in flight: a node group may take minutes.
ORPHAN_PATIENCE_SECONDS = 300.0


class _OneCommandStack(auto.Stack):
    """A stack whose updates are one command each: the SDK's ``up`` also asks for outputs and history, unused here.

    With 53 resources, these two commands take 1.1 s of CPU time. Measured in pairs with the SDK's stack, a weight step
    took a fifth less time: about a second on an idle machine.
    """

    def outputs(self) -> auto.OutputMap:
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary:  # noqa: ARG002 - the SDK's signature
        # ``up`` asks for this only after its command has exited with 0; it raises for every other exit code.
        return auto.UpdateSummary(
            kind="update", start_time=datetime.now(UTC), message="", environment={}, config={}, result="succeeded"
        )


class PulumiStack:
    """One stack of the program in a work directory. Previews and updates end early when a stop is requested."""

    def __init__(
        self,
        name: str,
        work_dir: Path,
        *,
        update_timeout_seconds: float,
        check: Callable[[], None],
        ended_hosts: Callable[[], Collection[str]] = lambda: (),
        unended: Callable[[], Collection[str]] = lambda: (),
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Select the stack.

        Args:
            name: the stack, alone or with its organization and project.
            work_dir: the folder with Pulumi.yaml.
            update_timeout_seconds: the longest time that one preview or update may take.
            check: raises when the rollout should stop.
            ended_hosts: returns hosts on which another process held our lock until the lock expired.
            unended: returns the messages of updates that the former holder of our lock began and did not end.
            log: called with a message when a Pulumi lock that was left behind is handled.

        Raises:
            RefusedError: the stack does not exist, or there is no usable ``pulumi``.
        """
        self._update_timeout_seconds = update_timeout_seconds
        self._check = check
        self._name = name
        self._bare_name = name.rpartition("/")[2]
        self._work_dir = work_dir
        self._ended_hosts = ended_hosts
        self._unended = unended
        self._log = log
        self._interrupted: set[int] = set()
        self._thread: threading.Thread | None = None
        self._project = read_project(work_dir).name
        self._policy_packs = [str(pack)] if (pack := find_pack(work_dir)) is not None else None
        try:
            self._command = InterruptiblePulumi(name)
            workspace = auto.LocalWorkspace(work_dir=str(work_dir), pulumi_command=self._command)
            self._stack = _OneCommandStack(name, workspace, StackInitMode.SELECT)
        except FileNotFoundError as error:
            raise RefusedError("there is no `pulumi` on PATH; install the Pulumi CLI") from error
        except errors.InvalidVersionError as error:
            raise RefusedError(f"the `pulumi` on PATH is too old: {pulumi_words(error)}. Update it") from error
        except errors.CommandError as error:
            raise RefusedError(f"stack {name!r} cannot be selected: {pulumi_words(error)}") from error

    def secret(self, key: str) -> str:
        """Return a decrypted config value.

        Raises:
            RefusedError: the value is not set or cannot be decrypted.
        """
        try:
            return self._stack.get_config(f"{self._project}:{key}").value
        except errors.CommandError as error:
            words = pulumi_words(error)
            fix = f". Set it with `pulumi config set --secret {key} <value>`" if "not found" in words else ""
            raise RefusedError(f"config {self._project}:{key} cannot be read: {words}{fix}") from error

    def rule_in_state(self, service: str) -> StateRule | None:
        """Return the weighted rule from the state. None when the state does not contain it.

        Raises:
            UpdateFailedError: the backend does not answer.
        """
        try:
            deployment = self._stack.export_stack().deployment or {}
        except (errors.CommandError, ValueError) as error:
            raise UpdateFailedError(f"Pulumi's state cannot be read: {pulumi_words(error)}") from error
        return state_rule(deployment.get("resources") or (), service)

    def preview(self, message: str) -> EngineRun:
        """Compute what an update would change.

        Raises:
            UpdateFailedError: the program failed, or a mandatory policy refused.
        """
        events = EngineEvents()
        self._run(
            f"preview of {message!r}",
            lambda: self._stack.preview(
                message=message, on_event=events.append, policy_packs=self._policy_packs, color="never"
            ),
            events,
        )
        return _engine_run(events)

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        """Update the stack with one command, without a preview.

        A lock that one of our updates left behind is cancelled. If that update still runs as an orphan, it is
        interrupted, and this call waits for its end. A rollback (``with_policies`` is false) does not wait, because it
        must watch the rule.

        Args:
            message: what the update is for.
            targets: URNs of the only resources to update. Empty for all.
            with_policies: whether to run the policy pack.
            watch: called while the update runs. What it raises is raised at once; the update goes on until it is
                interrupted.

        Raises:
            StackLockedError: another process's update is running; nothing was done.
            UpdateFailedError: the update failed; parts of it may have been applied.
        """
        try:
            return self._up(message, targets, watch, with_policies=with_policies)
        except StackLockedError as error:
            if not self._frees(str(error), patience_seconds=ORPHAN_PATIENCE_SECONDS if with_policies else 0):
                raise
            return self._up(message, targets, watch, with_policies=with_policies)

    def _up(self, message: str, targets: Sequence[str], watch: Watch | None, *, with_policies: bool) -> EngineRun:
        events = EngineEvents()
        self._run(
            f"update {message!r}",
            lambda: self._stack.up(
                message=message,
                target=list(targets) or None,
                on_event=events.append,
                policy_packs=self._packs(with_policies),
                color="never",
                suppress_outputs=True,
            ),
            events,
            watch,
        )
        return _engine_run(events)

    def _frees(self, message: str, *, patience_seconds: float) -> bool:
        """Cancel a lock that was left behind, and return whether it was."""
        verdict = self._decide(message)
        if not verdict.may_cancel:
            return False
        for pid in set(verdict.orphans) - self._interrupted:
            self._log(f"an update outlived the script that began it; interrupting it (process {pid})")
            # Only once: a second interrupt would abort the operations in flight.
            self._interrupted.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + patience_seconds
        with waiting("the end of an update that outlived its script", at_most_seconds=patience_seconds):
            while any(process_start_time(pid) for pid in verdict.orphans):
                if time.monotonic() >= deadline:
                    return False
                self._check()
                time.sleep(_WAIT_SLICE_SECONDS)
        self._log(f"cancelling Pulumi's lock, whose update ended without releasing it: {message}")
        try:
            self._stack.cancel()
        except errors.CommandError as error:
            if has_ended(str(error)):
                return True
            raise UpdateFailedError(f"Pulumi's lock cannot be cancelled: {pulumi_words(error)}") from error
        return True

    def _decide(self, message: str) -> LockDecision:
        """Decide whether the lock that a message is about was left behind."""
        if is_conflict(message):
            return decide_conflict(
                running=self._running_update(), unended=self._unended(), orphans=updates_here(self._bare_name)
            )
        return decide_lock(
            message,
            here=socket.gethostname(),
            ended_hosts=self._ended_hosts(),
            is_alive=lambda pid: process_start_time(pid) != "",
            is_ours=lambda pid: began_by_us(pid, self._bare_name),
        )

    def _running_update(self) -> str | None:
        arguments = ["stack", "history", "--json", "--page-size", "1", "--stack", self._name]
        try:
            return running_update(self._command.run(arguments, str(self._work_dir), {}).stdout)
        except errors.CommandError:
            return None

    def _packs(self, with_policies: bool) -> list[str] | None:
        return self._policy_packs if with_policies else None

    def interrupt(self) -> None:
        """Ask a running preview or update to end."""
        self._command.interrupt()

    def is_running(self) -> bool:
        """Return whether a preview or an update is still running."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self, what: str, command: Callable[[], object], events: EngineEvents, watch: Watch | None = None) -> None:
        """Run a blocking command in a thread, so that a request to stop is noticed while it runs."""
        failure: list[Exception] = []

        def work() -> None:
            try:
                command()
            except Exception as error:
                failure.append(error)

        self._thread = thread = threading.Thread(target=work, daemon=True)
        thread.start()
        deadline = time.monotonic() + self._update_timeout_seconds
        watcher = _Watcher(watch, thread)
        with waiting(f"Pulumi's {what}", at_most_seconds=self._update_timeout_seconds):
            while thread.is_alive():
                self._check()
                watcher.check()
                if time.monotonic() > deadline:
                    self.interrupt()
                    raise UpdateFailedError(
                        f"{what} took longer than rollout.update_timeout_seconds ({self._update_timeout_seconds:g} s) "
                        "and was interrupted"
                    )
                thread.join(_WAIT_SLICE_SECONDS)
        if failure:
            kind = PolicyRefusedError if events.refused_by_policy() else UpdateFailedError
            if isinstance(failure[0], errors.ConcurrentUpdateError):
                kind = StackLockedError
            raise kind(f"{what} failed: {events.errors() or describe_error(failure[0])}") from failure[0]


def _engine_run(events: EngineEvents) -> EngineRun:
    return EngineRun(changes=tuple(events.changes()), not_evaluated=tuple(events.not_evaluated()))


class _Watcher:
    """Calls a watch in its own thread, so that a call that hangs does not delay a stop request."""

    def __init__(self, watch: Watch | None, update: threading.Thread) -> None:
        self._failure: Exception | None = None
        if watch is not None:
            threading.Thread(target=self._watch, args=(watch, update), daemon=True).start()

    def check(self) -> None:
        """Raise what the watch has raised, if anything."""
        if self._failure is not None:
            raise self._failure

    def _watch(self, watch: Watch, update: threading.Thread) -> None:
        while self._failure is None and update.is_alive():
            try:
                watch()
            except Exception as error:
                self._failure = error
            update.join(_WATCH_SECONDS)
