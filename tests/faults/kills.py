"""Ends a rollout from outside, as machines do: killed after a record of each kind and taken up again; asked to end."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM, Signals

from rehearsal.load.records import Record as Request
from rehearsal.report.journal import Record
from rollout.model.records import Kind
from tests.faults.stage import Played, Stage

_MOST_ROLLOUTS = 3
CI_GRACE_SECONDS = 10.0
"""From SIGTERM to SIGKILL, when a CI job is cancelled."""


@dataclass(kw_only=True)
class Killed:
    """Rollouts that were killed several times, and taken up each time."""

    kinds: list[str] = field(default_factory=list[str])
    """After a record of which kind one was killed, in order."""
    ended: list[Played] = field(default_factory=list[Played])
    """The commands that came to an end, one for each rollout."""
    requests: list[Request] = field(default_factory=list[Request])

    @property
    def failed(self) -> list[Request]:
        """The requests that were lost meanwhile."""
        return [request for request in self.requests if request.failed]


def kill_after_each(stage: Stage, release: Callable[[], str], kinds: Collection[str]) -> Killed:
    """Ramp, kill after the first record of each of these kinds, and take it up each time; until it ends.

    What is written in the moment until a kill strikes is not written again by who takes the rollout up, so another
    rollout may be needed to be killed after that.
    """
    killed = Killed()
    stage.new_requests()

    def signal_at(record: Record) -> Signals | None:
        kind = str(record["kind"])
        if kind not in kinds or kind in killed.kinds or struck:
            return None
        # Who takes a deploy up after its end does not know how long it took, and has nothing to say of that.
        if kind == Kind.RESULT and Kind.READY in kinds and Kind.READY not in killed.kinds:
            return None
        killed.kinds.append(kind)
        struck.append(kind)
        return SIGKILL

    for _ in range(_MOST_ROLLOUTS):
        options = stage.release(release())
        command = ("ramp", *options)
        while True:
            struck: list[str] = []
            played = stage.play(*command, signal_at=signal_at)
            if played.exit_code != -SIGKILL:
                break
            command = ("ramp", "--resume", *options)
        killed.ended.append(played)
        if set(kinds) <= set(killed.kinds):
            break
    killed.requests += stage.new_requests()
    return killed


def terminate_in_a_hold(stage: Stage, release: str, *, grace_seconds: float = 120.0) -> Played:
    """Ramp, and ask it to end in the hold of the second step; kill it when that takes longer than it may."""

    def signal_at(record: Record) -> Signals | None:
        in_hold = record["kind"] == "phase" and record["phase"] == "holding" and record["step"] == 1
        return SIGTERM if in_hold else None

    return stage.play("ramp", *stage.release(release), signal_at=signal_at, grace_seconds=grace_seconds)
