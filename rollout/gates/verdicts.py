"""The gates' verdicts: pass, fail or inconclusive, each with its reason and its figures.

Missing data is never a pass. A gate fails when the evidence that the candidate is worse than allowed reaches a
threshold. For a candidate within its limits, this happens in one hold with a probability of at most
``false_alarm_rate``, however often it is checked (``statistics/sequential.py``). A gate passes when it has seen the
minimum of requests and the figures are within their limits. Everything in between is inconclusive until more data
decides. Error rates may fail below the minimum of requests. Latencies may not, however slow: the first requests meet
cold caches, and say little about later ones.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isinf
from statistics import median

from components.config.sections.gate_settings import (
    AbandonedSettings,
    ErrorRateSettings,
    LatencySettings,
    QueueDepthSettings,
)
from components.domain.moments import format_rfc3339
from rollout.gates.disputes import NO_DISPUTE, Dispute
from rollout.model.approval import Approval
from rollout.model.verdict import Evidence, GateVerdict, TargetHealth, Verdict
from rollout.statistics.exact_tests import highest_share
from rollout.statistics.measurements import Histogram, Period
from rollout.statistics.sequential import alarm_threshold, evidence_above

QUANTILE = 0.95
EARLY_FAILURES = 5
"""Failed requests needed for a failure below the minimum: one hiccup may fail several simultaneous requests."""
ERROR_TESTS = 2
"""Tests of an error gate that share its false-alarm rate: against the limit, and against the active colour."""
BALANCED_TESTS = 4
"""Tests of the gate on the load balancer's errors: the two above, and two for its own 5xx answers, which must be more
than usual for sure, while the usual share is known for sure."""
UNLIKELY = 0.05
"""A chance below this makes a verdict inconclusive until more data decides."""
LATENCY_TESTS = 3
"""Tests of a latency gate: against the limit, the active colour, and the active colour's p95 from before."""
QUEUE_SECONDS = 30.0
"""How long a queue must be too long for a failure. Its readings depend on each other, so their number proves little."""
# Decimal places of the evidence, and a cap on log evidence so that it stays a finite number.
_DIGITS = 4
_MOST_EVIDENCE = 1000.0
GATE = "approval"
_Limits = ErrorRateSettings | AbandonedSettings | LatencySettings | QueueDepthSettings


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a verdict requires."""

    minimum_requests: int
    false_alarm_rate: float
    share: float = 1.0
    """The share that these tests have of a gate's false alarms. ``false_alarm_rate`` is that share already."""

    def shared(self, share: float) -> "Thresholds":
        """Return what tests with a share of these requires."""
        return replace(self, false_alarm_rate=self.false_alarm_rate * share, share=self.share * share)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """How many requests waited per replica, on average over the readings of a window."""

    candidate: float
    active: float | None
    """None when the active colour had too little traffic for a comparison."""
    readings: int
    seconds: float


def combine(verdicts: Iterable[GateVerdict]) -> tuple[Verdict, str]:
    """Return the combined verdict of all gates, and why. One failure fails; a pass needs a pass from every gate.

    Gates in dry run do not count. Gates with the same reason, as when their source does not answer, are named together.
    """
    judged = tuple(verdict for verdict in verdicts if not verdict.dry_run)
    if not judged:
        return Verdict.INCONCLUSIVE, "no gate was asked"
    given = {one.verdict for one in judged}
    combined = next(one for one in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS) if one in given)
    gates_of: dict[str, list[str]] = {}
    for one in judged:
        if one.verdict is combined:
            gates_of.setdefault(one.reason, []).append(one.gate)
    return combined, "; ".join(f"{', '.join(gates)}: {reason}" for reason, gates in gates_of.items())


def names_gate(reason: str, gate: str) -> bool:
    """Return whether a combined reason, or one that ends with such a reason, names a gate."""
    return re.search(rf"(?:^|; |: )(?:\w+, )*{re.escape(gate)}(?:, \w+)*: ", reason) is not None


