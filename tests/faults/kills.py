"""Ends a rollout from outside, as machines do: killed after a record of each kind and taken up again; asked to end."""

from collections.abc import Collection
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM, Signals

from rehearsal.journal import Record
from rehearsal.load.records import Record as Request
from rollout.records import Kind
from tests.faults.stage import Played, Stage

CI_GRACE_SECONDS = 10.0
"""From SIGTERM to SIGKILL, when a CI job is cancelled."""


@dataclass(kw_only=True)
class Killed:
    """A rollout that was killed several times, and taken up each time."""

    kinds: list[str] = field(default_factory=list[str])
    """After a record of which kind it was killed, in order."""
    last: Played
    """The command that came to an end."""
    requests: list[Request] = field(default_factory=list[Request])

    @property
    def failed(self) -> list[Request]:
        """The requests that were lost meanwhile."""
        return [request for request in self.requests if request.failed]


def kill_after_each(stage: Stage, release: str, spared: Collection[str]) -> Killed:
    """Ramp, kill after the first record of each kind that is not spared, and take it up each time; until it ends."""
    killed: list[str] = []
    stage.new_requests()
    command = ("ramp", *stage.release(release))

    def signal_at(record: Record) -> Signals | None:
        kind = str(record["kind"])
        if kind in spared or kind in killed or done:
            return None
        # Who takes a deploy up after its end does not know how long it took, and has nothing to say of that.
        if kind == Kind.RESULT and Kind.READY not in (*killed, *spared):
            return None
        killed.append(kind)
        done.append(kind)
        return SIGKILL

    while True:
        done: list[str] = []
        played = stage.play(*command, signal_at=signal_at)
        if played.exit_code != -SIGKILL:
            return Killed(kinds=killed, last=played, requests=stage.new_requests())
        command = ("ramp", "--resume", *stage.release(release))


def terminate_in_a_hold(stage: Stage, release: str, *, grace_seconds: float = 120.0) -> Played:
    """Ramp, and ask it to end in the hold of the second step; kill it when that takes longer than it may."""

    def signal_at(record: Record) -> Signals | None:
        in_hold = record["kind"] == "phase" and record["phase"] == "holding" and record["step"] == 1
        return SIGTERM if in_hold else None

    return stage.play("ramp", *stage.release(release), signal_at=signal_at, grace_seconds=grace_seconds)
