"""The records of a journal: one frozen type for each kind. They are written and read through these types alone.

A record is one JSON object. `Record` has what every record carries; `Body` is what its kind adds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    field_serializer,
)

from components.config.release.release import Release
from components.domain.capacity.headroom import HeadroomCost
from components.domain.evidence import digest_of
from components.domain.moments import format_or_empty, format_rfc3339, format_rfc3339_micros, parse_rfc3339
from components.domain.naming import Color
from rollout.model.machine import Phase, Rollout
from rollout.model.plan import Plan
from rollout.model.verdict import Evidence, SliceVerdict, Verdict


class Kind(StrEnum):
    """What a record is about. Observations (verdict, baseline, note) aside, each comes right before or after an act."""

    LOCK = "lock"
    """A command has taken the lock; a former holder can write no record any more."""
    STARTED = "started"
    """A rollout begins: its plan, its release, and what serves until then."""
    TAKEN_UP = "taken_up"
    """A command goes on from a state: a resume, a rollback, a reap."""
    PHASE = "phase"
    """A phase begins; its action follows."""
    RESULT = "result"
    """An action has ended, and the state moves on."""
    UPDATE = "update"
    """An update of the stack: begun with its edits, then done, failed or taken back."""
    WEIGHT = "weight"
    """A step asks for a weight, or has it in effect."""
    RULE = "rule"
    """The weighted rule was changed."""
    VERDICT = "verdict"
    """A gate or a check gave a verdict."""
    ATTESTED = "attested"
    """The requests that the load balancer counted agree with a weight."""
    DRILL = "drill"
    """A rollback was practised and measured."""
    SKIPPED = "skipped"
    """An operator left a check out, and gave a reason."""
    BASELINE = "baseline"
    """The outgoing colour's latencies before the rollout."""
    DECISION = "decision"
    """The rollout is promoted or rolled back, and why."""
    PROMOTED = "promoted"
    """The candidate is the active colour now."""
    SERVING = "serving"
    """Which release answers users now, with its semantic-cache namespace."""
    HOOK = "hook"
    """A command of the user's ran."""
    READY = "ready"
    """Every replica of a colour is up."""
    RESIZED = "resized"
    """A colour runs another number of replicas, because it gave places to the other colour or got them."""
    FLOOR = "floor"
    """The fewest replicas that the autoscaler may run of a colour have changed."""
    KEPT = "kept"
    """An operator moved the end of the keep-warm window."""
    KEEPING = "keeping"
    """What the colour costs that is kept warm."""
    PARKED = "parked"
    """A colour runs no replicas any more."""
    NODES_RELEASED = "nodes_released"
    """A colour's nodes are gone."""
    NOTE = "note"
    """What the rollout waits for, or what an operator should know."""
    FINISHED = "finished"
    """A command came to its end."""


def _parse(value: object) -> object:
    return parse_rfc3339(value) if isinstance(value, str) else value


Moment = Annotated[AwareDatetime, BeforeValidator(_parse), PlainSerializer(format_rfc3339, when_used="json")]
"""A moment; RFC 3339 text in the journal."""
OptionalMoment = Annotated[
    AwareDatetime | None,
    BeforeValidator(lambda value: None if value == "" else _parse(value)),
    PlainSerializer(format_or_empty, when_used="json"),
]
"""A moment or None; RFC 3339 text in the journal, empty for None."""


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class State(_Fields):
    """A rollout's state, without its plan and its phase."""

    step: int
    check: int
    promoted: bool
    reason: str


class NextState(State):
    """The state that follows an action."""

    phase: Phase


def state_of(rollout: Rollout) -> dict[str, Any]:
    """Return the fields of `State`."""
    return {
        "step": rollout.step,
        "check": rollout.check,
        "promoted": rollout.promoted,
        "reason": rollout.reason,
    }


class _Begin(State):
    plan: Plan
    release: Release | None

    @field_serializer("release")
    def _short(self, release: Release | None) -> Any:
        return None if release is None else release.model_dump(mode="json", exclude_defaults=True)


