"""The state machine of a rollout: which phase follows which event, and which action each phase needs.

Pure: no clock, no I/O. The controller performs ``action_of(rollout)``, turns the result into an event, and asks
``advance`` for the next state. The state alone determines the next action, so a rollout can be resumed at any point.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from components.domain.naming import Color
from rollout.model.plan import Plan
from rollout.model.rule import Routing
from rollout.model.verdict import Verdict


class Phase(StrEnum):
    """The phase that a rollout is in."""

    PLANNED = "planned"
    """The plan exists; nothing has begun."""
    PREFLIGHT = "preflight"
    """Look for reasons not to start, and measure the baseline."""
    DEPLOYING = "deploying"
    """Bring up the candidate's nodes and replicas at weight 0."""
    WARMING = "warming"
    """Wait until every replica is ready and every target is healthy."""
    VERIFYING = "verifying"
    """Run the checks through the candidate route."""
    RESIZING = "resizing"
    """Give the candidate places of the outgoing colour: this one shrinks and drains, then the candidate grows.

    With an autoscaler: raise both floors to what the load needs."""
    SHIFTING = "shifting"
    """Move the weight to the current step's."""
    ATTESTING = "attesting"
    """Wait until the load balancer applies the weight."""
    HOLDING = "holding"
    """Keep the weight while the gates judge the candidate."""
    PAUSED = "paused"
    """Keep the weight until a person resumes the rollout or rolls it back."""
    PROMOTING = "promoting"
    """Make the candidate the active colour."""
    SOAKING = "soaking"
    """Judge the promoted candidate with all traffic."""
    DONE = "done"
    """End: the candidate is promoted, and the soak has passed."""
    ROLLING_BACK = "rolling_back"
    """Send all traffic back to the outgoing colour."""
    RETIRING = "retiring"
    """Remove the replicas and nodes of the colour that is no longer needed."""
    ROLLED_BACK = "rolled_back"
    """End: the outgoing colour has all traffic again, and the candidate is retired."""
    FAILED = "failed"
    """End: a rollback or a reap failed, so a person must look."""
    REFUSED = "refused"
    """End: the rollout did not start; nothing was changed."""
    REAPING = "reaping"
    """Wait until no request can run on the outgoing colour any more."""
    REAPED = "reaped"
    """End: the outgoing colour is retired after a promotion."""


UNTOUCHED = frozenset({Phase.PLANNED, Phase.PREFLIGHT})
"""Phases before the first change. A failure in them needs no rollback."""

FINAL = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED, Phase.REFUSED, Phase.REAPED})
"""Phases that end a rollout. ``done`` still accepts a request to reap."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The complete state of a rollout."""

    plan: Plan
    phase: Phase = Phase.PLANNED
    step: int = 0
    check: int = 0
    promoted: bool = False
    reason: str = ""

    @property
    def going_back(self) -> bool:
        """Whether a rollback is under way."""
        return self.phase is Phase.ROLLING_BACK or (self.phase is Phase.RETIRING and not self.promoted)

    @property
    def judged_step(self) -> int | None:
        """The index of the ramp step whose hold is being judged. None outside a hold."""
        return self.step if self.phase is Phase.HOLDING else None


# Events: the results of actions, and requests.


@dataclass(frozen=True, kw_only=True)
class Succeeded:
    """The action of the current phase succeeded."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The action of the current phase failed."""

    reason: str
    nothing_changed: bool = False
    """Whether the rollout has changed nothing so far, so that no rollback is needed."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The combined verdict of the gates, ``elapsed_seconds`` into the hold or soak."""

    verdict: Verdict
    reason: str
    elapsed_seconds: float


@dataclass(frozen=True, kw_only=True)
class TimedOut:
    """The time is up without enough evidence for or against the weight."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class StopRequested:
    """A signal, or a rollback from another process, asks to undo the rollout."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ResumeRequested:
    """A person asks to resume a paused rollout. Its hold or soak starts over."""


@dataclass(frozen=True, kw_only=True)
class ReapRequested:
    """A person asks to remove the outgoing colour's replicas and nodes."""


Event = Succeeded | Failed | Judged | TimedOut | StopRequested | ResumeRequested | ReapRequested


# Actions: what the controller does in a phase.


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Record the plan."""


@dataclass(frozen=True, kw_only=True)
class CheckPreflight:
    """Look for every reason not to start, and measure the baseline."""


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """Bring up the candidate's nodes, then its replicas, at weight 0."""

    color: Color


