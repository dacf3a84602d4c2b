"""Slices: the requests with one value of a label of the pods' metrics are judged by themselves, too. Pure.

A release may be well for the service and bad for one of its models. So a gate can be asked for the values of a label
(``by``), and then makes more tests. Their chances of a false alarm are shared: the whole gate has half of the gate's
``false_alarm_rate``, and the k-th slice 1/((k+1)(k+2)) of it. All shares together are 1, however many slices come, so
the chance that any of the tests ever raises a false alarm is at most the rate (a union bound over tests that each keep
their share, ``statistics/sequential.py``). That holds because a share is given before the slice is judged and never
changes: the slices are ordered by the active colour's requests before the window, and a value that shows up later gets
the next place. Only numbers of requests decide the order, and the tests hold for any numbers of requests. Equal shares
would need the number of slices beforehand, and would give the large ones less.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from components.config.sections.rollout_settings import GateSettings
from components.domain.naming import Color
from rollout.gates.comparisons import PodComparison, latency
from rollout.gates.disputes import NO_DISPUTE, Dispute
from rollout.gates.verdicts import (
    ERROR_TESTS,
    LATENCY_TESTS,
    QUANTILE,
    UNLIKELY,
    Thresholds,
    judge_error_rate,
    judge_latency,
)
from rollout.model.verdict import Evidence, GateVerdict, SliceVerdict, Verdict
from rollout.statistics.measurements import Counters, Sample, sample
from rollout.statistics.sequential import alarm_threshold

MOST: Final = 20
"""The most slices of a gate. The largest by their requests are judged."""
_TESTS: Final = ("log_evidence_absolute", "log_evidence_compared", "log_evidence_from_before")
_KEPT: Final = (
    "requests",
    "error_rate_percent",
    "p95_seconds",
    "active_requests",
    "active_failed",
    "active_p95_seconds",
    "log_evidence_needed",
)
"""What is kept of a slice's figures: they are recorded at every look."""


def share(place: int) -> float:
    """Return the share of a gate's false-alarm rate: of the whole gate (place 0), or of its k-th slice."""
    return 1 / ((place + 1) * (place + 2))


class Places:
    """The values of a label in their order. A value keeps its place."""

    def __init__(self) -> None:
        """Begin without values."""
        self.values: list[str] = []
        self.left_out: tuple[str, ...] = ()
        """The values that got no place, as of the last look."""

    def take_in(self, requests: Mapping[str, int]) -> None:
        """Give places to further values, the largest first."""
        new = [one for one in requests if requests[one] > 0 and one not in self.values]
        new.sort(key=lambda one: (-requests[one], one))
        free = MOST - len(self.values)
        self.values += new[:free]
        self.left_out = tuple(new[free:])


def judge_sample(
    gate: str,
    mine: Sample | None,
    other: Sample | None,
    log_evidence_compared: float,
    known_p95_seconds: float | None,
    limits: GateSettings,
    thresholds: Thresholds,
    dispute: Dispute = NO_DISPUTE,
) -> GateVerdict:
    """Judge one gate on errors or on a latency: the candidate's sample against the active colour's."""
    if gate == "error_rate":
        counts, active = (None if one is None else (one.requests, one.failed) for one in (mine, other))
        compared = log_evidence_compared
        return judge_error_rate(gate, counts, active, compared, limits.error_rate, thresholds, dispute)
    return judge_latency(
        gate,
        latency(mine, gate),
        latency(other, gate),
        log_evidence_compared,
        known_p95_seconds,
        getattr(limits, gate),
        thresholds,
    )


@dataclass(frozen=True, kw_only=True)
class Between:
    """Both colours, and who is judged."""

    candidate: Color
    active: Color