def judge_error_rate(
    gate: str,
    counts: tuple[int, int] | None,
    active: tuple[int, int] | None,
    log_evidence_compared: float,
    limits: ErrorRateSettings,
    thresholds: Thresholds,
    dispute: Dispute = NO_DISPUTE,
    *,
    tests: int = ERROR_TESTS,
) -> GateVerdict:
    """Judge the candidate's share of failed requests.

    Args:
        gate: the gate's name.
        counts: requests and failed requests over the window. None when there is no data.
        active: the active colour's counts over the same window.
        log_evidence_compared: log evidence that the share exceeds the active colour's by more than allowed.
        limits: the limits.
        thresholds: what a verdict requires.
        dispute: the failures that another source contradicts; the limit does not apply to them.
        tests: how many tests share the gate's false-alarm rate.
    """
    return _judge_share(_FAILED, gate, counts, active, log_evidence_compared, limits, thresholds, dispute, tests)


def judge_abandoned(
    gate: str,
    counts: tuple[int, int] | None,
    active: tuple[int, int] | None,
    log_evidence_compared: float,
    known_percent: float | None,
    limits: AbandonedSettings,
    thresholds: Thresholds,
) -> GateVerdict:
    """Judge the share of the candidate's requests that clients abandoned.

    ``known_percent`` is the active colour's share from before, for a window in which it has too few requests. The other
    arguments are as for errors.
    """
    if known_percent is not None:
        limit = min(limits.limit_percent, known_percent + limits.increase_limit_points)
        limits = limits.model_copy(update={"limit_percent": round(limit, _DIGITS)})
    dispute = NO_DISPUTE
    return _judge_share(
        _ABANDONED, gate, counts, active, log_evidence_compared, limits, thresholds, dispute, ERROR_TESTS
    )


@dataclass(frozen=True, kw_only=True)
class _Share:
    """How a verdict names the share that it judges."""

    said: str
    counted: str
    rate: str


_FAILED = _Share(said="failed", counted="failed", rate="error_rate_percent")
_ABANDONED = _Share(said="were abandoned", counted="abandoned", rate="abandoned_percent")


def _judge_share(
    share: _Share,
    gate: str,
    counts: tuple[int, int] | None,
    active: tuple[int, int] | None,
    log_evidence_compared: float,
    limits: ErrorRateSettings | AbandonedSettings,
    thresholds: Thresholds,
    dispute: Dispute,
    tests: int,
) -> GateVerdict:
    limit = limits.limit_percent
    if counts is None:
        return _inconclusive(gate, "no data", limits, limit_percent=limit, requests=None)
    requests, failed = counts
    held = failed - dispute.refuted
    rate, held_rate = (100 * count / requests if requests else 0.0 for count in (failed, held))
    absolute = evidence_above(held, requests, limit / 100)
    settled = evidence_above(held - dispute.unsettled, requests, limit / 100)
    needed = alarm_threshold(thresholds.false_alarm_rate, tests)
    evidence: dict[str, float | int | str | None] = {
        "requests": requests,
        share.counted: failed,
        share.rate: round(rate, 3),
        "limit_percent": limit,
        "increase_limit_points": limits.increase_limit_points,
        **_test_evidence(needed, absolute, log_evidence_compared, thresholds),
    }
    figures = f"{failed} of {requests} requests {share.said} ({rate:.2f} %, limit {limit:g} %)"
    increase = None
    if active is not None:
        evidence |= {"active_requests": active[0], f"active_{share.counted}": active[1]}
        if active[0] >= thresholds.minimum_requests:
            active_rate = 100 * active[1] / active[0]
            increase = held_rate - max(0.0, active_rate - 100 * dispute.active_refuted_share)
            figures += f", {active_rate:.2f} % on the active colour"
    if dispute.refuted:
        evidence |= {"refuted": dispute.refuted}
        figures += (
            f"; the sources contradict each other: {dispute.refuted} of these failures are counted by the pods of both "
            "colours and not by the load balancer, so the limit does not apply to them"
        )
    enough = requests >= thresholds.minimum_requests
    certain = max(absolute, log_evidence_compared) >= needed
    if certain and max(settled, log_evidence_compared) < needed:
        evidence |= {"unsettled": dispute.unsettled}
        reason = (
            f"{figures}: above the limit by the pods of both colours; the load balancer's counts must show whether "
            f"{dispute.unsettled} of them are failures"
        )
        return _judged(gate, Verdict.INCONCLUSIVE, reason, evidence, limits)
    if certain and (enough or failed >= EARLY_FAILURES):
        why = "above the limit" if settled >= needed else "above the active colour's"
        return _judged(gate, Verdict.FAIL, f"{figures}: {why}, chance is ruled out", evidence, limits)
    if not enough:
        return _judged(gate, Verdict.INCONCLUSIVE, _too_few(requests, thresholds), evidence, limits)
    if held_rate > limit or (increase is not None and increase > limits.increase_limit_points):
        return _judged(gate, Verdict.INCONCLUSIVE, f"{figures}, could be chance", evidence, limits)
    return _judged(gate, Verdict.PASS, figures, evidence, limits)