@dataclass(frozen=True, kw_only=True)
class AwaitReady:
    """Wait until every replica of the candidate is ready and healthy in its target group."""

    color: Color


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Run one check through the candidate route."""

    check: str


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Bring both colours to this step's numbers of replicas, at the previous step's weight."""

    step: int


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Move the weight, or a cohort, from where the previous step left it."""

    step: int
    routing: Routing
    before: Routing


@dataclass(frozen=True, kw_only=True)
class Attest:
    """Make sure that the load balancer applies this step's weight, or sends its cohort to the candidate."""

    step: int


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Ask the gates once. The result is a ``Judged`` event. ``step`` is None in the soak."""

    step: int | None


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Make the candidate the active colour."""

    color: Color


@dataclass(frozen=True, kw_only=True)
class RestoreTraffic:
    """Send all traffic back to the outgoing colour, before anything else."""

    green_weight: int
    active_color: Color


@dataclass(frozen=True, kw_only=True)
class AwaitIdle:
    """Wait until no request can run on the colour any more."""

    color: Color


@dataclass(frozen=True, kw_only=True)
class Retire:
    """Park the colour, wait until its pods are gone, then release its nodes."""

    color: Color


Action = (
    Begin
    | CheckPreflight
    | Deploy
    | AwaitReady
    | Verify
    | Resize
    | Shift
    | Attest
    | Judge
    | Promote
    | RestoreTraffic
    | AwaitIdle
    | Retire
)


def action_of(rollout: Rollout) -> Action | None:
    """Return the action of the current phase. None when the rollout has ended or waits for a person."""
    plan, step = rollout.plan, rollout.step
    match rollout.phase:
        case Phase.PLANNED:
            return Begin()
        case Phase.PREFLIGHT:
            return CheckPreflight()
        case Phase.DEPLOYING:
            return Deploy(color=plan.candidate)
        case Phase.WARMING:
            return AwaitReady(color=plan.candidate)
        case Phase.VERIFYING:
            return Verify(check=plan.checks[rollout.check])
        case Phase.RESIZING:
            return Resize(step=step)
        case Phase.SHIFTING:
            return Shift(step=step, routing=plan.routing_of(step), before=plan.routing_of(step - 1))
        case Phase.ATTESTING:
            return Attest(step=step)
        case Phase.HOLDING | Phase.SOAKING:
            return Judge(step=rollout.judged_step)
        case Phase.PROMOTING:
            return Promote(color=plan.candidate)
        case Phase.ROLLING_BACK:
            return RestoreTraffic(green_weight=plan.initial_green_weight, active_color=plan.outgoing)
        case Phase.RETIRING:
            return Retire(color=plan.outgoing if rollout.promoted else plan.candidate)
        case Phase.REAPING:
            return AwaitIdle(color=plan.outgoing)
        case Phase.PAUSED | Phase.DONE | Phase.ROLLED_BACK | Phase.FAILED | Phase.REFUSED | Phase.REAPED:
            return None


def expected_routings(rollout: Rollout) -> tuple[Routing, ...]:
    """Return the routings that the rules may have in this state. Empty when the state does not determine them."""
    plan, step = rollout.plan, rollout.step
    match rollout.phase:
        case Phase.DEPLOYING | Phase.WARMING | Phase.VERIFYING:
            return (plan.initial_routing,)
        case Phase.RESIZING:
            return (plan.routing_of(step - 1),)
        case Phase.SHIFTING:
            return (plan.routing_of(step - 1), plan.routing_of(step))
        case Phase.ATTESTING | Phase.HOLDING | Phase.PROMOTING:
            return (plan.routing_of(step),)
        case Phase.PAUSED | Phase.SOAKING:
            return (plan.promoted_routing if rollout.promoted else plan.routing_of(step),)
        case _:
            return ()


