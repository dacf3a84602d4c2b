"""The records of a journal: what kinds there are, and what they say of the rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

Record = Mapping[str, JsonValue]


class Kind(StrEnum):
    """What a record tells. All but the observations (verdict, baseline, note) are written before or after an action."""

    LOCK = "lock"
    """A command has taken the lock; from here on nobody else's record is taken."""
    STARTED = "started"
    """A rollout begins: plan, release, and what serves until then."""
    TAKEN_UP = "taken_up"
    """A command goes on from a state: a resume, a rollback, a reap."""
    PHASE = "phase"
    """A phase is entered; its action follows."""
    RESULT = "result"
    """An action has ended, and the state moves on."""
    UPDATE = "update"
    """An update of the stack: begun with what it means to do, then done, failed or taken back."""
    WEIGHT = "weight"
    RULE = "rule"
    VERDICT = "verdict"
    ATTESTED = "attested"
    """The requests that the load balancer counted agree with a weight."""
    DRILL = "drill"
    """A rollback was practised, and measured."""
    SKIPPED = "skipped"
    """Somebody chose to leave a check out, and why."""
    BASELINE = "baseline"
    DECISION = "decision"
    PROMOTED = "promoted"
    SERVING = "serving"
    """Whose answers users get now, with their semantic-cache namespace."""
    HOOK = "hook"
    READY = "ready"
    """Every replica of a colour is up, so many seconds after its deploy began."""
    KEPT = "kept"
    """A promise to keep the idle colour warm was moved."""
    KEEPING = "keeping"
    """What the colour costs that is kept warm."""
    PARKED = "parked"
    NODES_RELEASED = "nodes_released"
    NOTE = "note"
    FINISHED = "finished"


def last_rule_change(records: Sequence[Record]) -> datetime | None:
    """Return when the weighted rule was last changed by us; none when the journal does not say."""
    times = [str(record["at"]) for record in records if record["kind"] == Kind.RULE]
    return datetime.fromisoformat(times[-1]) if times else None


@dataclass(frozen=True, kw_only=True)
class DrillHistory:
    """What the journal says of drills."""

    last: datetime | None = None
    """When the last one succeeded."""
    promoted: bool = False
    """Whether a release was ever promoted: before that there is no way back that could be practised."""


def history(records: Sequence[Record]) -> DrillHistory:
    """Read the journal for drills."""
    drilled = [str(record["at"]) for record in records if record["kind"] == Kind.DRILL]
    return DrillHistory(
        last=datetime.fromisoformat(drilled[-1]) if drilled else None,
        promoted=any(record["kind"] == Kind.PROMOTED for record in records),
    )