class LockTaken(_Fields):
    """See `Kind.LOCK`."""

    kind: Literal[Kind.LOCK] = Kind.LOCK
    by: str
    """The command."""
    before: str
    """From whom the lock was taken over. Empty when it was free."""
    user: str = ""
    """Who ran the command. This and the following are empty where they are not known."""
    host: str = ""
    run_url: str = ""
    """The CI run."""
    commit: str = ""
    """The program's commit, with ``+`` behind it when the files differ from it."""
    config_sha256: str = ""
    """The digest of the service's settings, without those that a script writes."""
    pack_version: str = ""
    """The version of the policy pack that checks the updates."""


class Started(_Begin):
    """See `Kind.STARTED`."""

    kind: Literal[Kind.STARTED] = Kind.STARTED
    service: str
    candidate: Color
    release_id: str
    previous_release_id: str | None
    green_weight: int
    candidate_usd_per_hour: float | None = None
    """The price of the candidate's nodes: by `node_usd_per_hour`, else On-Demand in us-east-1. None when unknown."""
    headroom: tuple[HeadroomCost, ...] = ()
    """What the rollout costs in every headroom mode, the chosen one first."""


class TakenUp(_Begin):
    """See `Kind.TAKEN_UP`."""

    kind: Literal[Kind.TAKEN_UP] = Kind.TAKEN_UP
    resumed: bool
    """Whether it goes on with what its former process left unfinished, updates included."""


class PhaseBegun(State):
    """See `Kind.PHASE`."""

    kind: Literal[Kind.PHASE] = Kind.PHASE


class ActionEnded(_Fields):
    """See `Kind.RESULT`."""

    kind: Literal[Kind.RESULT] = Kind.RESULT
    event: str
    next: NextState


class UpdateBegun(_Fields):
    """See `Kind.UPDATE`."""

    kind: Literal[Kind.UPDATE] = Kind.UPDATE
    status: Literal["begun"] = "begun"
    serial: int
    green_weight: int
    message: str
    color: Color | None
    """Whose resources it changes. None when it changes the weighted rule."""
    edits: Mapping[str, JsonValue]


class UpdateEnded(_Fields):
    """See `Kind.UPDATE`."""

    kind: Literal[Kind.UPDATE] = Kind.UPDATE
    status: Literal["done", "failed", "taken_back"]
    serial: int
    unexpected: tuple[str, ...] = ()
    """What it changed besides what was meant."""


class WeightStep(_Fields):
    """See `Kind.WEIGHT`."""

    kind: Literal[Kind.WEIGHT] = Kind.WEIGHT
    green_weight: int
    candidate_percent: int
    step: int
    status: Literal["begun", "done"]
    cohort: str = ""
    """The cohort that this step sends to the candidate. Empty for a step that moves the weight."""
    counted_percent: float | None = None
    """The candidate's share of all requests just before. None where it is not needed, or not known."""
    counted_requests: int = 0
    """The requests that this share was counted of."""


class RuleChanged(_Fields):
    """See `Kind.RULE`."""

    kind: Literal[Kind.RULE] = Kind.RULE
    green_weight: int
    how: Literal["direct", "up"]


class VerdictGiven(_Fields):
    """See `Kind.VERDICT`."""

    kind: Literal[Kind.VERDICT] = Kind.VERDICT
    gate: str
    verdict: Verdict
    reason: str
    evidence: Evidence
    dry_run: bool
    slices: tuple[SliceVerdict, ...] = ()


class Attested(_Fields):
    """See `Kind.ATTESTED`."""

    kind: Literal[Kind.ATTESTED] = Kind.ATTESTED
    color: Color
    intended_percent: int
    previous_percent: int | None = None
    """None when it attests that a colour gets no requests."""
    requests: int
    candidate_requests: int
    candidate_percent: float | None
    healthy: int | None = None
    error_percent: float | None = None
    cohort: str = ""
    """The cohort whose requests now go to the candidate. Empty for a weight."""
    proof: str = "split"
    """What showed it: see ``rollout/gates/changes.py``."""


class Drilled(_Fields):
    """See `Kind.DRILL`."""

    kind: Literal[Kind.DRILL] = Kind.DRILL
    color: Color
    decision_to_rule_seconds: float
    rule_to_last_request_seconds: float
    resolution_seconds: float
    decision_to_agreement_seconds: float


class CheckSkipped(_Fields):
    """See `Kind.SKIPPED`."""

    kind: Literal[Kind.SKIPPED] = Kind.SKIPPED
    check: str
    because: str