def advance(rollout: Rollout, event: Event) -> Rollout:
    """Return the state after an event. An event without a meaning in the current phase leaves the state unchanged."""
    match event:
        case Succeeded():
            return _after_success(rollout)
        case Judged():
            return _after_verdict(rollout, event)
        case TimedOut(reason=reason):
            return _after_timeout(rollout, reason)
        case Failed(reason=reason, nothing_changed=True) if rollout.phase is Phase.DEPLOYING:
            return replace(rollout, phase=Phase.REFUSED, reason=reason)
        case Failed(reason=reason):
            return _after_failure(rollout, reason)
        case StopRequested(reason=reason):
            # A stop asks for a rollback. One that is already under way must not be interrupted.
            return rollout if rollout.going_back else _after_failure(rollout, reason)
        case ResumeRequested():
            # The pause may have been long, and it may have begun before the weight was attested.
            resumed = Phase.SOAKING if rollout.promoted else Phase.ATTESTING
            return replace(rollout, phase=resumed, reason="") if rollout.phase is Phase.PAUSED else rollout
        case ReapRequested():
            return replace(rollout, phase=Phase.REAPING) if rollout.phase is Phase.DONE else rollout


def _after_success(rollout: Rollout) -> Rollout:
    match rollout.phase:
        case Phase.WARMING if not rollout.plan.checks:
            return replace(rollout, phase=Phase.SHIFTING)
        case Phase.VERIFYING if rollout.check + 1 < len(rollout.plan.checks):
            return replace(rollout, check=rollout.check + 1)
        case Phase.PROMOTING:
            return replace(rollout, phase=Phase.SOAKING, promoted=True)
        case Phase.ROLLING_BACK:
            # The promoted colour is now the failed candidate.
            return replace(rollout, phase=Phase.RETIRING, promoted=False)
        case Phase.RETIRING:
            return replace(rollout, phase=Phase.REAPED if rollout.promoted else Phase.ROLLED_BACK)
        case Phase.REAPING:
            return replace(rollout, phase=Phase.RETIRING, promoted=True)
        case phase:
            return replace(rollout, phase=_NEXT.get(phase, phase))


_NEXT = {
    Phase.PLANNED: Phase.PREFLIGHT,
    Phase.PREFLIGHT: Phase.DEPLOYING,
    Phase.DEPLOYING: Phase.WARMING,
    Phase.WARMING: Phase.VERIFYING,
    Phase.VERIFYING: Phase.SHIFTING,
    Phase.RESIZING: Phase.SHIFTING,
    Phase.SHIFTING: Phase.ATTESTING,
    Phase.ATTESTING: Phase.HOLDING,
}


def _after_verdict(rollout: Rollout, judged: Judged) -> Rollout:
    match rollout.phase:
        case Phase.HOLDING:
            asked_seconds = rollout.plan.steps[rollout.step].hold_seconds
        case Phase.SOAKING:
            asked_seconds = rollout.plan.soak_seconds
        case _:
            return rollout
    if judged.verdict is Verdict.FAIL:
        return _after_failure(rollout, judged.reason)
    if judged.elapsed_seconds < asked_seconds:
        return rollout
    if judged.verdict is Verdict.PASS:
        return _after_hold(rollout)
    if judged.elapsed_seconds < asked_seconds + rollout.plan.extension_seconds(rollout.judged_step):
        return rollout
    return _after_timeout(rollout, f"no verdict after {judged.elapsed_seconds:.0f} s: {judged.reason}")


def _after_timeout(rollout: Rollout, reason: str) -> Rollout:
    if rollout.plan.on_timeout == "pause" and rollout.phase in _MAY_PAUSE:
        return replace(rollout, phase=Phase.PAUSED, reason=reason)
    return _after_failure(rollout, reason)


_MAY_PAUSE = frozenset({Phase.ATTESTING, Phase.HOLDING, Phase.PROMOTING, Phase.SOAKING})
"""Phases in which the weight may stay unchanged until a person decides."""


def _after_hold(rollout: Rollout) -> Rollout:
    if rollout.phase is Phase.SOAKING:
        return replace(rollout, phase=Phase.DONE)
    following = rollout.step + 1
    if following < len(rollout.plan.steps):
        phase = Phase.RESIZING if rollout.plan.resizes(following) else Phase.SHIFTING
        return replace(rollout, phase=phase, step=following)
    return replace(rollout, phase=Phase.PROMOTING)


def _after_failure(rollout: Rollout, reason: str) -> Rollout:
    if rollout.phase in FINAL:
        return rollout
    if rollout.phase in UNTOUCHED:
        return replace(rollout, phase=Phase.REFUSED, reason=reason)
    # Another rollback cannot undo a failed rollback or reap: a person must look.
    if rollout.phase in (Phase.ROLLING_BACK, Phase.RETIRING, Phase.REAPING):
        return replace(rollout, phase=Phase.FAILED, reason=reason)
    return replace(rollout, phase=Phase.ROLLING_BACK, reason=reason)
