"""What a journal's records add up to: the last rollout, and all that decides what comes next.

A controller that runs and a command that resumes read the same `Run`, which is made by the same function. So nothing
is lost when a process ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from components.config.release.release import Release
from components.domain.capacity.floors import CarriedLoad
from rollout.model.machine import FINAL, UNTOUCHED, Phase, Rollout
from rollout.model.records import (
    ActionEnded,
    Baseline,
    Finished,
    FloorMoved,
    LockTaken,
    PhaseBegun,
    Record,
    RuleChanged,
    Started,
    State,
    TakenUp,
    UpdateBegun,
    UpdateEnded,
    WeightStep,
)

UNFINISHED: Final = (
    "the last rollout is unfinished; go on with scripts.ramp --resume, or send traffic back with scripts.rollback"
)
"""What a command says that has to wait for the end of a rollout which nobody works on."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The last rollout, rollback or reap of a service, by its records."""

    rollout_id: str
    rollout: Rollout
    release: Release | None = None
    taken_up: bool = False
    """Whether a second command went on with it."""
    update: UpdateBegun | None = None
    """An update that is under way in this phase, or was when its process ended."""
    unsettled: UpdateBegun | None = None
    """An update that a former process began and did not end. It must be made again before the colour's next one."""
    baseline_p95_seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    """The outgoing colour's p95 by gate, for windows in which it has too little traffic."""
    deploying_since: datetime | None = None
    """When the deploy began. None when the rollout was taken up: then the time says nothing."""
    carried: CarriedLoad | None = None
    """What the outgoing colour carried when the rollout began. None when that is unknown, or without autoscaler."""
    started_nodes: bool = False
    """Whether the deploy had to start nodes."""
    shifted_at: datetime | None = None
    """When this process last shifted traffic. None after it was taken up: what was counted before is not known."""
    counted: Mapping[int, tuple[float, int]] = field(default_factory=dict[int, tuple[float, int]])
    """By step: the candidate's share of all requests just before it, in percent, and of how many it was counted."""
    sent_back_at: datetime | None = None
    """When a rollback last changed the rule."""
    finished: bool = False

    @property
    def judged_since(self) -> datetime | None:
        """When the window of this hold opened. None when it opens with the hold.

        No client's request reached the candidate before the first step, so all that did since then are evidence.
        """
        return self.shifted_at if self.rollout.judged_step == 0 else None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.finished or self.rollout.phase in FINAL

    @property
    def is_reap(self) -> bool:
        """Whether it takes a colour out of use after a promotion that stands."""
        rollout = self.rollout
        return rollout.phase is Phase.REAPING or (rollout.phase is Phase.RETIRING and rollout.promoted)

    @property
    def is_unfinished_rollout(self) -> bool:
        """Whether a rollout, or its rollback, began and did not come to its end."""
        return not self.is_over and not self.is_reap

    @property
    def is_untouched(self) -> bool:
        """Whether it is unfinished and has changed nothing, so that there is nothing to undo."""
        return not self.is_over and self.rollout.phase in UNTOUCHED

    def __str__(self) -> str:
        """Say in a few words what it is and where it stands."""
        what = f"release {self.release.release_id} onto" if self.release else "the rollback of"
        return f"{what} {self.rollout.plan.candidate} ({self.rollout.phase}, step {self.rollout.step + 1})"


def last_run(records: Iterable[Record]) -> Run | None:
    """Return the last run. None when there never was one."""
    run: Run | None = None
    for record in records:
        run = after(run, record)
    return run


def begun_by(records: Sequence[Record]) -> LockTaken | None:
    """Return the command that began the last run, or the last one that went on with it.

    None when there is no run, or when these records begin after that command had taken the lock.
    """
    tokens = [record.token for record in records if isinstance(record.body, Started | TakenUp)]
    locks = [record.body for record in records if isinstance(record.body, LockTaken) and record.token in tokens[-1:]]
    return locks[-1] if locks else None


def unended_updates(records: Iterable[Record]) -> tuple[str, ...]:
    """Return the messages of the updates that no process recorded as ended."""
    unended: list[str] = []
    begun: UpdateBegun | None = None
    for record in records:
        match record.body:
            case UpdateBegun():
                unended += [] if begun is None else [begun.message]
                begun = record.body
            case UpdateEnded():
                begun = None
            case _:
                pass
    return (*unended, *([] if begun is None else [begun.message]))


def after(run: Run | None, record: Record) -> Run | None:
    """Return the run as it is once a record is written."""
    match record.body:
        case Started() | TakenUp():
            return _begun(run, record, record.body)
        case _ if run is None or run.finished:
            return run
        case PhaseBegun():
            return _entered(run, record, record.body)
        case ActionEnded(next=following):
            return _moved(run, _state(run.rollout, following.phase, following))
        case UpdateBegun():
            return _with_update(run, record.body)
        case UpdateEnded():
            return replace(run, update=None)
        case Baseline(p95_seconds=known):
            return replace(run, baseline_p95_seconds=known)
        case WeightStep(status="begun", step=step, counted_percent=float() as percent, counted_requests=requests):
            # A repeated step finds the new share: the first one counts.
            return replace(run, counted={step: (percent, requests), **run.counted})
        case RuleChanged() if record.phase is Phase.SHIFTING:
            return replace(run, shifted_at=record.at)
        case RuleChanged() if record.phase is Phase.ROLLING_BACK:
            return replace(run, sent_back_at=record.at)
        case FloorMoved(floor=floor, requests_per_second=float() as rate):
            return replace(run, carried=CarriedLoad(replicas=floor, requests_per_second=rate))
        case Finished():
            return replace(run, finished=True)
        case _:
            return run


def _begun(run: Run | None, record: Record, body: Started | TakenUp) -> Run:
    rollout = _state(Rollout(plan=body.plan), record.phase or Phase.PLANNED, body)
    if isinstance(body, Started) or run is None or run.rollout_id != record.rollout:
        taken_up = isinstance(body, TakenUp)
        return Run(rollout_id=record.rollout, rollout=rollout, release=body.release, taken_up=taken_up)
    unsettled = (run.update or run.unsettled) if body.resumed else None
    return replace(
        _moved(run, rollout),
        release=body.release or run.release,
        taken_up=True,
        unsettled=unsettled,
        deploying_since=None,
        shifted_at=None,
        finished=False,
    )


def _entered(run: Run, record: Record, body: PhaseBegun) -> Run:
    run = _moved(run, _state(run.rollout, record.phase or run.rollout.phase, body))
    begins = run.rollout.phase is Phase.DEPLOYING and not run.taken_up
    return replace(run, deploying_since=record.at, started_nodes=False) if begins else run


def _with_update(run: Run, update: UpdateBegun) -> Run:
    settled = run.unsettled is not None and run.unsettled.color == update.color
    # The nodes of a colour are asked for before its replicas.
    nodes = (
        update.edits.get(f"{update.color}.provisioned") is True and update.edits.get(f"{update.color}.parked") is True
    )
    return replace(
        run,
        update=update,
        unsettled=None if settled else run.unsettled,
        started_nodes=run.started_nodes or nodes,
    )


def _moved(run: Run, rollout: Rollout) -> Run:
    """Enter a state. An update that was under way in another phase is that phase's business."""
    return replace(run, rollout=rollout, update=run.update if rollout.phase is run.rollout.phase else None)


def _state(rollout: Rollout, phase: Phase, state: State) -> Rollout:
    return replace(
        rollout, phase=phase, step=state.step, check=state.check, promoted=state.promoted, reason=state.reason
    )
