"""The state machine of a rollout: which phase follows which event, and what is to be done in each phase.

Pure: no clock, no I/O. The controller performs ``action_of(rollout)``, turns the result into an event, and asks
``advance`` for the next state. The state alone says what to do next, so a rollout can be taken up at any point.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from components.domain.naming import Color
from rollout.model.plan import Plan
from rollout.model.verdict import Verdict


class Phase(StrEnum):
    """Where a rollout stands."""

    PLANNED = "planned"
    PREFLIGHT = "preflight"
    DEPLOYING = "deploying"
    WARMING = "warming"
    VERIFYING = "verifying"
    SHIFTING = "shifting"
    ATTESTING = "attesting"
    HOLDING = "holding"
    PAUSED = "paused"
    PROMOTING = "promoting"
    SOAKING = "soaking"
    DONE = "done"
    ROLLING_BACK = "rolling_back"
    RETIRING = "retiring"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    REFUSED = "refused"
    REAPING = "reaping"
    REAPED = "reaped"


UNTOUCHED = frozenset({Phase.PLANNED, Phase.PREFLIGHT})
"""Phases in which nothing has been changed yet: a failure needs no rollback."""

FINAL = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED, Phase.REFUSED, Phase.REAPED})
"""Phases that a rollout ends in. ``done`` still takes a request to reap."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The whole state of a rollout."""

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
        """The ramp step whose hold is being judged; none outside a hold."""
        return self.step if self.phase is Phase.HOLDING else None


# Events: what has happened.


@dataclass(frozen=True, kw_only=True)
class Succeeded:
    """The action of the current phase did what it should."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The action of the current phase could not do what it should."""

    reason: str
    nothing_changed: bool = False
    """Whether nothing has been changed since the rollout began, so that there is nothing to roll back."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The gates have spoken, ``elapsed_seconds`` into the hold or soak."""

    verdict: Verdict
    reason: str
    elapsed_seconds: float


@dataclass(frozen=True, kw_only=True)
class TimedOut:
    """The time is up without proof for or against the weight."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class StopRequested:
    """Somebody wants the rollout undone: a signal, or a rollback from another process."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ResumeRequested:
    """Somebody wants a paused rollout to go on: its hold or soak begins anew."""


@dataclass(frozen=True, kw_only=True)
class ReapRequested:
    """Somebody wants the outgoing colour's replicas and nodes given back."""


Event = Succeeded | Failed | Judged | TimedOut | StopRequested | ResumeRequested | ReapRequested


# Actions: what is to be done.


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Record the plan."""


@dataclass(frozen=True, kw_only=True)
class CheckPreflight:
    """Find every reason not to start, and measure the baseline."""


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """Bring the candidate's nodes up, then its replicas, at no weight."""

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
class Shift:
    """Move the weight to this step's, from the one before."""

    step: int
    green_weight: int
    from_green_weight: int


@dataclass(frozen=True, kw_only=True)
class Attest:
    """Make sure that the load balancer has taken this step's weight over."""

    step: int
    green_weight: int


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Ask the gates once; the answer is a ``Judged`` event. ``step`` is none in the soak."""

    step: int | None


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Make the candidate the active colour."""

    color: Color


@dataclass(frozen=True, kw_only=True)
class RestoreTraffic:
    """Put all traffic back on the outgoing colour, before anything else."""

    green_weight: int
    active_color: Color


@dataclass(frozen=True, kw_only=True)
class AwaitIdle:
    """Wait until no request can run on the colour any more."""

    color: Color


@dataclass(frozen=True, kw_only=True)
class Retire:
    """Park the colour, wait until its pods are gone, then give its nodes back."""

    color: Color


Action = (
    Begin
    | CheckPreflight
    | Deploy
    | AwaitReady
    | Verify
    | Shift
    | Attest
    | Judge
    | Promote
    | RestoreTraffic
    | AwaitIdle
    | Retire
)


def action_of(rollout: Rollout) -> Action | None:
    """Return what the current phase asks for; none when the rollout has come to an end, or waits for a person."""
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
        case Phase.SHIFTING:
            return Shift(
                step=step, green_weight=plan.steps[step].green_weight, from_green_weight=_weight_before(rollout)
            )
        case Phase.ATTESTING:
            return Attest(step=step, green_weight=plan.steps[step].green_weight)
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


def expected_green_weights(rollout: Rollout) -> tuple[int, ...]:
    """Return the green weights that the rule may have in this state; none when the state does not say."""
    plan = rollout.plan
    match rollout.phase:
        case Phase.DEPLOYING | Phase.WARMING | Phase.VERIFYING:
            return (plan.initial_green_weight,)
        case Phase.SHIFTING:
            return (_weight_before(rollout), plan.steps[rollout.step].green_weight)
        case Phase.ATTESTING | Phase.HOLDING | Phase.PAUSED | Phase.PROMOTING | Phase.SOAKING:
            return (plan.steps[rollout.step].green_weight,)
        case _:
            return ()


def _weight_before(rollout: Rollout) -> int:
    return rollout.plan.steps[rollout.step - 1].green_weight if rollout.step else rollout.plan.initial_green_weight


def advance(rollout: Rollout, event: Event) -> Rollout:
    """Return the state after an event. An event that means nothing in the current phase leaves the state as it is."""
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
            # A rollback under way already is what a stop asks for, and must not be broken off.
            return rollout if rollout.going_back else _after_failure(rollout, reason)
        case ResumeRequested():
            # A person's pause may have lasted; and it may have begun before the weight was ever attested.
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
            # Whoever was promoted is the failed candidate now.
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
"""Phases in which the weight may stay as it is until a person has looked."""


def _after_hold(rollout: Rollout) -> Rollout:
    if rollout.phase is Phase.SOAKING:
        return replace(rollout, phase=Phase.DONE)
    if rollout.step + 1 < len(rollout.plan.steps):
        return replace(rollout, phase=Phase.SHIFTING, step=rollout.step + 1)
    return replace(rollout, phase=Phase.PROMOTING)


def _after_failure(rollout: Rollout, reason: str) -> Rollout:
    if rollout.phase in FINAL:
        return rollout
    if rollout.phase in UNTOUCHED:
        return replace(rollout, phase=Phase.REFUSED, reason=reason)
    # A failed rollback or reap cannot be undone by another rollback: a person must look.
    if rollout.phase in (Phase.ROLLING_BACK, Phase.RETIRING, Phase.REAPING):
        return replace(rollout, phase=Phase.FAILED, reason=reason)
    return replace(rollout, phase=Phase.ROLLING_BACK, reason=reason)
