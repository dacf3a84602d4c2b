"""The metric gates of a hold or a soak: measure both colours over a window, and judge the figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, cached_property
from statistics import median

from components.config.settings import ServiceSettings
from components.domain.naming import Color
from rollout.gates.comparisons import GATES, LATENCIES, PodComparison, errors_compared, latency
from rollout.gates.cost import GATE as COST
from rollout.gates.cost import Answers, Prices, answers, judge_cost, only_shown
from rollout.gates.disputes import FEWEST, NO_DISPUTE, BothSources, Dispute, settle
from rollout.gates.probes import Probes
from rollout.gates.slices import Between, GateSlices, judge_sample, share
from rollout.gates.verdicts import (
    BALANCED_TESTS,
    QUANTILE,
    BalancerErrors,
    Queue,
    Thresholds,
    judge_abandoned,
    judge_balancer_errors,
    judge_error_rate,
    judge_queue,
    judge_response_times,
    judge_targets,
    require_client_traffic,
)
from rollout.model.plan import Plan
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Ports
from rollout.statistics.means import FEWEST as FEWEST_ANSWERS
from rollout.statistics.measurements import Counters, Period, Sample, sample
from rollout.statistics.sequential import preload
from rollout.system.failures import describe_error

TARGET_GROUP_ERRORS = "target_group_errors"
TARGET_GROUP_LATENCY = "target_group_latency"

# How far back preflight measures the outgoing colour's usual latency.
BASELINE_WINDOW = timedelta(seconds=600)
# How far back the outgoing colour is looked at for what depends on the service and not on the step. At the last steps
# it has had no traffic for a while.
LONG_WINDOW = timedelta(hours=1)


def measure_baseline(ports: Ports, color: Color, minimum_requests: int) -> dict[str, float]:
    """Return a colour's recent p95 in seconds, by gate, for the gates with enough requests.

    Also imports the libraries for the verdicts, so that no verdict waits for them later.

    Raises:
        RolloutError: Prometheus does not answer.
    """
    preload()
    now = ports.clock.now()
    before, after = ports.metrics.counters(now - BASELINE_WINDOW), ports.metrics.counters(now)
    periods = ports.target_group_metrics.periods(now - BASELINE_WINDOW, now)[color]
    return _p95s(sample(before[color], after[color]), minimum_requests) | _response_p95(periods, minimum_requests)


def _p95s(seen: Sample | None, minimum_requests: int) -> dict[str, float]:
    histograms = {gate: latency(seen, gate) for gate in LATENCIES}
    quantiles = {
        gate: one.quantile(QUANTILE) for gate, one in histograms.items() if one and one.count >= minimum_requests
    }
    return {gate: p95 for gate, p95 in quantiles.items() if p95 is not None}


def _response_p95(periods: Sequence[Period], minimum_requests: int) -> dict[str, float]:
    p95s = [period.p95_seconds for period in periods if period.p95_seconds is not None]
    if not p95s or sum(period.requests for period in periods) < minimum_requests:
        return {}
    return {TARGET_GROUP_LATENCY: median(p95s)}


class Gates:
    """Judges the candidate over one window."""

    def __init__(
        self,
        ports: Ports,
        plan: Plan,
        settings: ServiceSettings,
        known_p95_seconds: Mapping[str, float],
        *,
        hold_seconds: float,
        candidate_percent: float,
        with_cohorts: bool = False,
        opened: datetime | None = None,
    ) -> None:
        """Begin to judge.

        Args:
            ports: the ports.
            plan: the plan, whose candidate is judged.
            settings: the service's settings, with the limits.
            known_p95_seconds: the outgoing colour's p95 by gate, for a window in which it has too little traffic.
            hold_seconds: how long the window is meant to stay open from now on.
            candidate_percent: the candidate's share of requests in this window, by its weight.
            with_cohorts: whether cohorts are on the candidate, too. Their share is what is counted.
            opened: when the window opened. None for now.
        """
        self._ports = ports
        self._plan = plan
        self._settings = settings
        self._limits = settings.rollout.gates
        self._price_of_replicas = cache(settings.price_of_replicas)  # every look asks for the same
        self._thresholds = Thresholds(
            minimum_requests=self._limits.minimum_requests, false_alarm_rate=self._limits.false_alarm_rate
        )
        self._known_p95_seconds = known_p95_seconds
        now = ports.clock.now()
        self._opened = min(opened or now, now)  # The clock may have been set back.
        self._open_before_seconds = (now - self._opened).total_seconds()
        self._began_monotonic = ports.clock.monotonic()
        self._start: Mapping[Color, Counters] | None = None
        self._comparison: PodComparison | None = None
        self._labels = frozenset(self._limits.slice_labels.values())
        self._slices: Mapping[str, GateSlices] = {}
        self._waiting: list[tuple[float, float | None]] = []
        self._waiting_since = 0.0
        self._clients: int | None = None
        self._balanced: Mapping[Color, Sequence[Period]] | None = None
        self._candidate_percent = candidate_percent
        self._cohorts = with_cohorts
        self._probes = Probes(
            ports,
            plan,
            settings.rollout,
            deadline_seconds=self._open_before_seconds + hold_seconds + plan.max_hold_extension_seconds,
        )
        self.outgoing_p95_seconds: dict[str, float] = {}
        """The outgoing colour's p95 over this window so far, by gate, for the gates with enough requests."""

    @property
    def elapsed_seconds(self) -> float:
        """How long the window has been judged, in seconds."""
        return self._ports.clock.monotonic() - self._began_monotonic

    @property
    def _open_seconds(self) -> float:
        return self._open_before_seconds + self.elapsed_seconds

    def judge(self) -> tuple[GateVerdict, ...]:
        """Judge once. If a source does not answer, its gates are inconclusive."""
        now = self._ports.clock.now()
        self._clients = self._balanced = None
        limits = self._limits
        watched = {
            "error_rate": limits.error_rate.dry_run,
            "abandoned": limits.abandoned.dry_run,
            **{gate: getattr(limits, gate).dry_run for gate in LATENCIES},
            "queue_depth": limits.queue_depth.dry_run,
            COST: only_shown(limits.cost),
        }
        balanced = {
            TARGET_GROUP_ERRORS: limits.target_group_errors.dry_run,
            TARGET_GROUP_LATENCY: limits.target_group_latency.dry_run,
        }
        target_group = _asked(balanced, lambda: self._judge_target_group(now))
        verdicts = (
            *_asked({"targets": False}, self._judge_targets),
            *_asked(watched, lambda: self._judge_pods(now)),
            *target_group,
        )
        if self._clients is not None:
            self._probes.fill(self._clients, self._open_seconds)
        return verdicts

    def _judge_targets(self) -> tuple[GateVerdict]:
        candidate = self._plan.candidate
        health = self._ports.load_balancer.health(candidate)
        more, wanted = self._settings.autoscaling is not None, self._settings.color(candidate).wanted_replicas
        return (judge_targets(health, wanted, more_may_start=more),)

    def _judge_pods(self, now: datetime) -> tuple[GateVerdict, ...]:
        plan, limits, thresholds = self._plan, self._limits, self._thresholds
        if self._start is None or self._comparison is None:
            # The query is for the time of opening, so the first answer may come late.
            start = self._counters(self._opened)
            self._comparison = PodComparison(start, plan.candidate, plan.outgoing, limits)
            if self._labels:
                colors, before = Between(candidate=plan.candidate, active=plan.outgoing), self._counters_before
                self._slices = {
                    gate: GateSlices(gate, label, colors, limits, before, start)
                    for gate, label in limits.slice_labels.items()
                }
            self._start = start
        end = self._counters(now)
        mine, other = (sample(self._start[color], end[color]) for color in (plan.candidate, plan.outgoing))
        self.outgoing_p95_seconds |= _p95s(other, thresholds.minimum_requests)
        compared = self._comparison.look(end)
        dispute = self._dispute(mine, end[plan.outgoing])
        sampled = {
            gate: judge_sample(
                gate,
                mine,
                other,
                compared[gate],
                self._known_p95_seconds.get(gate),
                limits,
                thresholds.shared(share(0)) if gate in self._slices else thresholds,
                dispute,
            )
            for gate in ("error_rate", *LATENCIES)
        }
        abandoned = judge_abandoned(
            "abandoned",
            _abandoned(mine),
            _abandoned(other),
            compared["abandoned"],
            self._usually_abandoned_percent(other, end[plan.outgoing]),
            limits.abandoned,
            thresholds,
        )
        queue = judge_queue("queue_depth", self._queue(end, other), limits.queue_depth)

        def finish(verdict: GateVerdict) -> GateVerdict:
            if self._clients is None:
                # The load balancer does not answer, but the pods' metrics can still stop a bad candidate.
                return verdict
            return require_client_traffic(verdict, self._clients, self._probes.sent, thresholds)

        judged = {gate: finish(verdict) for gate, verdict in {**sampled, "abandoned": abandoned}.items()}
        judged |= {gate: one.judge(judged[gate], end, dispute, finish) for gate, one in self._slices.items()}
        return (*(judged[gate] for gate in GATES), queue, finish(self._judge_cost(end)))

    def _judge_cost(self, now: Mapping[Color, Counters]) -> GateVerdict:
        plan, cost, start = self._plan, self._limits.cost, self._start or now
        colors = (plan.candidate, plan.outgoing)
        prices = tuple(self._prices(color, now[color]) for color in colors)
        seen = [self._answers(start[color], now[color]) for color in colors]
        requests = sum(one.per_request.count for one in seen if one is not None and one.per_request is not None)
        mine, other = seen
        if other is not None and (other.per_request is None or other.per_request.count < FEWEST_ANSWERS):
            before = self._answers(self._counters_before[plan.outgoing], now[plan.outgoing])
            other = replace(other, per_request=None if before is None else before.per_request)
        known = None if prices[0] is None or prices[1] is None else (prices[0], prices[1])
        lasted = timedelta(seconds=self._open_seconds)
        return judge_cost(mine, other, known, requests, lasted, cost, self._thresholds)

    def _answers(self, start: Counters, end: Counters) -> Answers | None:
        return answers(start, end, probes=self._probes.sent, probe_tokens=self._limits.probes.max_tokens)

    def _prices(self, color: Color, now: Counters) -> Prices | None:
        settings = self._settings
        full = settings.color(color).replicas
        varies = settings.autoscaling is not None or settings.capacity is not None
        prices = [self._price_of_replicas(color, number) for number in (full, now.pods if varies else full)]
        if prices[0] is None or prices[1] is None:
            return None
        return Prices(at_full_size=prices[0], as_served=prices[1])

    def _dispute(self, mine: Sample | None, outgoing: Counters) -> Dispute:
        """Ask whether the load balancer contradicts the pods. Without its counts, the pods' are taken as they are."""
        if mine is None or self._balanced is None or max(mine.server_errors, mine.aborts) < FEWEST:
            return NO_DISPUTE
        other = self._long_sample(outgoing)
        if other is None:
            return NO_DISPUTE
        candidate, outgoing_color = self._plan.candidate, self._plan.outgoing
        balanced = [*self._periods_before[outgoing_color], *self._balanced[outgoing_color]]
        return settle(_both(mine, self._balanced[candidate]), _both(other, balanced))

    def _usually_abandoned_percent(self, other: Sample | None, outgoing: Counters) -> float | None:
        """Return the outgoing colour's share from before, for a window in which it has too little traffic."""
        fewest = self._thresholds.minimum_requests
        if other is not None and other.begun >= fewest:
            return None
        seen = self._long_sample(outgoing)
        if seen is None or seen.abandoned is None or seen.begun < fewest:
            return None
        return 100 * seen.abandoned / seen.begun

    def _long_sample(self, outgoing: Counters) -> Sample | None:
        return sample(self._counters_before[self._plan.outgoing], outgoing)

    @cached_property
    def _counters_before(self) -> Mapping[Color, Counters]:
        return self._counters(self._opened - LONG_WINDOW)

    @cached_property
    def _periods_before(self) -> Mapping[Color, Sequence[Period]]:
        return self._ports.target_group_metrics.periods(self._opened - LONG_WINDOW, self._opened)

    @cached_property
    def _balancer_before(self) -> BalancerErrors:
        before = self._periods_before
        return _of_balancer(before[self._plan.candidate], before[self._plan.outgoing])

    def _counters(self, at: datetime) -> Mapping[Color, Counters]:
        return self._ports.metrics.counters(at, self._labels)

    def _queue(self, now: Mapping[Color, Counters], outgoing: Sample | None) -> Queue | None:
        mine = now[self._plan.candidate].waiting_per_replica
        if mine is None:
            return None
        if not self._waiting:
            self._waiting_since = self.elapsed_seconds
        self._waiting.append((mine, now[self._plan.outgoing].waiting_per_replica))
        others = [other for _, other in self._waiting if other is not None]
        busy = outgoing is not None and outgoing.requests >= self._thresholds.minimum_requests
        return Queue(
            candidate=sum(one for one, _ in self._waiting) / len(self._waiting),
            active=sum(others) / len(others) if others and busy else None,
            readings=len(self._waiting),
            seconds=self.elapsed_seconds - self._waiting_since,
        )

    def _judge_target_group(self, now: datetime) -> tuple[GateVerdict, ...]:
        plan, limits, thresholds = self._plan, self._limits, self._thresholds
        periods = self._ports.target_group_metrics.periods(self._opened, now)
        mine, other = periods[plan.candidate], periods[plan.outgoing]
        self._balanced = periods
        counted = sum(period.requests for period in mine)
        own = self._ports.route.sent(plan.candidate, self._opened, now)
        self._clients = max(0, counted - own)
        self.outgoing_p95_seconds |= _response_p95(other, thresholds.minimum_requests)
        increase = limits.target_group_errors.increase_limit_points / 100
        errors = judge_error_rate(
            TARGET_GROUP_ERRORS,
            _failed(mine) if counted else None,
            _failed(other),
            errors_compared(mine, other, increase),
            limits.target_group_errors,
            thresholds,
            tests=BALANCED_TESTS,
        )
        times = judge_response_times(
            TARGET_GROUP_LATENCY,
            mine,
            other,
            self._known_p95_seconds.get(TARGET_GROUP_LATENCY),
            limits.target_group_latency,
            thresholds,
        )
        errors, times = (
            require_client_traffic(verdict, self._clients, self._probes.sent, thresholds) for verdict in (errors, times)
        )
        return (self._with_balancer_errors(errors, mine, other), times)

    def _with_balancer_errors(
        self, verdict: GateVerdict, mine: Sequence[Period], other: Sequence[Period]
    ) -> GateVerdict:
        if self._settings.listener is not None:
            return verdict  # the load balancer counts the errors of others, too
        seen, percent = _of_balancer(mine, other), self._candidate_percent
        if self._cohorts:
            counted = [sum(period.requests for period in periods) for periods in (mine, other)]
            percent = 100 * counted[0] / sum(counted) if sum(counted) else percent
        limits = self._limits.target_group_errors
        return judge_balancer_errors(verdict, seen, self._balancer_before, percent, limits, self._thresholds)


