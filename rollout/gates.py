"""The metric gates of a hold or a soak: opens a window, measures both colours over it, and has the figures judged."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from components.naming import Color
from components.settings import ServiceSettings
from rollout.failures import plain
from rollout.measurements import Counters, Sample, sample
from rollout.plan import Plan
from rollout.ports import Ports
from rollout.verdicts import (
    QUANTILE,
    GateVerdict,
    Verdict,
    judge_error_rate,
    judge_targets,
    judge_ttft,
    rest_on_clients,
)

# How far back preflight looks for the outgoing colour's usual latency.
BASELINE_WINDOW = timedelta(seconds=600)


def measure_baseline(ports: Ports, color: Color, minimum_requests: int) -> float | None:
    """Return a colour's p95 time to first token of late, in seconds; none with too few requests.

    Raises:
        RolloutError: Prometheus does not answer.
    """
    now = ports.clock.now()
    before, after = ports.metrics.counters(now - BASELINE_WINDOW), ports.metrics.counters(now)
    seen = sample(before[color], after[color])
    if seen is None or seen.ttft.count < minimum_requests:
        return None
    return seen.ttft.quantile(QUANTILE)


class Gates:
    """Judges the candidate over one window, from the moment it is made."""

    def __init__(
        self, ports: Ports, plan: Plan, settings: ServiceSettings, preflight_p95_seconds: float | None
    ) -> None:
        """Open the window now."""
        self._ports = ports
        self._plan = plan
        self._settings = settings
        self._limits = settings.rollout.gates
        self._preflight_p95_seconds = preflight_p95_seconds
        self._opened = ports.clock.now()
        self._opened_monotonic = ports.clock.monotonic()
        self._client_requests: int | None = None
        self._start: Mapping[Color, Counters] | None = None
        self.outgoing_p95_seconds: float | None = None
        """The outgoing colour's p95 over this window so far, once it had the minimum of requests."""

    @property
    def elapsed_seconds(self) -> float:
        """How long the window has been open."""
        return self._ports.clock.monotonic() - self._opened_monotonic

    def judge(self) -> tuple[GateVerdict, ...]:
        """Judge once. A source that does not answer makes its gates inconclusive, whatever it would have said."""
        now = self._ports.clock.now()
        self._client_requests = None
        target_group = _asked("target_group_errors", lambda: self._judge_target_group(now))
        return (
            _asked("targets", self._judge_targets)[0],
            *_asked("error_rate", lambda: self._judge_pods(now)),
            *target_group,
        )

    def _judge_targets(self) -> tuple[GateVerdict]:
        candidate = self._plan.candidate
        health = self._ports.load_balancer.health(candidate)
        return (judge_targets(health, self._settings.color(candidate).replicas),)

    def _judge_pods(self, now: datetime) -> tuple[GateVerdict, ...]:
        if self._start is None:
            # Asked for the instant of opening, so it does not matter that the first answer may come late.
            self._start = self._ports.metrics.counters(self._opened)
        end = self._ports.metrics.counters(now)
        seen: dict[Color, Sample | None] = {color: sample(self._start[color], end[color]) for color in end}
        candidate, outgoing = seen[self._plan.candidate], seen[self._plan.outgoing]
        counts = None if candidate is None else (candidate.requests, candidate.failed)
        if outgoing is not None and outgoing.ttft.count >= self._limits.minimum_requests:
            self.outgoing_p95_seconds = outgoing.ttft.quantile(QUANTILE)
        baseline = self.outgoing_p95_seconds or self._preflight_p95_seconds
        verdicts = (
            judge_error_rate("error_rate", counts, self._limits),
            judge_ttft(None if candidate is None else candidate.ttft, baseline, self._limits),
        )
        if self._client_requests is None:
            return verdicts  # The load balancer cannot be asked; what the pods say may still stop a bad candidate.
        return tuple(rest_on_clients(verdict, self._client_requests, self._limits) for verdict in verdicts)

    def _judge_target_group(self, now: datetime) -> tuple[GateVerdict]:
        counted = self._ports.target_group_metrics.counts(self._plan.candidate, self._opened, now)
        counts = None if counted is None else (counted.requests, counted.server_errors)
        self._client_requests = 0 if counted is None else counted.requests
        return (judge_error_rate("target_group_errors", counts, self._limits),)


def _asked(gate: str, ask: Callable[[], tuple[GateVerdict, ...]]) -> tuple[GateVerdict, ...]:
    try:
        return ask()
    except Exception as error:  # whatever a source fails with, it has not said that the candidate is well
        return (GateVerdict(gate=gate, verdict=Verdict.INCONCLUSIVE, reason=f"could not be asked: {plain(error)}"),)
