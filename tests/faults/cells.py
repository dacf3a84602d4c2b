"""The fault matrix as data: every fault, every moment when it may strike, and the allowed outcomes of a rollout."""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """A kind of fault."""

    AWS_THROTTLING = "aws-throttling"
    AWS_5XX = "aws-5xx"
    AWS_TIMEOUTS = "aws-timeouts"
    API_SERVER_DOWN = "api-server-down"
    PROMETHEUS_DOWN = "prometheus-down"
    PROMETHEUS_EMPTY = "prometheus-empty"
    CRASH_LOOP = "candidate-crash-loop"
    SLOW = "candidate-slow"
    STALLS = "candidate-stalls"
    WRONG_ANSWERS = "candidate-wrong-answers"
    NODE_LOST = "node-lost"
    NO_CAPACITY = "no-capacity"
    BINDER_STOPPED = "binder-stopped"
    ALB_LAG = "alb-lag"
    SECOND_RAMP = "second-ramp"
    ENGINEERS_UP = "engineers-up"
    STALE_CONFIG = "stale-config"
    DISK_FULL = "journal-disk-full"
    CLOCK_JUMP = "clock-jump"


class Moment(StrEnum):
    """When a fault strikes. Steps have the numbers of the rollout's plan."""

    DEPLOYING = "deploying"
    STEP_1 = "step-1"
    STEP_2 = "step-2"
    STEP_3 = "step-3"
    PROMOTING = "promoting"
    SOAKING = "soaking"
    ROLLING_BACK = "rolling-back"
    REAPING = "reaping"


STEPS = (Moment.STEP_1, Moment.STEP_2, Moment.STEP_3)
JUDGED = (*STEPS, Moment.SOAKING)
"""Moments when the gates judge the candidate."""


class Lasting(StrEnum):
    """How long a fault lasts."""

    A_WHILE = "a while"
    """Short enough that a controller should wait for its end."""
    FOR_GOOD = "for good"


