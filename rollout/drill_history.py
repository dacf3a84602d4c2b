"""What the journal says of rollback drills, and whether a rollout must wait for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.records import Kind, Record


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


def drill_faults(max_age_days: float | None, drills: DrillHistory, now: datetime) -> tuple[str, ...]:
    """Return why a rollout must wait for a drill; nothing when none is asked for, or none could be made yet."""
    if max_age_days is None or not drills.promoted:
        return ()
    if drills.last is not None and now - drills.last <= timedelta(days=max_age_days):
        return ()
    told = "there was none" if drills.last is None else f"the last one was {drills.last:%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"rollout.drill_max_age_days: asks for a rollback drill within {max_age_days:g} days, but {told}; run "
        "scripts.drill while the idle colour is kept warm, or raise the limit",
    )