@dataclass(frozen=True, kw_only=True)
class BalancerErrors:
    """The load balancer's own 5xx answers in a time, of which no colour is known."""

    requests: int
    """All requests, with those that got such an answer without any target."""
    errors: int


def judge_balancer_errors(
    verdict: GateVerdict,
    seen: BalancerErrors,
    before: BalancerErrors,
    candidate_percent: float,
    limits: ErrorRateSettings,
    thresholds: Thresholds,
) -> GateVerdict:
    """Return a verdict on the target group's errors, or a worse one because of the load balancer's own 5xx answers.

    A candidate that resets connections or crashes in the middle of a request is seen in these answers alone. They are
    counted for both colours together, so they cannot pass or fail a colour as its own errors do. They fail the
    candidate when they are more than both together explain: the share that was usual before, and as many failures as
    the candidate's limit allows it. Fewer are no reason against it: at a small step, the usual errors of the active
    colour vary by more than a candidate could cause. The price is that a load balancer that begins to fail for another
    reason during a rollout ends it.

    Args:
        verdict: the verdict on the errors of the candidate's target group.
        seen: the load balancer's errors in the window.
        before: its errors in a time before the window.
        candidate_percent: the candidate's share of all requests.
        limits: the limits.
        thresholds: what a verdict requires.
    """
    tested = thresholds.false_alarm_rate / BALANCED_TESTS
    usual = highest_share(before.errors, before.requests, tested)
    explained = usual + limits.limit_percent / 100 * candidate_percent / 100
    log_evidence = evidence_above(seen.errors, seen.requests, explained)
    evidence: Evidence = {
        **verdict.evidence,
        "balancer_requests": seen.requests,
        "balancer_failed": seen.errors,
        "balancer_requests_before": before.requests,
        "balancer_failed_before": before.errors,
        "log_evidence_balancer": _bounded(log_evidence),
    }
    verdict = replace(verdict, evidence=evidence)
    figures = (
        f"the load balancer itself answered {seen.errors} of {seen.requests} requests with 5xx, and "
        f"{before.errors} of {before.requests} before"
    )
    if verdict.verdict is Verdict.FAIL:
        return verdict
    if log_evidence >= alarm_threshold(thresholds.false_alarm_rate, BALANCED_TESTS) and seen.errors >= EARLY_FAILURES:
        return replace(verdict, verdict=Verdict.FAIL, reason=f"{figures}: above the limit, chance is ruled out")
    if log_evidence >= alarm_threshold(UNLIKELY, 1) and verdict.verdict is Verdict.PASS:
        return replace(verdict, verdict=Verdict.INCONCLUSIVE, reason=f"{figures}, could be chance")
    return verdict


