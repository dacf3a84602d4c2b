"""Attestation: wait until the load balancer applies the weight that the rule says, or until the time is up.

The API returns the requested weight, not the one that the load balancer's nodes apply. They apply a new weight some
time later: targets have been reported to get requests after the API had set their weight to 0.
https://github.com/argoproj/argo-rollouts/issues/4595

So a weight is in effect when the rule reads as intended twice, the candidate's targets are healthy, and the requests
that the load balancer counted follow the weight (see ``statistics/split_test.py``; ``adapters/aws/cloudwatch.py``
explains why these counts, and ``changes.py`` what they must show where there are cohorts). The journal records what
attestation waits for, each time that this changes.

AWS does not document whether the load balancer counts a request when it begins or when it ends. Both must give the
right result:

- A weight: counted at their end, the first requests after a change are those that began before it. They follow the
  previous split or an earlier one of the ramp, which is further from the intended one, so they only delay the proof.
- Idleness: a request is counted at the latest when it ends, after ``max_stream_seconds`` at most. So without requests
  for at least that long, there is none that was sent before and not counted yet.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from components.config.settings import ServiceSettings
from components.domain.naming import Color, other_color
from rollout.gates.changes import COHORT_TOLERANCE, CountedShare, Proof, RoutingChange
from rollout.gates.verdicts import judge_targets
from rollout.model.errors import RolloutError, UnavailableError
from rollout.model.records import Attested, Note
from rollout.model.rule import Routing
from rollout.model.verdict import Verdict
from rollout.ports import Ports
from rollout.statistics.measurements import PeriodRequests
from rollout.statistics.split_test import TOLERANCE, PeriodCounts, Split, SplitOutcome, SplitResult, examine
from rollout.system.failures import describe_error
from rollout.system.waits import waiting

READS = 2
RULE_PATIENCE_SECONDS = 60.0
"""The API shows a change within seconds. If it does not show within this time, somebody has undone it."""
LONGEST_PAUSE_SECONDS = 5.0
PUBLISHED_WITHIN_PERIODS = 10
"""Do not wait for counts that are published later than this: they say little about the present."""

COHORT_REQUESTS = 5
"""Client requests on a candidate that got none before, which show that a cohort's rule is in effect."""

CLIENTS_SEEN = "requests"
"""The cause of waiting for an idle colour while clients' requests still reach it."""


class AttestationTimeoutError(RolloutError):
    """The time is up without evidence that the weight is in effect. It may or may not be.

    ``cause`` names what attestation waited for last.
    """

    def __init__(self, message: str, cause: str = "") -> None:
        """Keep the cause."""
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class _Wait:
    """What an attestation waits for: the cause's fixed name, and a description with the current figures."""

    cause: str
    words: str


def attest_routing(ports: Ports, change: RoutingChange) -> None:
    """Wait until a weight is in effect, or a cohort's requests go to the candidate.

    Raises:
        AttestationTimeoutError: there were too few requests, or they follow another split.
        RolloutError: a rule is no longer as intended, or the load balancer's API does not answer.
    """
    settings = ports.config.read()
    ports.journal.write(Note(text=_plan_text(change, settings)))
    _await(ports, settings, change.routing, lambda: _in_effect(ports, settings, change))


def _plan_text(change: RoutingChange, settings: ServiceSettings) -> str:
    where = f"attesting {change.name} to {change.candidate}"
    error_percent = settings.rollout.attestation.error_percent
    match change.proof:
        case Proof.SPLIT | Proof.SHARE:
            split = _split(change, settings)
            expected = "" if change.proof is Proof.SPLIT else f", {split.intended_percent:.1f} % with its cohorts,"
            return (
                f"{where}{expected} takes about {split.expected_requests} requests once it is in effect; chance of a "
                f"wrong attestation at most {error_percent:g} %"
            )
        case Proof.COHORT:
            return f"{where} takes {COHORT_REQUESTS} requests of the cohort there"
        case Proof.RULES:
            return (
                f"{where}: the rule is read, and settle_seconds are waited for. The counts cannot show it: other "
                "requests of cohorts reach the candidate, and their share varies by as much"
            )


def _split(change: RoutingChange, settings: ServiceSettings) -> Split:
    return Split(
        previous_percent=change.previous_percent,
        intended_percent=change.intended_percent,
        error_percent=settings.rollout.attestation.error_percent,
        tolerance=TOLERANCE if change.proof is Proof.SPLIT else COHORT_TOLERANCE,
    )