class Baseline(_Fields):
    """See `Kind.BASELINE`."""

    kind: Literal[Kind.BASELINE] = Kind.BASELINE
    color: Color
    p95_seconds: Mapping[str, float]
    """By gate."""


class Decision(_Fields):
    """See `Kind.DECISION`."""

    kind: Literal[Kind.DECISION] = Kind.DECISION
    action: Literal["promote", "rollback"]
    reason: str
    green_weight: int
    decided_at: datetime | None = None
    """When a rollback was decided: the rule comes before the record."""


class Promoted(_Fields):
    """See `Kind.PROMOTED`."""

    kind: Literal[Kind.PROMOTED] = Kind.PROMOTED
    active_color: Color
    keep_until: Moment


class NowServing(_Fields):
    """See `Kind.SERVING`."""

    kind: Literal[Kind.SERVING] = Kind.SERVING
    color: Color
    release_id: str | None
    cache_namespace: str
    previous_cache_namespace: str
    cache_namespace_changed: bool


class HookRan(_Fields):
    """See `Kind.HOOK`."""

    kind: Literal[Kind.HOOK] = Kind.HOOK
    name: str
    seconds: float
    error: str
    """Empty when it did its work."""


class ColorReady(_Fields):
    """See `Kind.READY`."""

    kind: Literal[Kind.READY] = Kind.READY
    color: Color
    seconds: float
    """Since its deploy began."""
    with_nodes: bool
    """Whether its nodes had to start first."""


class Resized(_Fields):
    """See `Kind.RESIZED`."""

    kind: Literal[Kind.RESIZED] = Kind.RESIZED
    color: Color
    former: int
    replicas: int
    seconds: float
    """Until the replicas that it gave up were gone, or the ones that it got were ready."""


class FloorMoved(_Fields):
    """See `Kind.FLOOR`."""

    kind: Literal[Kind.FLOOR] = Kind.FLOOR
    color: Color
    former: int
    floor: int
    requests_per_second: float | None = None
    """The service's requests then, which as many replicas of the outgoing colour carried. None when that is unknown."""


class Kept(_Fields):
    """See `Kind.KEPT`."""

    kind: Literal[Kind.KEPT] = Kind.KEPT
    color: Color
    former: OptionalMoment
    until: Moment
    reason: str


class Keeping(_Fields):
    """See `Kind.KEEPING`."""

    kind: Literal[Kind.KEEPING] = Kind.KEEPING
    kept: str | None
    usd_per_hour: float | None
    usd_so_far: float | None
    brought_up: str | None
    way_back: str | None = None
    """What a rollback takes, when the old colour cannot take all traffic back at once."""


class Parked(_Fields):
    """See `Kind.PARKED`."""

    kind: Literal[Kind.PARKED] = Kind.PARKED
    color: Color


class NodesReleased(_Fields):
    """See `Kind.NODES_RELEASED`."""

    kind: Literal[Kind.NODES_RELEASED] = Kind.NODES_RELEASED
    color: Color


class Note(_Fields):
    """See `Kind.NOTE`."""

    kind: Literal[Kind.NOTE] = Kind.NOTE
    text: str


Outcome = Literal["promoted", "rolled_back", "failed", "refused", "reaped"]
OUTCOMES: Final[Mapping[Phase, Outcome]] = {
    Phase.DONE: "promoted",
    Phase.ROLLED_BACK: "rolled_back",
    Phase.FAILED: "failed",
    Phase.REFUSED: "refused",
    Phase.REAPED: "reaped",
}
"""How a rollout that is over has ended, by its last phase."""


class Finished(_Fields):
    """See `Kind.FINISHED`."""

    kind: Literal[Kind.FINISHED] = Kind.FINISHED
    outcome: Outcome
    reason: str