def judge_latency(
    gate: str,
    candidate: Histogram | None,
    active: Histogram | None,
    log_evidence_compared: float,
    known_p95_seconds: float | None,
    limits: LatencySettings,
    thresholds: Thresholds,
) -> GateVerdict:
    """Judge one of the candidate's latencies against the limit and against the active colour's.

    Args:
        gate: the gate's name.
        candidate: the candidate's latencies. None when there is no data.
        active: the active colour's latencies over the same window.
        log_evidence_compared: log evidence that latencies exceed the active colour's by more than the ratio, at any
            quantile.
        known_p95_seconds: the active colour's p95 from before, for a window in which it has too few requests.
        limits: the limits.
        thresholds: what a verdict requires.
    """
    if candidate is None or not candidate.count:
        return _inconclusive(gate, "no data", limits, requests=None)
    active_p95 = (
        active.quantile(QUANTILE) if active is not None and active.count >= thresholds.minimum_requests else None
    )
    reference = known_p95_seconds if active_p95 is None else active_p95
    relative = None if reference is None else reference * limits.ratio_limit
    limit = limits.limit_seconds if relative is None else min(limits.limit_seconds, relative)
    p95 = candidate.quantile(QUANTILE)
    count = candidate.count
    absolute = evidence_above(candidate.surely_above(limits.limit_seconds), count, 1 - QUANTILE)
    from_before = 0.0
    if known_p95_seconds is not None and active_p95 is None:
        slow = candidate.surely_above(known_p95_seconds * limits.ratio_limit)
        from_before = evidence_above(slow, count, 1 - QUANTILE)
    needed = alarm_threshold(thresholds.false_alarm_rate, LATENCY_TESTS)
    evidence: Evidence = {
        "requests": count,
        "p95_seconds": _seconds(p95),
        "active_requests": None if active is None else active.count,
        "active_p95_seconds": _seconds(active_p95),
        "known_p95_seconds": _seconds(known_p95_seconds),
        "ratio_limit": limits.ratio_limit,
        "limit_seconds": _seconds(limit),
        "log_evidence_from_before": _bounded(from_before),
        **_test_evidence(needed, absolute, log_evidence_compared, thresholds),
    }
    figures = f"p95 {p95:.3f} s over {count} requests (limit {limit:.3f} s)"
    if count < thresholds.minimum_requests:
        return _judged(gate, Verdict.INCONCLUSIVE, _too_few(count, thresholds), evidence, limits)
    if max(absolute, from_before) >= needed:
        return _judged(gate, Verdict.FAIL, f"{figures}: above it, chance is ruled out", evidence, limits)
    if log_evidence_compared >= needed:
        reason = f"{figures}: slower than {limits.ratio_limit:g} times the active colour, chance is ruled out"
        return _judged(gate, Verdict.FAIL, reason, evidence, limits)
    if relative is None:
        reason = f"{figures}, but there is no data of the active colour to compare with"
        return _judged(gate, Verdict.INCONCLUSIVE, reason, evidence, limits)
    if p95 is None or p95 > limit:
        return _judged(gate, Verdict.INCONCLUSIVE, f"{figures}, could be chance", evidence, limits)
    return _judged(gate, Verdict.PASS, figures, evidence, limits)


