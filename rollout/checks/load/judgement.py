"""The verdict of the load check: what the candidate carries, beside users' peak and the active colour. Pure.

A search that was cut knows its knee only from below, so every share is a range. The verdict is a pass when the whole
range is good, a failure when all of it is bad, and inconclusive in between.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.config.sections.check_settings import LoadSettings
from rollout.checks.load.search import Level, Search
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.demand import Throughput

GATE = "load"

_NOTHING = Throughput(requests_per_second=0.0, tokens_per_second=0.0)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What each replica of a colour carries within the limits."""

    search: Search
    users: Throughput = _NOTHING
    """What each replica served to users meanwhile."""

    @property
    def lowest(self) -> Throughput:
        """What it carries for certain."""
        return self._with_users(self.search.knee)

    @property
    def highest(self) -> Throughput:
        """What it may carry. Infinite when no limit was reached."""
        search = self.search
        if search.is_complete:
            return self.lowest
        if search.saturated is None:
            return Throughput(requests_per_second=math.inf, tokens_per_second=math.inf)
        beyond = self._with_users(search.saturated)
        return Throughput(
            requests_per_second=max(self.lowest.requests_per_second, beyond.requests_per_second),
            tokens_per_second=max(self.lowest.tokens_per_second or 0.0, beyond.tokens_per_second or 0.0),
        )

    def _with_users(self, level: Level | None) -> Throughput:
        own = _NOTHING if level is None else level.per_replica
        return Throughput(
            requests_per_second=own.requests_per_second + self.users.requests_per_second,
            tokens_per_second=(own.tokens_per_second or 0.0) + (self.users.tokens_per_second or 0.0),
        )


def percent_of(carried: Throughput, replicas: int, needed: Throughput) -> float:
    """Return how much of what is needed replicas carry, in percent: of requests or of tokens, whichever is less.

    Both count: answers that the check cuts short, or users' answers that are shorter than the check's, would make one
    of them look too good.
    """
    shares = [
        100 * replicas * (per_replica / wanted)
        for per_replica, wanted in (
            (carried.requests_per_second, needed.requests_per_second),
            (carried.tokens_per_second, needed.tokens_per_second),
        )
        if per_replica is not None and wanted
    ]
    return min(shares, default=0.0)


def judge_load(
    candidate: Capacity,
    active: Capacity | None,
    peak: Throughput | None,
    settings: LoadSettings,
    *,
    full_replicas: int,
    prompts: str,
) -> GateVerdict:
    """Judge the candidate.

    Args:
        candidate: what the candidate carries.
        active: what the active colour carries. None when it was not measured.
        peak: the service's peak. None when Prometheus has none.
        settings: what is required.
        full_replicas: how many replicas the candidate has at its full size.
        prompts: which prompts were sent.
    """
    parts = [_about_knee(candidate.search)]
    found: list[tuple[Verdict, str]] = []
    evidence: dict[str, float | int | str | None] = {"prompts": prompts, **_evidence(candidate, "")}
    if peak is not None:
        low, high = (percent_of(one, full_replicas, peak) for one in (candidate.lowest, candidate.highest))
        evidence |= {
            "full_replicas": full_replicas,
            "peak_requests_per_second": round(peak.requests_per_second, 2),
            "peak_tokens_per_second": _rounded(peak.tokens_per_second),
            "percent_of_peak": round(low, 1),
        }
        carries = (
            f"{_range(low, high)} % of the peak of {peak.requests_per_second:.3g} requests/s "
            f"with {full_replicas} replicas"
        )
        if (required := settings.required_percent_of_peak) is None:
            parts.append(f"carries {carries}")
        else:
            found.append((_verdict(low >= required, high < required), f"carries {carries} (required {required:g} %)"))
    elif settings.required_percent_of_peak is not None:
        found.append((Verdict.INCONCLUSIVE, "Prometheus has no requests of users to compare with"))
    if active is not None:
        evidence |= _evidence(active, "active_")
        least, most = _drops(candidate, active)
        evidence["throughput_drop_percent"] = round(most, 1) if math.isfinite(most) else None
        drop = f"{_range(least, most)} % less for each replica than the active colour"
        if (limit := settings.max_throughput_drop_percent) is None:
            parts.append(drop)
        else:
            found.append((_verdict(most <= limit, least > limit), f"{drop} (limit {limit:g} %)"))
    verdict = _worst([one for one, _ in found])
    parts += [text for _, text in found]
    searches = [candidate.search, *([] if active is None else [active.search])]
    if verdict is Verdict.INCONCLUSIVE:
        parts += [f"the search was cut by {search.cut}" for search in searches if search.cut]
    reason = "; ".join(parts)
    return GateVerdict(gate=GATE, verdict=verdict, reason=reason, evidence=evidence, dry_run=settings.dry_run)


def _verdict(good: bool, bad: bool) -> Verdict:
    return Verdict.PASS if good else Verdict.FAIL if bad else Verdict.INCONCLUSIVE


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return next((one for one in (Verdict.FAIL, Verdict.INCONCLUSIVE) if one in verdicts), Verdict.PASS)


def _drops(candidate: Capacity, active: Capacity) -> tuple[float, float]:
    """Return by how much less each replica carries, in percent: at least, and at most."""
    least = 100 - percent_of(candidate.highest, 1, active.lowest) if active.lowest.requests_per_second else 0.0
    most = math.inf
    if math.isfinite(active.highest.requests_per_second) and active.highest.requests_per_second:
        most = 100 - percent_of(candidate.lowest, 1, active.highest)
    return least, max(least, most)


def _about_knee(search: Search) -> str:
    knee, beyond = search.knee, search.saturated
    why = "" if beyond is None else beyond.beyond(search.limits)
    if knee is None:
        return f"no load is within the limits: with {beyond.concurrency} open requests, {why}" if beyond else "no level"
    served = knee.per_replica
    at_least = "" if search.is_complete else "at least "
    text = (
        f"{at_least}{served.requests_per_second:.3g} requests/s and {served.tokens_per_second or 0:.3g} tokens/s for "
        f"each replica, with {knee.concurrency} open requests on {knee.replicas} replicas"
    )
    return f"{text}; with {beyond.concurrency}, {why}" if beyond else text


def _evidence(capacity: Capacity, of_whom: str) -> dict[str, float | int | str | None]:
    search, knee = capacity.search, capacity.search.knee
    served = _NOTHING if knee is None else knee.per_replica
    return {
        f"{of_whom}requests_per_second_per_replica": round(served.requests_per_second, 3),
        f"{of_whom}tokens_per_second_per_replica": _rounded(served.tokens_per_second),
        f"{of_whom}concurrency": None if knee is None else knee.concurrency,
        f"{of_whom}replicas": None if knee is None else knee.replicas,
        f"{of_whom}ttft_p95_seconds": None if knee is None else _rounded(knee.ttft_p95_seconds),
        f"{of_whom}inter_token_p95_seconds": None if knee is None else _rounded(knee.inter_token_p95_seconds),
        f"{of_whom}levels": "; ".join(level.text for level in search.levels),
        f"{of_whom}load_requests": search.requests,
        f"{of_whom}load_tokens": search.tokens,
        f"{of_whom}load_seconds": round(search.seconds, 1),
        **({f"{of_whom}cut_by": search.cut} if search.cut else {}),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else round(value, 4)


def _range(low: float, high: float) -> str:
    if math.isinf(high):
        return "any" if math.isinf(low) else f"at least {low:.0f}"
    if math.isinf(low):
        return f"at most {high:.0f}"
    return f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
