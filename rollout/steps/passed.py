"""Which releases have passed, by the journal: the colour with the last of them is never reaped.

Pure.
"""

from collections.abc import Iterator, Sequence

from components.config.settings import ServiceSettings
from components.domain.naming import other_color
from rollout.model.counts import counts_text
from rollout.model.records import Decision, Promoted, Record, Started
from rollout.model.verdict import TargetHealth


def refused_releases(records: Sequence[Record]) -> frozenset[str]:
    """Return the releases that were rolled back and have not been promoted since."""
    release_of: dict[str, str] = {}
    refused: set[str] = set()
    last_promoted = ""
    for record in records:
        match record.body:
            case Started(release_id=release_id, previous_release_id=previous):
                release_of[record.rollout] = release_id
                refused.discard(previous or "")
            case Promoted() if record.rollout in release_of:
                last_promoted = release_of[record.rollout]
                refused.discard(last_promoted)
            case Decision(action="rollback"):
                # A rollback by hand after a promotion is a rollout of its own, without a release.
                refused.add(release_of.get(record.rollout, last_promoted))
            case _:
                pass
    return frozenset(refused - {""})


def last_passed_violations(settings: ServiceSettings, records: Sequence[Record], active: TargetHealth) -> Iterator[str]:
    """Yield why the idle colour is still needed: the serving release has not passed, or cannot serve alone."""
    color = settings.active_color
    release, idle = settings.color(color).release, other_color(color)
    if release is not None and release.release_id in refused_releases(records):
        yield (
            f"{color}.release: {release.release_id} serves but was rolled back the last time it was tried, so {idle} "
            "has the last release that passed. Ramp to one that passes, or put all traffic back with scripts.rollback"
        )
    needed = settings.color(color).wanted_replicas
    if active.healthy < needed:
        yield (
            f"{color}: has {active.healthy} healthy targets of {needed} ({counts_text(active.states)}), and {idle} is "
            "the only other colour; repair it first"
        )