def judge_response_times(
    gate: str,
    candidate: Sequence[Period],
    active: Sequence[Period],
    known_p95_seconds: float | None,
    limits: LatencySettings,
    thresholds: Thresholds,
) -> GateVerdict:
    """Judge the load balancer's response times. It publishes only a p95 for each period.

    A period whose p95 is above the limit is a hit. If the true p95 is within the limit, fewer than half of the periods
    are hits (even fewer if they have few requests, because their p95 is then too low). So the share of hits is tested
    against one half.
    """
    timed = [(mine, other) for mine, other in zip(candidate, active, strict=True) if mine.p95_seconds is not None]
    # The load balancer counts a request when it ends, maybe in a later period than its response time.
    requests = sum(mine.requests for mine in candidate)
    p95s = [mine.p95_seconds for mine, _ in timed if mine.p95_seconds is not None]
    if not requests or not p95s:
        return _inconclusive(gate, "no data", limits, requests=None)
    # If the active colour has few requests, and fewer than the candidate, its p95 is too low to compare with.
    pairs = [
        (mine.p95_seconds, other.p95_seconds)
        for mine, other in timed
        if mine.p95_seconds is not None
        and other.p95_seconds is not None
        and other.requests >= min(mine.requests, thresholds.minimum_requests)
    ]
    p95 = median(p95s)
    reference = median(other for _, other in pairs) if pairs else known_p95_seconds
    relative = None if reference is None else reference * limits.ratio_limit
    limit = limits.limit_seconds if relative is None else min(limits.limit_seconds, relative)
    absolute = evidence_above(sum(one > limits.limit_seconds for one in p95s), len(p95s), 0.5)
    compared = evidence_above(sum(mine > other * limits.ratio_limit for mine, other in pairs), len(pairs), 0.5)
    from_before = 0.0
    if not pairs and relative is not None:
        from_before = evidence_above(sum(one > relative for one in p95s), len(p95s), 0.5)
    needed = alarm_threshold(thresholds.false_alarm_rate, LATENCY_TESTS)
    evidence: Evidence = {
        "requests": requests,
        "periods": len(p95s),
        "periods_compared": len(pairs),
        "p95_seconds": _seconds(p95),
        "active_p95_seconds": _seconds(reference) if pairs else None,
        "known_p95_seconds": _seconds(known_p95_seconds),
        "ratio_limit": limits.ratio_limit,
        "limit_seconds": _seconds(limit),
        "log_evidence_from_before": _bounded(from_before),
        **_test_evidence(needed, absolute, compared, thresholds),
    }
    figures = f"p95 {p95:.3f} s in the median of {len(p95s)} periods (limit {limit:.3f} s)"
    if requests < thresholds.minimum_requests:
        return _judged(gate, Verdict.INCONCLUSIVE, _too_few(requests, thresholds), evidence, limits)
    if max(absolute, compared, from_before) >= needed:
        return _judged(gate, Verdict.FAIL, f"{figures}: above it, chance is ruled out", evidence, limits)
    if relative is None:
        reason = f"{figures}, but there is no data of the active colour to compare with"
        return _judged(gate, Verdict.INCONCLUSIVE, reason, evidence, limits)
    if p95 > limit:
        return _judged(gate, Verdict.INCONCLUSIVE, f"{figures}, could be chance", evidence, limits)
    return _judged(gate, Verdict.PASS, figures, evidence, limits)


def judge_queue(gate: str, queue: Queue | None, limits: QueueDepthSettings) -> GateVerdict:
    """Judge how many requests wait for the candidate. Fails if the average is too high for ``QUEUE_SECONDS``."""
    if queue is None:
        return _inconclusive(gate, "no data", limits, readings=0)
    evidence: Evidence = {
        "waiting_per_replica": round(queue.candidate, _DIGITS),
        "active_waiting_per_replica": None if queue.active is None else round(queue.active, _DIGITS),
        "limit_per_replica": limits.limit_per_replica,
        "increase_limit_per_replica": limits.increase_limit_per_replica,
        "readings": queue.readings,
        "seconds": round(queue.seconds, 1),
    }
    limit = limits.limit_per_replica
    figures = f"{queue.candidate:.1f} requests wait per replica on average"
    if queue.active is not None:
        limit = min(limit, queue.active + limits.increase_limit_per_replica)
        figures += f", {queue.active:.1f} on the active colour"
    figures += f" (limit {limit:.1f})"
    if queue.candidate <= limit:
        return _judged(gate, Verdict.PASS, figures, evidence, limits)
    if queue.seconds >= QUEUE_SECONDS:
        return _judged(gate, Verdict.FAIL, f"{figures}, over {queue.seconds:.0f} s", evidence, limits)
    return _judged(gate, Verdict.INCONCLUSIVE, f"{figures}, for {queue.seconds:.0f} s only", evidence, limits)


