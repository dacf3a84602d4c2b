"""Resumes a rollout from its records: finds the run to resume, and the edits that a stale config file lacks. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from components.config.release.release import Release
from rollout.model.errors import RefusedError
from rollout.model.machine import Phase
from rollout.model.records import Record, UpdateBegun, UpdateEnded
from rollout.model.run import Run

_ENDS: Final = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED})


def run_to_resume(run: Run | None, release: Release | None) -> Run | None:
    """Return the run to resume. None when a release is given and a new rollout of it can start.

    An unfinished rollout of another release is in the way only if it has changed something.

    Raises:
        RefusedError: there is nothing to resume, or the unfinished rollout is of another release.
    """
    same = run is not None and (release is None or (run.release is not None and _same(release, run.release)))
    if same and run is not None and not run.finished and run.rollout.phase in _ENDS:
        return run  # only its last record is missing
    if run is None or not run.is_unfinished_rollout:
        if release is not None:
            return None
        if run is None:
            reason = "there has been no rollout yet"
        elif run.is_reap and not run.is_over:
            reason = "the unfinished command is a reap; run scripts.reap again"
        else:
            reason = f"the last rollout has ended ({run.rollout.phase})"
        raise RefusedError(f"nothing to resume: {reason}. To start a rollout, name its --release")
    if release is not None and run.release is not None and not _same(release, run.release):
        if run.is_untouched:
            return None
        raise RefusedError(
            f"--release: is {release.release_id}, but another rollout is unfinished: {run}. Finish it with --resume "
            "alone, or undo it with scripts.rollback"
        )
    return run


def _same(one: Release, other: Release) -> bool:
    return one.release_id == other.release_id


def missing_edits(records: Sequence[Record], *, config_serial: int, rule_serial: int) -> dict[str, JsonValue]:
    """Return the edits that a stale config file lacks: those of updates that took effect.

    Edits of an update without effect are left out, because that update is repeated.

    Raises:
        RefusedError: the file is older than the first of these records.
    """
    begun: dict[int, Mapping[str, JsonValue]] = {}
    lasting: set[int] = set()
    serials: list[int] = []
    for record in records:
        match record.body:
            case UpdateBegun(serial=serial) as update:
                begun[serial] = update.edits
            case UpdateEnded(serial=serial, status="taken_back"):
                begun.pop(serial, None)
            case UpdateEnded(serial=serial, status="done"):
                lasting.add(serial)
            case UpdateEnded(serial=serial):
                pass
            case _:
                continue
        serials.append(serial)
    first = min(serials, default=0)
    if config_serial < min(first - 1, rule_serial):
        raise RefusedError(
            f"rollout_serial: the config file says {config_serial}, the live rule {rule_serial}, and the journal has "
            f"no update before {first}; pull the newest file"
        )
    edits: dict[str, JsonValue] = {}
    for serial, changed in sorted(begun.items()):
        if serial > config_serial and (serial in lasting or serial <= rule_serial):
            edits |= {**changed, "rollout_serial": serial}
    return edits
