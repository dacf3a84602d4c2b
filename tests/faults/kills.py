"""Ends rollouts from outside: kills them after a record of each kind and resumes them, or asks them to end."""

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
    """Rollouts that were killed several times and resumed each time."""

    kinds: list[str] = field(default_factory=list[str])
    """The kinds of record after which a rollout was killed, in order."""
    ended: list[Played] = field(default_factory=list[Played])
    """The last command of each rollout."""
    requests: list[Request] = field(default_factory=list[Request])

    @property
    def failed(self) -> list[Request]:
        """The requests that failed meanwhile."""
        return [request for request in self.requests if request.failed]


def kill_after_each(stage: Stage, release: Callable[[], str], kinds: Collection[str]) -> Killed:
    """Ramp, kill after the first record of each of these kinds, and resume each time until the rollout ends.

    A record that is written just before a kill takes effect is not written again after the resume, so another rollout
    may be needed for a kill after that kind.
    """
    killed = Killed()
    stage.new_requests()

    def signal_at(record: Record) -> Signals | None:
        kind = str(record["kind"])
        if kind not in kinds or kind in killed.kinds or struck:
            return None
        # A deploy that is resumed after its end does not know how long it took, so it writes no ready record.
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
    """Ramp, ask it to end in the hold of the second step, and kill it after ``grace_seconds``."""

    def signal_at(record: Record) -> Signals | None:
        in_hold = record["kind"] == "phase" and record["phase"] == "holding" and record["step"] == 1
        return SIGTERM if in_hold else None

    return stage.play("ramp", *stage.release(release), signal_at=signal_at, grace_seconds=grace_seconds)