def attest_idle(ports: Ports, color: Color, *, since: datetime | None, quiet_seconds: float | None = None) -> None:
    """Wait until the load balancer has counted no client request to a colour for a while.

    Args:
        ports: the ports.
        color: the colour without weight.
        since: when the colour lost its weight. None when that was long ago.
        quiet_seconds: how long there must be no requests. None for the deregistration delay, which is longer than a
            request may take.

    Raises:
        AttestationTimeoutError: client requests still reach the colour, or there is no data.
        RolloutError: the colour has weight.
    """
    settings = ports.config.read()
    routing = Routing(green_weight=0 if color == "green" else 100, active_color=other_color(color))
    delay_seconds = settings.drain_chain.deregistration_delay_seconds if quiet_seconds is None else quiet_seconds
    # The last requests may be counted when they end, and only then does the quiet time begin.
    _await(
        ports,
        settings,
        routing,
        lambda: _idle(ports, settings, color, since, delay_seconds),
        longer_seconds=settings.max_stream_seconds + delay_seconds,
    )


def _await(
    ports: Ports,
    settings: ServiceSettings,
    routing: Routing,
    look: Callable[[], _Wait | Attested],
    *,
    longer_seconds: float = 0.0,
) -> None:
    """Look until the rule has read as intended twice and there is evidence, then record the evidence."""
    timeout_seconds = settings.rollout.attestation.timeout_seconds + longer_seconds
    what = f"the load balancer's counts to agree with {routing}"
    with waiting(what, at_most_seconds=timeout_seconds):
        _look(ports, settings, routing, look, timeout_seconds)


def _look(
    ports: Ports,
    settings: ServiceSettings,
    routing: Routing,
    look: Callable[[], _Wait | Attested],
    timeout_seconds: float,
) -> None:
    began = agreed = ports.clock.monotonic()
    reads, noted = 0, ""
    while True:
        now = ports.clock.monotonic()
        try:
            rule = ports.load_balancer.rule()
            now = ports.clock.monotonic()
            if rule.follows(routing):
                reads, agreed = reads + 1, now
                seen = look()
            else:
                reads = 0
                seen = _Wait(cause="rule", words=f"the rule {rule}")
        except UnavailableError as error:
            reads, agreed = 0, now
            seen = _Wait(cause="load balancer", words=f"the load balancer's API does not answer: {error}")
        if now - agreed >= RULE_PATIENCE_SECONDS and isinstance(seen, _Wait):
            raise RolloutError(f"{routing} could not be attested: {seen.words} for {RULE_PATIENCE_SECONDS:.0f} s")
        if not isinstance(seen, _Wait):
            if reads >= READS:
                ports.journal.write(seen)
                return
        elif now - began >= timeout_seconds:
            raise AttestationTimeoutError(
                f"{routing} could not be attested within {timeout_seconds:g} s: {seen.words}",
                seen.cause,
            )
        elif seen.cause != noted:
            ports.journal.write(Note(text=f"waiting: {seen.words}"))
            noted = seen.cause
        ports.clock.sleep(min(settings.rollout.poll_seconds, LONGEST_PAUSE_SECONDS))


def _in_effect(ports: Ports, settings: ServiceSettings, change: RoutingChange) -> _Wait | Attested:
    health = ports.load_balancer.health(change.candidate)
    more, wanted = settings.autoscaling is not None, settings.color(change.candidate).wanted_replicas
    targets = judge_targets(health, wanted, more_may_start=more)
    if targets.verdict is not Verdict.PASS:
        return _Wait(cause="targets", words=f"{targets.reason} in the target group of {change.candidate}")
    now = ports.clock.now()
    try:
        periods = _client_requests(ports, change.candidate, change.since, now)
    except Exception as error:  # a failed read is no evidence that the weight is in effect
        return _Wait(cause="metrics", words=f"the load balancer's counts cannot be read: {describe_error(error)}")
    attested = _examined(periods, settings, change, now)
    settled = change.since + timedelta(seconds=settings.rollout.settle_seconds)
    if isinstance(attested, Attested) and now < settled:
        return _Wait(cause="settle", words=f"nothing contradicts it; settle_seconds end at {settled:%H:%M:%S}")
    return attested.model_copy(update={"healthy": health.healthy}) if isinstance(attested, Attested) else attested


