"""The drill: sends one percent of traffic to the idle colour and back, to test that a rollback works and how fast.

It runs while the idle colour is kept warm after a promotion, so the one percent goes to the former release, which users
know. The drill moves the weight as a ramp does, and undoes it as a rollback does.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from components.domain.naming import Color, other_color
from rollout.gates.attestation import attest_idle, attest_routing
from rollout.gates.changes import Proof, RoutingChange
from rollout.model.plan import full_weight_of, green_weight_for
from rollout.model.records import Drilled, RuleChanged
from rollout.model.rule import Routing
from rollout.ports import Ports
from rollout.statistics.measurements import PeriodRequests
from rollout.steps.rollback import restore_traffic, set_rule
from rollout.steps.updates import Updater

PERCENT: Final = 1


def practise(ports: Ports, updater: Updater) -> Drilled:
    """Send one percent to the idle colour, attest it, send it back as a rollback does, and return the measurements.

    Traffic goes back even if a part fails.

    Raises:
        RolloutError: a part of the drill failed. The message says which.
    """
    settings = ports.config.read()
    active = settings.active_color
    idle = other_color(active)
    full, one = full_weight_of(active), green_weight_for(idle, PERCENT)
    # Requests from before the promotion, counted only now that they end, would look like the one percent.
    attest_idle(ports, idle, since=ports.rule_changed_at)
    try:
        updater.change_weight(one, message=f"drill: {PERCENT} % of requests to {idle}")
        change = RoutingChange(
            candidate=idle,
            name=f"{PERCENT} %",
            routing=Routing(green_weight=one, active_color=active),
            previous_percent=0,
            intended_percent=PERCENT,
            proof=Proof.SHARE if settings.cohort_names else Proof.SPLIT,
            since=ports.clock.now(),
        )
        ports.journal.write(RuleChanged(green_weight=one, how="up"))
        attest_routing(ports, change)
    except BaseException:
        restore_traffic(ports, updater, green_weight=full, active_color=active, reason="a drill that failed")
        raise
    ports.shield()
    decided = ports.clock.monotonic()
    set_rule(ports, Routing(green_weight=full, active_color=active))
    set_at, rule_seconds = ports.clock.now(), ports.clock.monotonic() - decided
    restore_traffic(ports, updater, green_weight=full, active_color=active, reason="drill", sent_back=True)
    reconciled_seconds = ports.clock.monotonic() - decided
    attest_idle(ports, idle, since=set_at)
    last_seconds, resolution_seconds = _last_request(ports, idle, set_at)
    measured = Drilled(
        color=idle,
        decision_to_rule_seconds=round(rule_seconds, 4),
        rule_to_last_request_seconds=last_seconds,
        resolution_seconds=resolution_seconds,
        decision_to_agreement_seconds=round(reconciled_seconds, 3),
    )
    ports.journal.write(measured)
    return measured


def _last_request(ports: Ports, color: Color, since: datetime) -> tuple[float, float]:
    """Return an upper bound of how long clients still reached a colour, and its resolution, both in seconds."""
    length = timedelta(seconds=ports.config.read().rollout.cloudwatch_period_seconds)
    periods: Sequence[PeriodRequests] = ports.target_group_metrics.by_period(since - length, ports.clock.now())
    ends = [
        period.end
        for period in periods
        if period.end > since and period.requests[color] > ports.route.sent(color, period.start, period.end)
    ]
    last = max(ends, default=since)
    return round((last - since).total_seconds(), 3), length.total_seconds()
