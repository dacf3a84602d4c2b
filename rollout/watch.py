"""The watch: checks the promoted colour while the old one is kept warm, and whether the old one could take over.

One look takes seconds and needs no lock, so it never keeps another command out. The evidence is kept from look to look
in the store of the journal. So a job that looks every ten minutes finds what a process that looks all the time would
find, with the same rate of false alarms (``statistics/onset.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

from components.config.settings import ServiceSettings
from components.domain.moments import format_rfc3339
from components.domain.naming import Color, other_color, pool_labels
from rollout.adapters.aws.cloudwatch import SILENT_PERIODS
from rollout.gates.verdicts import combine, judge_targets
from rollout.gates.watch import judge_looks, load_balancer_look, pods_look
from rollout.journal.looks import Looks
from rollout.model.errors import NotWarmError, RefusedError
from rollout.model.look import Look, WatchState
from rollout.model.nodes import BoundPod, Node
from rollout.model.notification import Notification, Origin
from rollout.model.plan import full_weight_of
from rollout.model.records import Record, VerdictGiven, of_type
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Ports
from rollout.report.notifications import watch_failed, way_back_at_risk
from rollout.session import Session
from rollout.statistics.exact_tests import highest_share
from rollout.statistics.measurements import sample, sample_slices
from rollout.steps.conditions import keep_warm_until
from rollout.steps.drift import config_drift
from rollout.steps.keep_warm import last_promotion
from rollout.system.failures import ask

FAILED: Final = "failed"
AT_RISK: Final = "way_back"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one look found, with all looks before it."""

    color: Color
    """The promoted colour."""
    promoted_at: datetime
    keep_until: datetime
    looks: int
    verdicts: tuple[GateVerdict, ...]
    at_risk: tuple[str, ...]
    """What endangers the way back. Empty when the old colour is ready."""
    unread: tuple[str, ...]
    """The sources that did not answer. The next look covers their time, too."""
    way_back_known: bool = True
    """Whether every source answered that shows if the old colour could take over."""

    @property
    def failure(self) -> str | None:
        """Why the promoted colour must not keep serving. None when no gate has failed."""
        verdict, reason = combine(self.verdicts)
        return reason if verdict is Verdict.FAIL else None

    def lines(self) -> Iterator[str]:
        """Yield what was found, for a person."""
        yield (
            f"{self.color} was promoted at {format_rfc3339(self.promoted_at)} and is watched until "
            f"{format_rfc3339(self.keep_until)}; looks so far: {self.looks}"
        )
        for one in self.verdicts:
            dry = " (dry run)" if one.dry_run else ""
            yield f"  {one.gate}: {one.verdict} {one.reason}{dry}"
            for part in one.slices:
                yield f"    {part.name}: {part.verdict if part.decides else 'no verdict'} {part.reason}"
        if not self.at_risk:
            state = "is ready to take" if self.way_back_known else "may not be ready to take"
            yield f"the way back: {other_color(self.color)} {state} all requests back"
        yield from (f"warning: the way back is at risk: {one}" for one in self.at_risk)
        yield from (f"warning: no answer, so the next look covers this time too: {one}" for one in self.unread)

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as plain values."""
        verdicts: list[JsonValue] = [
            {
                "gate": one.gate,
                "verdict": str(one.verdict),
                "reason": one.reason,
                "evidence": dict(one.evidence),
                "dry_run": one.dry_run,
                "slices": [
                    {
                        "label": part.label,
                        "value": part.value,
                        "verdict": str(part.verdict),
                        "decides": part.decides,
                        "reason": part.reason,
                        "evidence": dict(part.evidence),
                    }
                    for part in one.slices
                ],
            }
            for one in self.verdicts
        ]
        return {
            "color": self.color,
            "promoted_at": format_rfc3339(self.promoted_at),
            "keep_until": format_rfc3339(self.keep_until),
            "looks": self.looks,
            "verdicts": verdicts,
            "at_risk": list(self.at_risk),
            "unread": list(self.unread),
        }


def look(session: Session) -> Seen:
    """Look once at the promoted colour and at its way back, and store what was counted.

    Raises:
        NotWarmError: no colour is kept warm, so there is nothing to watch.
        RefusedError: config and rule do not agree, or the journal does not say since when to look.
    """
    settings, now = session.settings(), session.clock.now()
    active, idle = settings.active_color, settings.idle_color
    until = keep_warm_until(settings, now)
    if until is None or not settings.color(idle).serves:
        raise NotWarmError(f"{idle} is not kept warm, so there is no way back to watch for")
    ports = session.look()
    rule = ports.load_balancer.rule()
    violations = list(config_drift(settings, rule))
    if not rule.splits(full_weight_of(active)) or rule.serves(idle):
        violations.append(f"green_weight: {idle} has {rule.share_text(idle)}; the watch is for after a promotion")
    history = session.history()
    promotion = last_promotion(history, active)
    if promotion is None:
        violations.append(f"the journal has no promotion of {active}, so there is nothing to begin at")
    if violations or promotion is None:
        raise RefusedError("\n".join(violations))
    looks, unread = Looks(session.store, session.service, promotion.rollout), list[str]()
    watched = looks.read()
    new = _new_looks(ports, settings, watched, promotion.at, now, unread)
    watched = watched.model_copy(update={"looks": (*watched.looks, *new)})
    active_health = ask(lambda: ports.load_balancer.health(active), "the load balancer", unread)
    wanted, scaled = settings.color(active).wanted_replicas, settings.autoscaling is not None
    limits = settings.rollout.gates
    verdicts = (
        *(() if active_health is None else (judge_targets(active_health, wanted, more_may_start=scaled),)),
        *judge_looks(watched.looks, limits, _usual(history, promotion.rollout, limits.false_alarm_rate)),
    )
    unanswered = list[str]()
    at_risk = tuple(_at_risk(ports, settings, session.service, until, unanswered))
    seen = Seen(
        color=active,
        promoted_at=promotion.at,
        keep_until=until,
        looks=max(sum(one.source == source for one in watched.looks) for source in ("pods", "load_balancer")),
        verdicts=verdicts,
        at_risk=at_risk,
        unread=tuple(dict.fromkeys((*unread, *unanswered))),
        way_back_known=not unanswered,
    )
    found = {FAILED: (seen.failure, active_health is not None), AT_RISK: (at_risk, not unanswered)}
    # What a source that does not answer had shown is not over: it must not be told twice.
    notified = tuple(key for key, (bad, known) in found.items() if bad or (not known and key in watched.notified))
    if looks.write(watched.model_copy(update={"notified": notified})):
        news = [key for key in notified if key not in watched.notified]
        session.notify(lambda origin: _notifications(origin, seen, promotion.rollout, news, now, settings))
    return seen


def _new_looks(
    ports: Ports,
    settings: ServiceSettings,
    watched: WatchState,
    promoted_at: datetime,
    now: datetime,
    unread: list[str],
) -> Iterator[Look]:
    active, limits = settings.active_color, settings.rollout.gates

    def pods(start: datetime) -> Look | None:
        labels = frozenset(limits.slice_labels.values())
        before, after = (ports.metrics.counters(at, labels)[active] for at in (start, now))
        return pods_look(sample(before, after), sample_slices(before, after), limits, start, now)

    period = settings.rollout.cloudwatch_period_seconds
    # What is older does not change any more.
    published = int(now.timestamp() // period - SILENT_PERIODS) * period
    until = datetime.fromtimestamp(published, UTC)

    def balancer(start: datetime) -> Look | None:
        if start >= until:
            return None
        periods = ports.target_group_metrics.periods(start, until)[active]
        return load_balancer_look(periods, limits, start, until, alone=settings.listener is None)

    for one in (
        ask(lambda: pods(watched.looked_until("pods") or promoted_at), "Prometheus", unread),
        ask(lambda: balancer(watched.looked_until("load_balancer") or promoted_at), "CloudWatch", unread),
    ):
        if one is not None:
            yield one


def _usual(history: Sequence[Record], rollout: str, chance: float) -> Mapping[str, float]:
    """Return the share of requests that fail or seem to fail with every release, by gate, from the rollout's verdicts.

    These are failures of the pods that the load balancer showed to be none, and the load balancer's own 5xx answers
    from before the rollout.
    """
    found = [body for record, body in of_type(history, VerdictGiven) if record.rollout == rollout]
    shares: dict[str, float] = {}
    for one in found:
        refuted, requests = one.evidence.get("refuted", 0), one.evidence.get("requests")
        if isinstance(refuted, int) and isinstance(requests, int) and requests:
            shares[one.gate] = refuted / requests
        before, of = one.evidence.get("balancer_failed_before"), one.evidence.get("balancer_requests_before")
        if isinstance(before, int) and isinstance(of, int) and before and of:
            shares[one.gate] = highest_share(before, of, chance)
    return shares


def _at_risk(
    ports: Ports, settings: ServiceSettings, service: str, until: datetime, unread: list[str]
) -> Iterator[str]:
    """Yield what endangers the way back, while there is still time to do something about it."""
    idle = settings.idle_color
    colored = settings.color(idle)
    wanted = colored.wanted_replicas
    pods = ask(lambda: ports.replicas.pods(idle), "Kubernetes", unread)
    if pods is not None and (ready := sum(pod.ready and not pod.terminating for pod in pods)) < wanted:
        waiting = next((f", {pod.name}: {pod.waiting_reason}" for pod in pods if pod.waiting_reason), "")
        yield f"{idle}: {ready} of {wanted} replicas are ready{waiting}"
    health = ask(lambda: ports.load_balancer.health(idle), "the load balancer", unread)
    if health is not None and health.healthy < wanted:
        yield f"{idle}: {health.healthy} of {wanted} targets are healthy"
    found = ask(lambda: (ports.cluster.nodes(), ports.cluster.bound_pods()), "Kubernetes", unread)
    if found is not None:
        yield from _leaving(settings, service, *found)
    reservation = colored.reservation
    if reservation is not None and not reservation.outlasts(until):
        yield (
            f"{idle}.reservation.ends: is {format_rfc3339(reservation.ends)}, and its nodes go 40 minutes before, "
            f"earlier than keep_until {format_rfc3339(until)}"
        )


def _leaving(settings: ServiceSettings, service: str, nodes: Sequence[Node], pods: Sequence[BoundPod]) -> Iterator[str]:
    idle = settings.idle_color
    labels = pool_labels(service, idle).items()
    used = {pod.node for pod in pods if labels <= pod.labels.items()}
    for node in nodes:
        if node.name in used and (why := node.closed_to(settings.tolerations)):
            yield f"{idle}: its node {node.name} is {why}"


def _notifications(
    origin: Origin, seen: Seen, rollout: str, news: Sequence[str], now: datetime, settings: ServiceSettings
) -> Iterator[Notification]:
    # A rollback that the watch begins sends its own.
    if FAILED in news and seen.failure is not None and settings.rollout.watch.on_failure == "alarm":
        yield watch_failed(origin, rollout, seen.color, seen.failure, now)
    if AT_RISK in news:
        yield way_back_at_risk(origin, rollout, other_color(seen.color), seen.at_risk, seen.keep_until, now)