def _abandoned(of: Sample | None) -> tuple[int, int] | None:
    return None if of is None or of.abandoned is None else (of.begun, of.abandoned)


def _both(pods: Sample, periods: Sequence[Period]) -> BothSources:
    requests, errors = _balanced(periods)
    return BothSources(pods=pods, balanced_requests=requests, balanced_errors=errors)


def _balanced(periods: Sequence[Period]) -> tuple[int, int]:
    requests = sum(period.requests for period in periods)
    return requests, min(requests, sum(period.server_errors for period in periods))


def _failed(periods: Sequence[Period]) -> tuple[int, int]:
    requests = sum(period.requests for period in periods)
    return requests, min(requests, sum(period.failed for period in periods))


def _of_balancer(mine: Sequence[Period], other: Sequence[Period]) -> BalancerErrors:
    """Return the load balancer's own errors, without those that are counted as a target group's failed connections."""
    periods = [*mine, *other]
    errors = sum(period.balancer_errors for period in mine) - sum(period.connection_errors for period in periods)
    # A request that no target could be chosen for is not counted as a request.
    return BalancerErrors(requests=sum(period.requests for period in periods) + max(0, errors), errors=max(0, errors))


def _asked(gates: Mapping[str, bool], ask: Callable[[], tuple[GateVerdict, ...]]) -> tuple[GateVerdict, ...]:
    """Return the verdicts of the gates that depend on one source. ``gates`` says of each whether it is a dry run."""
    try:
        return ask()
    except Exception as error:  # a source that fails is no evidence that the candidate is well
        reason = f"no answer: {describe_error(error)}"
        return tuple(
            GateVerdict(gate=gate, verdict=Verdict.INCONCLUSIVE, reason=reason, dry_run=dry_run)
            for gate, dry_run in gates.items()
        )