class Outcome(StrEnum):
    """How a command may end. The names are those in the journal's last record."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    PAUSED = "paused"
    REFUSED = "refused"
    REAPED = "reaped"
    FAILED = "failed"
    """A person must look. The message names what remains to be done."""


@dataclass(frozen=True, order=True)
class Cell:
    """One fault at one moment."""

    fault: Fault
    moment: Moment

    def __str__(self) -> str:
        return f"{self.fault}:{self.moment}"


CELLS = tuple(Cell(fault, moment) for fault in Fault for moment in Moment)

_ENDED = {Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.PAUSED}
_NOT_TRUSTED = {Outcome.ROLLED_BACK, Outcome.PAUSED}
_BACK = {Outcome.ROLLED_BACK}
_REAPED = {Outcome.REAPED}
# A colour that was not reaped can be reaped later: it costs money, but no request.
_REAPED_OR_LEFT = {Outcome.REAPED, Outcome.REFUSED, Outcome.FAILED}
_LEFT = {Outcome.REFUSED, Outcome.FAILED}
_A_PERSON = {Outcome.FAILED}

_USUAL: dict[Moment, set[Outcome]] = {
    Moment.DEPLOYING: _ENDED | {Outcome.REFUSED},
    **dict.fromkeys(STEPS, _ENDED),
    Moment.PROMOTING: _ENDED,
    Moment.SOAKING: _ENDED,
    Moment.ROLLING_BACK: _BACK,
    Moment.REAPING: _REAPED_OR_LEFT,
}

_BEFORE_AND_DURING = (Moment.DEPLOYING, *STEPS, Moment.PROMOTING, Moment.SOAKING)

_BLIND: dict[Moment, set[Outcome]] = {
    **dict.fromkeys((*STEPS, Moment.PROMOTING, Moment.SOAKING), _NOT_TRUSTED),
    Moment.DEPLOYING: _NOT_TRUSTED | {Outcome.REFUSED},
}
# A config without the candidate cannot be used to remove it: its pods are left for a person.
_FORGETFUL: dict[Moment, set[Outcome]] = {
    Moment.DEPLOYING: _ENDED | _LEFT,
    **dict.fromkeys((*STEPS, Moment.PROMOTING, Moment.SOAKING, Moment.ROLLING_BACK), _BACK | _A_PERSON),
}

_SPECIAL: dict[tuple[Fault, Lasting], dict[Moment, set[Outcome]]] = {
    # The rule cannot be moved while AWS refuses every call: the rollout can only report that.
    (Fault.AWS_5XX, Lasting.FOR_GOOD): {
        Moment.DEPLOYING: _LEFT,
        **dict.fromkeys((*STEPS, Moment.PROMOTING, Moment.SOAKING, Moment.ROLLING_BACK), _A_PERSON),
        Moment.REAPING: _LEFT,
    },
    (Fault.AWS_TIMEOUTS, Lasting.FOR_GOOD): {
        Moment.DEPLOYING: _LEFT,
        **dict.fromkeys((*STEPS, Moment.PROMOTING, Moment.SOAKING, Moment.ROLLING_BACK), _A_PERSON),
        Moment.REAPING: _LEFT,
    },
    # Traffic goes back, but pods cannot be parked.
    (Fault.API_SERVER_DOWN, Lasting.FOR_GOOD): {
        Moment.DEPLOYING: _A_PERSON | {Outcome.REFUSED},
        **dict.fromkeys((*STEPS, Moment.PROMOTING, Moment.ROLLING_BACK), _A_PERSON),
        Moment.SOAKING: _A_PERSON | {Outcome.PROMOTED},
        Moment.REAPING: _LEFT,
    },
    (Fault.PROMETHEUS_DOWN, Lasting.FOR_GOOD): _BLIND,
    (Fault.PROMETHEUS_EMPTY, Lasting.FOR_GOOD): _BLIND,
    (Fault.CRASH_LOOP, Lasting.FOR_GOOD): {
        **dict.fromkeys(_BEFORE_AND_DURING, _BACK),
        # The colour to reap is the only one that works.
        Moment.REAPING: _LEFT,
    },
    (Fault.SLOW, Lasting.FOR_GOOD): dict.fromkeys(_BEFORE_AND_DURING, _BACK),
    (Fault.STALLS, Lasting.FOR_GOOD): dict.fromkeys(_BEFORE_AND_DURING, _BACK),
    # Answers are compared only before the first step. Later, no gate sees that a fluent answer is wrong.
    (Fault.WRONG_ANSWERS, Lasting.FOR_GOOD): {Moment.DEPLOYING: _BACK},
    # Only new nodes are affected.
    (Fault.NO_CAPACITY, Lasting.FOR_GOOD): {Moment.DEPLOYING: _BACK | {Outcome.PROMOTED}},
    (Fault.NODE_LOST, Lasting.FOR_GOOD): dict.fromkeys(_BEFORE_AND_DURING, _ENDED),
    # While Pulumi's lock is taken, the state cannot follow, but traffic still goes back.
    (Fault.ENGINEERS_UP, Lasting.FOR_GOOD): {
        **dict.fromkeys(_BEFORE_AND_DURING, _ENDED | _LEFT),
        Moment.ROLLING_BACK: _BACK | _A_PERSON,
    },
    (Fault.DISK_FULL, Lasting.FOR_GOOD): {
        Moment.DEPLOYING: _BACK | {Outcome.REFUSED},
        **dict.fromkeys((*STEPS, Moment.PROMOTING, Moment.SOAKING), _BACK),
    },
    # The file stays stale.
    (Fault.STALE_CONFIG, Lasting.A_WHILE): _FORGETFUL,
    (Fault.STALE_CONFIG, Lasting.FOR_GOOD): _FORGETFUL,
}


def allowed(cell: Cell, lasting: Lasting) -> frozenset[Outcome]:
    """Return the allowed outcomes of a rollout for this cell and duration."""
    special = _SPECIAL.get((cell.fault, lasting), {})
    return frozenset(special.get(cell.moment, _USUAL[cell.moment]))


def parse_cells(words: str) -> tuple[Cell, ...]:
    """Read ``fault:moment,…``. A fault or a moment may be ``*``.

    Raises:
        ValueError: there is no such cell. The message names the possible ones.
    """
    chosen: list[Cell] = []
    for word in words.split(","):
        fault, colon, moment = word.strip().partition(":")
        found = [cell for cell in CELLS if fault in ("*", cell.fault) and (moment or "*") in ("*", cell.moment)]
        if not found or (colon and not moment):
            raise ValueError(
                f"{word!r} is not a cell; write FAULT:MOMENT with a fault of {', '.join(Fault)} and a moment of "
                f"{', '.join(Moment)}, or * for all"
            )
        chosen += found
    return tuple(dict.fromkeys(chosen))
