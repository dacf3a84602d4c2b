"""The gates' judgement: pass, fail or inconclusive, each with its reason and the numbers it rests on.

No data is never a pass, and below the minimum of requests there is no verdict. From there on a gate fails only when
chance is ruled out at ``FALSE_ALARM_RATE`` per look, so it may be looked at often; it passes with a figure within the
limit; all in between is inconclusive, and more data decides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isinf

from components.rollout_settings import GateSettings
from rollout.measurements import Histogram

FALSE_ALARM_RATE = 0.001
QUANTILE = 0.95

Evidence = Mapping[str, float | int | str | None]


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """One gate's verdict."""

    gate: str
    verdict: Verdict
    reason: str
    evidence: Evidence = field(default_factory=dict[str, float | int | str | None])


@dataclass(frozen=True, kw_only=True)
class TargetHealth:
    """The targets of one group: how many are healthy, and how many should serve (draining ones left out)."""

    healthy: int
    total: int
    states: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, kw_only=True)
class TargetGroupCounts:
    """What the load balancer counted for one target group over a window."""

    requests: int
    server_errors: int


def combine(verdicts: Iterable[GateVerdict]) -> tuple[Verdict, str]:
    """Return the verdict of all gates together and why: one failure fails, and only a unanimous pass passes."""
    judged = tuple(verdicts)
    for decisive in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        reasons = [f"{one.gate}: {one.reason}" for one in judged if one.verdict is decisive]
        if reasons:
            return decisive, "; ".join(reasons)
    if not judged:
        return Verdict.INCONCLUSIVE, "no gate was asked"
    return Verdict.PASS, "; ".join(f"{one.gate}: {one.reason}" for one in judged)


def judge_error_rate(gate: str, counts: tuple[int, int] | None, limits: GateSettings) -> GateVerdict:
    """Judge the candidate's share of failed requests.

    Args:
        gate: the gate's name.
        counts: requests and failed ones over the window; none when nothing is known.
        limits: the limit and the minimum of requests.
    """
    limit = limits.error_rate_limit_percent
    if counts is None:
        return _inconclusive(gate, "no data", limit_percent=limit, requests=None)
    requests, failed = counts
    rate = 100 * failed / requests if requests else 0.0
    evidence: Evidence = {
        "requests": requests,
        "failed": failed,
        "error_rate_percent": round(rate, 3),
        "limit_percent": limit,
    }
    figures = f"{failed} of {requests} requests failed ({rate:.2f} %, limit {limit:g} %)"
    if requests < limits.minimum_requests:
        return _too_few(gate, requests, limits, evidence)
    if exceeds_surely(failed, requests, limit / 100):
        return GateVerdict(gate=gate, verdict=Verdict.FAIL, reason=figures, evidence=evidence)
    if rate > limit:
        return GateVerdict(
            gate=gate, verdict=Verdict.INCONCLUSIVE, reason=f"{figures}, could be chance", evidence=evidence
        )
    return GateVerdict(gate=gate, verdict=Verdict.PASS, reason=figures, evidence=evidence)


def judge_ttft(candidate: Histogram | None, baseline_p95_seconds: float | None, limits: GateSettings) -> GateVerdict:
    """Judge the candidate's time to first token against the absolute limit and against the outgoing colour's."""
    gate = "ttft_p95"
    if candidate is None or not candidate.count:
        return _inconclusive(gate, "no data", requests=None)
    absolute = limits.ttft_p95_limit_seconds
    relative = None if baseline_p95_seconds is None else baseline_p95_seconds * limits.ttft_p95_ratio_limit
    limit = absolute if relative is None else min(absolute, relative)
    p95 = candidate.quantile(QUANTILE)
    evidence: Evidence = {
        "requests": candidate.count,
        "p95_seconds": None if p95 is None or isinf(p95) else round(p95, 4),
        "baseline_p95_seconds": None if baseline_p95_seconds is None else round(baseline_p95_seconds, 4),
        "limit_seconds": round(limit, 4),
    }
    figures = f"p95 {p95:.3f} s over {candidate.count} requests (limit {limit:.3f} s)"
    if candidate.count < limits.minimum_requests:
        # However slow: the first requests meet cold caches, and say little about those that follow.
        return _too_few(gate, candidate.count, limits, evidence)
    if exceeds_surely(candidate.surely_above(limit), candidate.count, 1 - QUANTILE):
        return GateVerdict(gate=gate, verdict=Verdict.FAIL, reason=figures, evidence=evidence)
    if relative is None:
        reason = f"{figures}, but nothing is known of the outgoing colour to compare with"
        return GateVerdict(gate=gate, verdict=Verdict.INCONCLUSIVE, reason=reason, evidence=evidence)
    if p95 is None or p95 > limit:
        return GateVerdict(
            gate=gate, verdict=Verdict.INCONCLUSIVE, reason=f"{figures}, could be chance", evidence=evidence
        )
    return GateVerdict(gate=gate, verdict=Verdict.PASS, reason=figures, evidence=evidence)


def rest_on_clients(verdict: GateVerdict, client_requests: int, limits: GateSettings) -> GateVerdict:
    """Withhold a verdict of the pods' own metrics until enough clients were served: they count the probes as well."""
    if client_requests >= limits.minimum_requests or verdict.verdict is Verdict.INCONCLUSIVE:
        return verdict
    return _too_few(verdict.gate, client_requests, limits, {**verdict.evidence, "client_requests": client_requests})


def judge_targets(health: TargetHealth, replicas: int) -> GateVerdict:
    """Judge whether the candidate's replicas are all healthy in its target group."""
    evidence: Evidence = {"healthy": health.healthy, "total": health.total, "replicas": replicas}
    reason = f"{health.healthy} of {replicas} targets healthy"
    if health.healthy == 0:
        # The load balancer fails open: it would go on sending requests to targets that cannot answer.
        return GateVerdict(gate="targets", verdict=Verdict.FAIL, reason=reason, evidence=evidence)
    ready = health.healthy >= replicas and health.healthy == health.total
    verdict = Verdict.PASS if ready else Verdict.INCONCLUSIVE
    return GateVerdict(gate="targets", verdict=verdict, reason=reason, evidence=evidence)


def exceeds_surely(hits: int, trials: int, rate: float) -> bool:
    """Tell whether so many hits are next to impossible at a true rate of at most ``rate``."""
    if hits <= rate * trials:
        return False
    from scipy.special import bdtrc  # slow to import, and needed only when there are failures

    return bool(bdtrc(hits - 1, trials, rate) < FALSE_ALARM_RATE)


def _too_few(gate: str, requests: int, limits: GateSettings, evidence: Evidence) -> GateVerdict:
    reason = f"{requests} of at least {limits.minimum_requests} requests seen"
    return GateVerdict(gate=gate, verdict=Verdict.INCONCLUSIVE, reason=reason, evidence=evidence)


def _inconclusive(gate: str, reason: str, **evidence: float | int | str | None) -> GateVerdict:
    return GateVerdict(gate=gate, verdict=Verdict.INCONCLUSIVE, reason=reason, evidence=evidence)
