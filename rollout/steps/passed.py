"""Which releases have passed, by the journal: the colour with the last of them is never reaped.

Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.config.settings import ServiceSettings
from components.domain.naming import other_color
from rollout.model.verdict import TargetHealth


def refused_releases(records: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the releases that were rolled back and have not been promoted since."""
    release_of: dict[str, str] = {}
    refused: set[str] = set()
    last_promoted = ""
    for record in records:
        rollout = str(record.get("rollout", ""))
        match record["kind"]:
            case "started":
                release_of[rollout] = str(record["release_id"])
                if record.get("previous_release_id"):
                    refused.discard(str(record["previous_release_id"]))
            case "promoted" if rollout in release_of:
                last_promoted = release_of[rollout]
                refused.discard(last_promoted)
            case "decision" if record.get("action") == "rollback":
                # A rollback by hand after a promotion is a rollout of its own, without a release.
                refused.add(release_of.get(rollout, last_promoted))
            case _:
                pass
    return frozenset(refused - {""})


def last_passed_violations(
    settings: ServiceSettings, records: Sequence[Mapping[str, Any]], active: TargetHealth
) -> Iterator[str]:
    """Yield why the idle colour is needed: what serves has not passed, or does not stand by itself."""
    color = settings.active_color
    release, idle = settings.color(color).release, other_color(color)
    if release is not None and release.release_id in refused_releases(records):
        yield (
            f"{color}.release: {release.release_id} serves but was rolled back the last time it was tried, so {idle} "
            "has the last release that passed. Ramp to one that passes, or put all traffic back with scripts.rollback"
        )
    needed = settings.color(color).replicas
    if active.healthy < needed:
        yield (
            f"{color}: has {active.healthy} healthy targets of {needed} ({dict(active.states)}), and {idle} is all "
            "there is besides; mend it first"
        )
