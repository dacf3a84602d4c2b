"""Taking a rollout up from its records: which one to go on with, and what a stale config file lacks. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from components.config.release import Release
from rollout.model.errors import RefusedError
from rollout.model.machine import Phase
from rollout.model.records import Record, UpdateBegun, UpdateEnded
from rollout.model.run import Run

_ENDS: Final = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED})


def run_to_resume(run: Run | None, release: Release | None) -> Run | None:
    """Return the run to go on with; none when there is none and a release is given, to begin with instead.

    Raises:
        RefusedError: there is nothing to resume, or what is unfinished is another release's.
    """
    same = run is not None and (release is None or (run.release is not None and _same(release, run.release)))
    if same and run is not None and not run.finished and run.rollout.phase in _ENDS:
        return run  # all is done, but its last record
    if run is None or not run.is_unfinished_rollout:
        if release is not None:
            return None
        if run is None:
            told = "there never was a rollout"
        elif run.is_reap and not run.is_over:
            told = "what did not come to its end is a reap; run scripts.reap again"
        else:
            told = f"the last one came to its end ({run.rollout.phase})"
        raise RefusedError(f"nothing to resume: {told}. To begin a rollout, name its --release")
    if release is not None and run.release is not None and not _same(release, run.release):
        raise RefusedError(
            f"--release: is {release.release_id}, but unfinished is {run}. Finish that with --resume alone, or undo it "
            "with scripts.rollback"
        )
    return run


def _same(one: Release, other: Release) -> bool:
    return one.release_id == other.release_id


def missing_edits(records: Sequence[Record], *, config_serial: int, rule_serial: int) -> dict[str, JsonValue]:
    """Return the edits of updates that took effect and that this config file, a stale copy, does not have.

    Edits of an update that had no effect are left out: it is made again.

    Raises:
        RefusedError: the file is older than these records.
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