def _examined(
    periods: Sequence[PeriodCounts], settings: ServiceSettings, change: RoutingChange, now: datetime
) -> _Wait | Attested:
    """Return what the counts since the change show."""
    seen = sum(period.candidate for period in periods)
    requests = seen + sum(period.other for period in periods)
    if change.proof is Proof.COHORT and seen < COHORT_REQUESTS:
        words = f"{seen} of {COHORT_REQUESTS} requests of the cohort {change.cohort} have reached {change.candidate}"
        return _Wait(cause="cohort", words=words)
    if change.proof in (Proof.SPLIT, Proof.SHARE):
        split = _split(change, settings)
        result = examine(split, periods)
        if result.outcome is not SplitOutcome.AGREES:
            elapsed_seconds = (now - change.since).total_seconds()
            return _Wait(cause=result.outcome, words=_words(result, split, change, elapsed_seconds))
        seen, requests = result.candidate_requests, result.requests
    proven = change.proof in (Proof.SPLIT, Proof.SHARE)
    return Attested(
        color=change.candidate,
        intended_percent=_weight_of(change.candidate, change.routing),
        previous_percent=round(change.previous_percent) if proven else None,
        requests=requests,
        candidate_requests=seen,
        candidate_percent=_rounded(100 * seen / requests if requests else None),
        error_percent=settings.rollout.attestation.error_percent if proven else None,
        cohort=change.cohort,
        proof=change.proof,
    )


def _weight_of(candidate: Color, routing: Routing) -> int:
    return routing.green_weight if candidate == "green" else 100 - routing.green_weight


def _words(result: SplitResult, split: Split, change: RoutingChange, elapsed_seconds: float) -> str:
    seen = f"{result.candidate_requests} of {result.requests} requests"
    match result.outcome:
        case SplitOutcome.PREVIOUS:
            return (
                f"{seen} went to {change.candidate}, as before the change ({change.previous_percent:g} %): the load "
                "balancer does not apply it yet"
            )
        case SplitOutcome.NEITHER:
            return (
                f"{seen} went to {change.candidate}, which is neither {change.intended_percent:g} % nor the "
                f"{change.previous_percent:g} % before: is stickiness on, or did somebody else change the weights?"
            )
        case _:
            rate = result.requests / elapsed_seconds if elapsed_seconds > 0 else 0.0
            left = max(split.expected_requests - result.requests, 0)
            when = f", in about {left / rate:.0f} s at this rate" if rate > 0 else ""
            return f"too few requests counted so far ({result.requests} of about {split.expected_requests}{when})"


def _idle(
    ports: Ports, settings: ServiceSettings, color: Color, since: datetime | None, delay_seconds: float
) -> _Wait | Attested:
    now, period_seconds = ports.clock.now(), settings.rollout.cloudwatch_period_seconds
    # Metrics are published late, so the latest complete periods stand for the ones that are still missing.
    latest = max(1, math.ceil(delay_seconds / period_seconds))
    start = now - timedelta(seconds=(latest + PUBLISHED_WITHIN_PERIODS) * period_seconds)
    try:
        periods = _client_requests(ports, color, start if since is None else max(since, start), now)[-latest:]
    except Exception as error:  # a failed read is no evidence that the colour is idle
        return _Wait(cause="metrics", words=f"the load balancer's counts cannot be read: {describe_error(error)}")
    if requests := sum(period.candidate for period in periods):
        return _Wait(
            cause=CLIENTS_SEEN,
            words=f"{requests} client requests went to {color} in the last {latest * period_seconds} s published",
        )
    if not periods:
        return _Wait(cause="no counts", words=f"the load balancer has not published its counts for {color}")
    if len(periods) < latest:
        known = f"{len(periods) * period_seconds} of {latest * period_seconds} s"
        return _Wait(
            cause="few counts", words=f"the load balancer has published its counts for {color} for {known} only"
        )
    return Attested(
        color=color,
        intended_percent=0,
        requests=sum(period.other for period in periods),
        candidate_requests=0,
        candidate_percent=0,
    )


def client_share(ports: Ports, candidate: Color, start: datetime, end: datetime) -> CountedShare | None:
    """Return a colour's share of the clients' requests in a window. None without requests.

    Raises:
        RolloutError: the load balancer's counts cannot be read.
    """
    periods = _client_requests(ports, candidate, start, end)
    mine = sum(period.candidate for period in periods)
    requests = mine + sum(period.other for period in periods)
    return CountedShare(percent=round(100 * mine / requests, 3), requests=requests) if requests else None


def _client_requests(ports: Ports, candidate: Color, start: datetime, end: datetime) -> Sequence[PeriodCounts]:
    """Return the requests of clients by period, without our own requests through the candidate route."""

    def of_clients(period: PeriodRequests, color: Color) -> int:
        return max(0, period.requests[color] - ports.route.sent(color, period.start, period.end))

    return [
        PeriodCounts(candidate=of_clients(period, candidate), other=of_clients(period, other_color(candidate)))
        for period in ports.target_group_metrics.by_period(start, end)
    ]


def _rounded(percent: float | None) -> float | None:
    return None if percent is None else round(percent, 3)
