"""The gates of the watch: the promoted colour alone, look after look, until the keep-warm window ends. Pure.

The old colour has no requests any more, so nothing shows what the hour of the day does to latencies. Therefore only
the fixed limits of the gates apply (``limit_percent``, ``limit_seconds``), not the ratios to the other colour.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from components.config.sections.rollout_settings import GateSettings
from components.domain.moments import format_rfc3339
from rollout.gates.comparisons import LATENCIES, latency
from rollout.gates.slices import Places, share, with_slices
from rollout.gates.verdicts import EARLY_FAILURES, QUANTILE
from rollout.model.look import Look
from rollout.model.verdict import GateVerdict, SliceVerdict, Verdict
from rollout.statistics.measurements import Period, Sample
from rollout.statistics.onset import find_onset
from rollout.statistics.sequential import alarm_threshold

GATES = ("error_rate", "abandoned", *LATENCIES, "target_group_errors", "target_group_latency")


def pods_look(
    seen: Sample | None,
    slices: Mapping[str, Mapping[str, Sample]],
    limits: GateSettings,
    start: datetime,
    end: datetime,
) -> Look | None:
    """Return what the pods counted, and of each slice, by label and value. None when there is no data."""
    if seen is None:
        return None
    counts = _counts(seen, limits)
    found: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
    for gate, label in limits.slice_labels.items():
        by_value = {value: _counts(one, limits).get(gate) for value, one in slices.get(label, {}).items()}
        found[gate] = {label: {value: one for value, one in by_value.items() if one is not None and one[1]}}
    return Look(source="pods", start=start, end=end, counts=counts, slices=found)


def _counts(seen: Sample, limits: GateSettings) -> dict[str, tuple[int, int]]:
    counts = {"error_rate": (seen.failed, seen.requests)}
    if seen.abandoned is not None:
        counts["abandoned"] = (seen.abandoned, seen.begun)
    for gate in LATENCIES:
        histogram = latency(seen, gate)
        if histogram is not None and histogram.count:
            counts[gate] = (histogram.surely_above(getattr(limits, gate).limit_seconds), histogram.count)
    return counts


def load_balancer_look(
    periods: Sequence[Period], limits: GateSettings, start: datetime, end: datetime, *, alone: bool
) -> Look:
    """Return what the load balancer counted in whole periods.

    Args:
        periods: the figures of the promoted colour's target group.
        limits: the limits of the gates.
        start: the beginning of the first period.
        end: the end of the last one.
        alone: whether the load balancer serves nothing else. Then its own 5xx answers are failures of the promoted
            colour, which has all requests: a pod that resets connections or crashes in the middle of a request is
            seen in them alone.
    """
    requests = sum(period.requests for period in periods)
    failed = sum(period.failed for period in periods)
    if alone:
        # A failed connection to a target is among them, too.
        reset = sum(period.balancer_errors - period.connection_errors for period in periods)
        failed += max(0, reset)
    p95s = [period.p95_seconds for period in periods if period.p95_seconds is not None]
    counts: dict[str, tuple[int, int]] = {}
    if requests:
        # Requests count when they begin, errors when they end.
        counts["target_group_errors"] = (min(requests, failed), requests)
    if p95s:
        limit = limits.target_group_latency.limit_seconds
        counts["target_group_latency"] = (sum(p95 > limit for p95 in p95s), len(p95s))
    return Look(source="load_balancer", start=start, end=end, counts=counts)


def judge_looks(looks: Sequence[Look], limits: GateSettings, usual: Mapping[str, float]) -> Iterator[GateVerdict]:
    """Yield each gate's verdict on all looks since the promotion.

    Args:
        looks: the looks, oldest first.
        limits: the limits of the gates.
        usual: by gate, the share of requests that fail or seem to fail with every release, as the rollout found.
    """
    labels = limits.slice_labels
    for gate in GATES:
        found = [(one, *one.counts[gate]) for one in looks if gate in one.counts]
        dry_run = getattr(limits, gate).dry_run
        if not found:
            reason = "no data since the promotion"
            yield GateVerdict(gate=gate, verdict=Verdict.INCONCLUSIVE, reason=reason, dry_run=dry_run)
            continue
        allowed = min(1.0, _limit(gate, limits) + usual.get(gate, 0.0))
        label = labels.get(gate)
        if label is None:
            yield _judge(gate, found, limits, allowed, limits.false_alarm_rate)
            continue
        whole = _judge(gate, found, limits, allowed, limits.false_alarm_rate * share(0))
        places, slices = Places(), list[SliceVerdict]()
        by_look = [(one, one.slices.get(gate, {}).get(label, {})) for one in looks]
        for _, counted in by_look:
            places.take_in({value: total for value, (_, total) in counted.items()})
        for place, value in enumerate(places.values, start=1):
            own = [(one, *counted[value]) for one, counted in by_look if value in counted]
            judged = _judge(gate, own, limits, allowed, limits.false_alarm_rate * share(place))
            requests = sum(total for _, _, total in own)
            slices.append(_slice(label, value, judged, enough=requests >= limits.minimum_requests))
        yield with_slices(whole, label, slices, len(places.left_out))


def _slice(label: str, value: str, judged: GateVerdict, *, enough: bool) -> SliceVerdict:
    return SliceVerdict(
        label=label,
        value=value,
        verdict=judged.verdict if enough else Verdict.INCONCLUSIVE,
        decides=enough,
        reason=judged.reason,
        evidence=judged.evidence,
    )


def _judge(
    gate: str, found: Sequence[tuple[Look, int, int]], limits: GateSettings, allowed: float, false_alarm_rate: float
) -> GateVerdict:
    """Judge counts of a gate, look by look: of the whole gate, or of one slice."""
    onset = find_onset([(bad, total) for _, bad, total in found], allowed)
    needed = alarm_threshold(false_alarm_rate, 1)
    since = found[onset.look :] if onset.log_evidence >= needed else found[-1:]
    bad, total = sum(bad for _, bad, _ in since), sum(total for _, _, total in since)
    failed = onset.log_evidence >= needed and bad >= EARLY_FAILURES
    reason = f"{_words(gate, bad, total, limits)} since {format_rfc3339(since[0][0].start)}"
    return GateVerdict(
        gate=gate,
        verdict=Verdict.FAIL if failed else Verdict.PASS,
        reason=f"{reason}: above it, chance is ruled out" if failed else reason,
        evidence={
            "beyond": bad,
            "of": total,
            "since": format_rfc3339(since[0][0].start),
            "looks": len(found),
            "log_evidence": round(min(onset.log_evidence, 1000.0), 3),
            "log_evidence_needed": round(needed, 3),
        },
        dry_run=getattr(limits, gate).dry_run,
    )


def _limit(gate: str, limits: GateSettings) -> float:
    """Return the highest share that may be beyond a gate's limit."""
    if gate == "target_group_latency":
        return 0.5  # of the periods, whose p95 is published: judge_response_times says why
    if gate in LATENCIES:
        return 1 - QUANTILE
    return getattr(limits, gate).limit_percent / 100


def _words(gate: str, bad: int, total: int, limits: GateSettings) -> str:
    percent = 100 * bad / total if total else 0.0
    settings = getattr(limits, gate)
    if gate == "target_group_latency":
        return f"the p95 of {bad} of {total} periods was above {settings.limit_seconds:g} s (limit: half of them)"
    if gate in LATENCIES:
        return f"{bad} of {total} requests took longer than {settings.limit_seconds:g} s ({percent:.2f} %, limit 5 %)"
    what = "were abandoned" if gate == "abandoned" else "failed"
    return f"{bad} of {total} requests {what} ({percent:.2f} %, limit {settings.limit_percent:g} %)"