class GateSlices:
    """The slices of one gate over one window."""

    def __init__(
        self,
        gate: str,
        label: str,
        colors: Between,
        limits: GateSettings,
        before: Mapping[Color, Counters],
        start: Mapping[Color, Counters],
    ) -> None:
        """Begin with the counters at the start of the window, and order the values by the time before it."""
        self._gate, self._label, self._colors, self._limits = gate, label, colors, limits
        self._thresholds = Thresholds(
            minimum_requests=limits.minimum_requests, false_alarm_rate=limits.false_alarm_rate
        )
        self._start = start
        self._places = Places()
        self._comparisons: dict[str, PodComparison] = {}
        active = colors.active
        seen = {value: self._sample(active, value, before, start) for value in self._of(start[active])}
        self._places.take_in({value: _count(gate, one) for value, one in seen.items()})
        fewest = limits.minimum_requests
        # At the last steps the active colour has no traffic: its latencies are then those from before.
        self._known = {
            value: found.quantile(QUANTILE)
            for value, one in seen.items()
            if (found := latency(one, gate) if gate != "error_rate" else None) and found.count >= fewest
        }

    def judge(
        self,
        whole: GateVerdict,
        now: Mapping[Color, Counters],
        dispute: Dispute,
        finish: Callable[[GateVerdict], GateVerdict],
    ) -> GateVerdict:
        """Return the whole gate's verdict together with its slices'. ``finish`` is applied to each slice's."""
        mine = {value: self._mine(value, now) for value in self._of(now[self._colors.candidate])}
        self._places.take_in({value: _count(self._gate, one) for value, one in mine.items()})
        slices = tuple(
            self._judge(place, value, mine.get(value), now, dispute, finish)
            for place, value in enumerate(self._places.values, start=1)
        )
        return with_slices(whole, self._label, slices, len(self._places.left_out))

    def _judge(
        self,
        place: int,
        value: str,
        mine: Sample | None,
        now: Mapping[Color, Counters],
        dispute: Dispute,
        finish: Callable[[GateVerdict], GateVerdict],
    ) -> SliceVerdict:
        candidate, active = self._colors.candidate, self._colors.active
        if value not in self._comparisons:
            begun = self._sliced(self._start, value)
            self._comparisons[value] = PodComparison(begun, candidate, active, self._limits, (self._gate,))
        compared = self._comparisons[value].look(self._sliced(now, value))
        thresholds = self._thresholds.shared(share(place))
        failed = 0 if mine is None else mine.failed
        # It is not known whose the disputed failures are: in the candidate's favour, they are this slice's.
        refuted = min(dispute.refuted, failed)
        dispute = replace(dispute, refuted=refuted, unsettled=min(dispute.unsettled, failed - refuted))
        judged = judge_sample(
            self._gate,
            mine,
            self._sample(active, value, self._start, now),
            compared[self._gate],
            self._known.get(value),
            self._limits,
            thresholds,
            dispute,
        )
        return slice_verdict(self._label, value, finish(judged), thresholds)

    def _mine(self, value: str, now: Mapping[Color, Counters]) -> Sample | None:
        return self._sample(self._colors.candidate, value, self._start, now)

    def _sample(
        self, color: Color, value: str, start: Mapping[Color, Counters], end: Mapping[Color, Counters]
    ) -> Sample | None:
        return sample(self._slice(start[color], value), self._slice(end[color], value))

    def _of(self, counters: Counters) -> Mapping[str, Counters]:
        return counters.slices.get(self._label, {})

    def _sliced(self, counters: Mapping[Color, Counters], value: str) -> dict[Color, Counters]:
        return {color: self._slice(one, value) for color, one in counters.items()}

    def _slice(self, counters: Counters, value: str) -> Counters:
        return self._of(counters).get(value, Counters())


def _count(gate: str, of: Sample | None) -> int:
    """Return how many requests of a sample a gate judges."""
    if of is None:
        return 0
    if gate == "error_rate":
        return of.requests
    found = latency(of, gate)
    return 0 if found is None else found.count


def slice_verdict(label: str, value: str, judged: GateVerdict, thresholds: Thresholds) -> SliceVerdict:
    """Return what a verdict on a slice says, and whether it counts.

    A slice with too few requests decides nothing. One whose figures are beyond a limit holds the gate back only while
    chance is unlikely: of many small slices, some always are beyond it.
    """
    requests = judged.evidence.get("requests")
    enough = isinstance(requests, int) and requests >= thresholds.minimum_requests
    found = [log for name in _TESTS if isinstance(log := judged.evidence.get(name), float | int)]
    tests = ERROR_TESTS if judged.gate == "error_rate" else LATENCY_TESTS
    # Of the chance that is unlikely, a slice has the same share as of a false alarm.
    unlikely = alarm_threshold(UNLIKELY * thresholds.share, tests)
    held = judged.verdict is Verdict.INCONCLUSIVE and bool(found) and max(found) >= unlikely
    verdict = judged.verdict if enough else Verdict.INCONCLUSIVE
    evidence: Evidence = {key: judged.evidence[key] for key in _KEPT if key in judged.evidence}
    return SliceVerdict(
        label=label,
        value=value,
        verdict=verdict,
        decides=enough and (verdict is not Verdict.INCONCLUSIVE or held),
        reason=judged.reason,
        evidence={**evidence, "log_evidence": max(found)} if found else evidence,
    )


def with_slices(whole: GateVerdict, label: str, slices: Sequence[SliceVerdict], left_out: int = 0) -> GateVerdict:
    """Return the whole gate's verdict, or a worse one because of a slice."""
    deciding = [one for one in slices if one.decides]
    counted = f"by {label}: {_counted(label, len(deciding), len(slices), left_out)}"
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        found = [one for one in deciding if one.verdict is verdict]
        if whole.verdict is verdict:
            break
        if found:
            reason = " and ".join(f"{one.name}: {one.reason}" for one in found)
            return replace(whole, verdict=verdict, reason=reason, slices=tuple(slices))
    return replace(whole, reason=f"{whole.reason}; {counted}", slices=tuple(slices))


def _counted(label: str, deciding: int, number: int, left_out: int) -> str:
    """Return in words how many slices count."""
    if not number:
        return f"no request with a {label}"
    counted = f"{deciding} of {number} values judged" if deciding else "no value has enough requests"
    return f"{counted}, {left_out} smaller ones are left out" if left_out else counted
