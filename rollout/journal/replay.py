"""Taking a rollout up from its records alone: where it stands, what was under way, what a stale config file lacks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from pydantic import JsonValue, TypeAdapter

from components.config.release import Release
from components.domain.naming import Color
from rollout.model.errors import RefusedError
from rollout.model.machine import FINAL, Phase, Rollout
from rollout.model.plan import Plan
from rollout.model.records import Kind, Record

_PLAN: Final = TypeAdapter(Plan)
_ENDS: Final = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED})


@dataclass(frozen=True, kw_only=True)
class Update:
    """An update of the stack that was begun and of which nobody knows how far it came."""

    color: Color | None
    """Whose resources it changes; none: the weighted rule."""
    edits: Mapping[str, JsonValue]
    message: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """The last rollout, rollback or reap of a service, as its records tell it."""

    rollout_id: str
    rollout: Rollout
    release: Release | None = None
    update: Update | None = None
    """An update that was under way in this phase."""
    baseline_p95_seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    """The outgoing colour's p95 by gate, before the rollout."""
    finished: bool = False

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
        """Whether a rollout, or its rollback, was begun and never brought to an end."""
        return not self.is_over and not self.is_reap

    def __str__(self) -> str:
        """Say in a few words what it is and where it stands."""
        what = f"release {self.release.release_id} onto" if self.release else "the rollback of"
        return f"{what} {self.rollout.plan.candidate} ({self.rollout.phase}, step {self.rollout.step + 1})"


def plan_fields(plan: Plan) -> JsonValue:
    """Return a plan as a record keeps it."""
    return _PLAN.dump_python(plan, mode="json")


def release_fields(release: Release | None) -> JsonValue:
    """Return a release as a record keeps it."""
    return None if release is None else release.model_dump(mode="json", exclude_defaults=True)


def state_fields(rollout: Rollout) -> dict[str, JsonValue]:
    """Return all of a state but its plan and phase, as a record keeps it."""
    return {
        "step": rollout.step,
        "check": rollout.check,
        "promoted": rollout.promoted,
        "reason": rollout.reason,
    }


def last_run(records: Iterable[Record]) -> Run | None:
    """Return the last run; none when there never was one."""
    run: Run | None = None
    for record in records:
        run = _after(run, cast(Mapping[str, Any], record))
    return run


def _after(run: Run | None, record: Mapping[str, Any]) -> Run | None:
    match record["kind"]:
        case Kind.STARTED:
            return _begun(record, None)
        case Kind.TAKEN_UP:
            return _begun(record, run)
        case _ if run is None or run.finished:
            return run
        case Kind.PHASE:
            return _moved(run, _state(run.rollout, record["phase"], record))
        case Kind.RESULT:
            return _moved(run, _state(run.rollout, record["next"]["phase"], record["next"]))
        case Kind.UPDATE:
            return replace(run, update=_update(record) if record["status"] == "begun" else None)
        case Kind.BASELINE:
            return replace(run, baseline_p95_seconds=record["p95_seconds"])
        case Kind.FINISHED:
            return replace(run, finished=True)
        case _:
            return run


def _begun(record: Mapping[str, Any], before: Run | None) -> Run:
    same = before is not None and before.rollout_id == record["rollout"]
    rollout = _state(Rollout(plan=_PLAN.validate_python(record["plan"])), record["phase"], record)
    begun = before if before is not None and same else Run(rollout_id=record["rollout"], rollout=rollout)
    release = begun.release if record["release"] is None else Release.model_validate(record["release"])
    return _moved(replace(begun, release=release, finished=False), rollout)


def _moved(run: Run, rollout: Rollout) -> Run:
    """Enter a state. What was under way in another phase is that phase's business."""
    return replace(run, rollout=rollout, update=run.update if rollout.phase is run.rollout.phase else None)


def _state(rollout: Rollout, phase: str, fields: Mapping[str, Any]) -> Rollout:
    return replace(
        rollout,
        phase=Phase(phase),
        step=fields["step"],
        check=fields["check"],
        promoted=fields["promoted"],
        reason=fields["reason"],
    )


def _update(record: Mapping[str, Any]) -> Update:
    return Update(color=record["color"], edits=record["edits"], message=record["message"])


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
    """Return what updates that took effect have put into a config file that this one, a stale copy, does not have.

    What an update meant but did not bring about is left out: it is done again.

    Raises:
        RefusedError: the file is from before all that these records tell.
    """
    begun: dict[int, Mapping[str, JsonValue]] = {}
    lasting: set[int] = set()
    for record in records:
        if record["kind"] != Kind.UPDATE:
            continue
        serial = cast(int, record["serial"])
        if record["status"] == "begun":
            begun[serial] = cast(Mapping[str, JsonValue], record["edits"])
        elif record["status"] == "taken_back":
            begun.pop(serial, None)
        elif record["status"] == "done":
            lasting.add(serial)
    first = min((cast(int, record["serial"]) for record in records if record["kind"] == Kind.UPDATE), default=0)
    if config_serial < min(first - 1, rule_serial):
        raise RefusedError(
            f"rollout_serial: the config file says {config_serial}, the live rule {rule_serial}, and the journal tells "
            f"of no update before {first}; pull the newest file"
        )
    edits: dict[str, JsonValue] = {}
    for serial, changed in sorted(begun.items()):
        if serial > config_serial and (serial in lasting or serial <= rule_serial):
            edits |= {**changed, "rollout_serial": serial}
    return edits