_UpdateBody = Annotated[UpdateBegun | UpdateEnded, Field(discriminator="status")]
Body = Annotated[
    LockTaken
    | Started
    | TakenUp
    | PhaseBegun
    | ActionEnded
    | _UpdateBody
    | WeightStep
    | RuleChanged
    | VerdictGiven
    | Attested
    | Drilled
    | CheckSkipped
    | Baseline
    | Decision
    | Promoted
    | NowServing
    | HookRan
    | ColorReady
    | Resized
    | FloorMoved
    | Kept
    | Keeping
    | Parked
    | NodesReleased
    | Note
    | Finished,
    Field(discriminator="kind"),
]
_BODY: Final[TypeAdapter[Body]] = TypeAdapter(Body)
_STAMP: Final = ("seq", "at", "rollout", "token", "phase")
_B = TypeVar("_B", bound=_Fields)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record: what it is about, and where it stands."""

    seq: int
    """Counts the service's records; 0 for a line that is shown and never kept."""
    at: datetime
    rollout: str
    """The id of the rollout that wrote it."""
    token: int
    """The number of the lock under which it was written."""
    phase: Phase | None
    """Where the rollout stood. None before its first phase."""
    body: Body

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as it is written."""
        fields: dict[str, JsonValue] = self.body.model_dump(mode="json", exclude_none=False)
        return {**self._stamp(), **{name: value for name, value in fields.items() if name != "kind"}}

    def _stamp(self) -> dict[str, JsonValue]:
        return {
            "seq": self.seq,
            "at": format_rfc3339_micros(self.at),
            "rollout": self.rollout,
            "token": self.token,
            "kind": self.body.kind,
            "phase": self.phase or "",
        }

    @cached_property
    def sha256(self) -> str:
        """The digest of what it says: without defaults, so that a later field with one changes no digest."""
        return digest_of({**self._stamp(), **self.body.model_dump(mode="json", exclude_defaults=True)})


def read_record(fields: Mapping[str, Any]) -> Record:
    """Read a record as it was written.

    Raises:
        ValueError: it is not one of these kinds, or lacks fields; the message names the record and the field.
    """
    try:
        body = _BODY.validate_python({name: value for name, value in fields.items() if name not in _STAMP})
        return Record(
            seq=int(fields["seq"]),
            at=parse_rfc3339(str(fields["at"])),
            rollout=str(fields["rollout"]),
            token=int(fields["token"]),
            phase=Phase(fields["phase"]) if fields["phase"] else None,
            body=body,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"record {fields.get('seq')} ({fields.get('kind')}): {where}: {first['msg']}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"record {fields.get('seq')} ({fields.get('kind')}): {error!r}") from error


def of_type(records: Sequence[Record], kind: type[_B]) -> Iterator[tuple[Record, _B]]:
    """Yield the records of one type, with their bodies."""
    for record in records:
        if isinstance(record.body, kind):
            yield record, record.body


def last_rule_change(records: Sequence[Record]) -> datetime | None:
    """Return when a command last changed the weighted rule. None when the journal does not say."""
    times = [record.at for record, _ in of_type(records, RuleChanged)]
    return times[-1] if times else None


def checked_spans(records: Sequence[Record]) -> Sequence[tuple[datetime, datetime]]:
    """Return when checks sent requests to a candidate: each time in the phase ``verifying``, with what followed it.

    The pods count these requests as they count users'.
    """
    spans: list[tuple[datetime, datetime]] = []
    began: datetime | None = None
    for record in records:
        if record.phase is Phase.VERIFYING:
            began = began or record.at
        elif began is not None:
            spans.append((began, record.at))
            began = None
    return spans if began is None else [*spans, (began, records[-1].at)]


def last_start_seconds(records: Sequence[Record]) -> float | None:
    """Return how long the latest start of replicas on nodes that were up took. None when the journal does not say."""
    found: float | None = None
    for record in records:
        match record.body:
            case ColorReady(seconds=seconds, with_nodes=False):
                found = seconds
            case Resized(former=former, replicas=replicas, seconds=seconds) if replicas > former:
                found = seconds
            case _:
                pass
    return found


@dataclass(frozen=True, kw_only=True)
class DrillHistory:
    """What the journal says of drills."""

    last: datetime | None = None
    """When the last one succeeded. None when there was none."""
    promoted: bool = False
    """Whether a release was ever promoted: before that there is no way back to practise."""


def drill_history(records: Sequence[Record]) -> DrillHistory:
    """Read the journal for drills."""
    times = [record.at for record, _ in of_type(records, Drilled)]
    return DrillHistory(
        last=times[-1] if times else None,
        promoted=any(True for _ in of_type(records, Promoted)),
    )
