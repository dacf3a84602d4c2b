"""The gates of the watch: the promoted colour alone, look after look, until the keep-warm window ends. Pure.

The old colour has no requests any more, so nothing shows what the hour of the day does to latencies. Therefore only
the fixed limits of the gates apply (``limit_percent``, ``limit_seconds``), not the ratios to the other colour.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from components.config.sections.rollout_settings import GateSettings
from components.domain.moments import format_rfc3339
from rollout.gates.comparisons import LATENCIES, latency
from rollout.gates.verdicts import EARLY_FAILURES, QUANTILE
from rollout.model.look import Look
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.measurements import Period, Sample
from rollout.statistics.onset import find_onset
from rollout.statistics.sequential import alarm_threshold

GATES = ("error_rate", "abandoned", *LATENCIES, "target_group_errors", "target_group_latency")


def pods_look(seen: Sample | None, limits: GateSettings, start: datetime, end: datetime) -> Look | None:
    """Return what the pods counted. None when there is no data."""
    if seen is None:
        return None
    counts = {"error_rate": (seen.failed, seen.requests)}
    if seen.abandoned is not None:
        counts["abandoned"] = (seen.abandoned, seen.begun)
    for gate in LATENCIES:
        histogram = latency(seen, gate)
        if histogram is not None and histogram.count:
            counts[gate] = (histogram.surely_above(getattr(limits, gate).limit_seconds), histogram.count)
    return Look(source="pods", start=start, end=end, counts=counts)


def load_balancer_look(periods: Sequence[Period], limits: GateSettings, start: datetime, end: datetime) -> Look:
    """Return what the load balancer counted in whole periods."""
    requests = sum(period.requests for period in periods)
    p95s = [period.p95_seconds for period in periods if period.p95_seconds is not None]
    counts: dict[str, tuple[int, int]] = {}
    if requests:
        # Requests count when they begin, errors when they end.
        counts["target_group_errors"] = (min(requests, sum(period.failed for period in periods)), requests)
    if p95s:
        limit = limits.target_group_latency.limit_seconds
        counts["target_group_latency"] = (sum(p95 > limit for p95 in p95s), len(p95s))
    return Look(source="load_balancer", start=start, end=end, counts=counts)


def judge_looks(looks: Sequence[Look], limits: GateSettings, refuted: Mapping[str, float]) -> Iterator[GateVerdict]:
    """Yield each gate's verdict on all looks since the promotion.

    Args:
        looks: the looks, oldest first.
        limits: the limits of the gates.
        refuted: by gate, the share of requests that only seem to fail, as the rollout found by comparison.
    """
    for gate in GATES:
        settings = getattr(limits, gate)
        found = [(one, *one.counts[gate]) for one in looks if gate in one.counts]
        verdict = Verdict.INCONCLUSIVE if not found else Verdict.PASS
        if not found:
            yield GateVerdict(
                gate=gate, verdict=verdict, reason="no data since the promotion", dry_run=settings.dry_run
            )
            continue
        share = _limit(gate, limits)
        onset = find_onset([(bad, total) for _, bad, total in found], min(1.0, share + refuted.get(gate, 0.0)))
        needed = alarm_threshold(limits.false_alarm_rate, 1)
        since = found[onset.look :] if onset.log_evidence >= needed else found[-1:]
        bad, total = sum(bad for _, bad, _ in since), sum(total for _, _, total in since)
        if onset.log_evidence >= needed and bad >= EARLY_FAILURES:
            verdict = Verdict.FAIL
        reason = f"{_words(gate, bad, total, limits)} since {format_rfc3339(since[0][0].start)}"
        yield GateVerdict(
            gate=gate,
            verdict=verdict,
            reason=f"{reason}: above it, chance is ruled out" if verdict is Verdict.FAIL else reason,
            evidence={
                "beyond": bad,
                "of": total,
                "since": format_rfc3339(since[0][0].start),
                "looks": len(found),
                "log_evidence": round(min(onset.log_evidence, 1000.0), 3),
                "log_evidence_needed": round(needed, 3),
            },
            dry_run=settings.dry_run,
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