def require_client_traffic(verdict: GateVerdict, clients: int, probes: int, thresholds: Thresholds) -> GateVerdict:
    """Return a verdict, or inconclusive if the load balancer saw too few requests to support it.

    The pods' metrics alone are not enough: they also count readiness probes.

    Args:
        verdict: the verdict on the metrics.
        clients: how many requests came from clients.
        probes: how many probes were sent to fill up to the minimum.
        thresholds: what a verdict requires.
    """
    evidence = {**verdict.evidence, "client_requests": clients, "probe_requests": probes}
    verdict = replace(verdict, evidence=evidence)
    seen = clients + probes
    if seen >= thresholds.minimum_requests or verdict.verdict is Verdict.INCONCLUSIVE:
        return verdict
    failed, refuted, limit = evidence.get("failed"), evidence.get("refuted", 0), evidence.get("limit_percent")
    if (
        verdict.verdict is Verdict.FAIL
        and isinstance(failed, int)
        and isinstance(refuted, int)
        and isinstance(limit, float | int)
    ):
        # In the worst case, all requests that did not come from clients failed. The remaining failures may be enough.
        requests = evidence["requests"]
        others = max(0, (requests if isinstance(requests, int) else 0) - seen)
        left = max(0, failed - refuted - others)
        certain = evidence_above(left, max(seen, left), limit / 100)
        if left >= EARLY_FAILURES and certain >= alarm_threshold(thresholds.false_alarm_rate, ERROR_TESTS):
            return verdict
    return replace(verdict, verdict=Verdict.INCONCLUSIVE, reason=_too_few(seen, thresholds))


def judge_targets(health: TargetHealth, replicas: int, *, more_may_start: bool = False) -> GateVerdict:
    """Judge whether the candidate's replicas are all healthy in its target group.

    Args:
        health: its targets.
        replicas: how many must be healthy.
        more_may_start: whether an autoscaler may be starting further ones, which are not healthy yet.
    """
    evidence: Evidence = {"healthy": health.healthy, "total": health.total, "replicas": replicas}
    reason = f"{health.healthy} of {replicas} targets healthy"
    if health.healthy == 0:
        # The load balancer fails open: without a healthy target it sends requests to all registered targets.
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
        return GateVerdict(gate="targets", verdict=Verdict.FAIL, reason=reason, evidence=evidence)
    ready = health.healthy >= replicas and (more_may_start or health.healthy == health.total)
    verdict = Verdict.PASS if ready else Verdict.INCONCLUSIVE
    return GateVerdict(gate="targets", verdict=verdict, reason=reason, evidence=evidence)


def _judged(
    gate: str,
    verdict: Verdict,
    reason: str,
    evidence: Evidence,
    limits: _Limits,
) -> GateVerdict:
    return GateVerdict(gate=gate, verdict=verdict, reason=reason, evidence=evidence, dry_run=limits.dry_run)


def _inconclusive(
    gate: str,
    reason: str,
    limits: _Limits,
    **evidence: float | int | str | None,
) -> GateVerdict:
    return _judged(gate, Verdict.INCONCLUSIVE, reason, evidence, limits)


def _too_few(requests: int, thresholds: Thresholds) -> str:
    return f"{requests} of at least {thresholds.minimum_requests} requests seen"


def _test_evidence(needed: float, absolute: float, compared: float, thresholds: Thresholds) -> Evidence:
    return {
        "log_evidence_absolute": _bounded(absolute),
        "log_evidence_compared": _bounded(compared),
        "log_evidence_needed": _bounded(needed),
        "false_alarm_rate": thresholds.false_alarm_rate,
    }


def _bounded(log_evidence: float) -> float:
    return round(min(max(log_evidence, -_MOST_EVIDENCE), _MOST_EVIDENCE), 3)


def _seconds(value: float | None) -> float | None:
    return None if value is None or isinf(value) else round(value, _DIGITS)


def judge_approval(percent: int, approval: Approval | None) -> GateVerdict:
    """Judge a step that waits for a person."""
    if approval is None:
        reason = f"waits for a person to run scripts.approve for {percent} %"
        return GateVerdict(gate=GATE, verdict=Verdict.INCONCLUSIVE, reason=reason)
    return GateVerdict(
        gate=GATE,
        verdict=Verdict.PASS if approval.approved else Verdict.FAIL,
        reason=str(approval),
        evidence={"by": approval.by, "because": approval.because, "at": format_rfc3339(approval.at)},
    )
