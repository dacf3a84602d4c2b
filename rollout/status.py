"""The status of a service: what the load balancer, the config, Kubernetes and the journal say, side by side."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from components.config.headroom import headroom_costs
from components.domain.capacity.headroom import HeadroomCost
from components.domain.moments import format_or_empty, format_rfc3339_micros
from components.domain.naming import COLORS
from rollout.journal.lock import Owner
from rollout.model.records import Record, last_start_seconds
from rollout.model.run import UNFINISHED
from rollout.report.explanation import deciding_reason, headline
from rollout.report.read import last_traffic_move
from rollout.session import Session
from rollout.steps.drift import config_drift
from rollout.steps.keep_warm import kept_way_back, last_brought_up, warm_color
from rollout.system.failures import ask


@dataclass(frozen=True, kw_only=True)
class ColorStatus:
    """The status of one colour. A value is None when it could not be read."""

    weight: int | None
    release_id: str | None
    parked: bool
    nodes_wanted: bool | None
    """Whether its nodes are up. None when others bring them."""
    replicas_ready: int | None
    replicas_wanted: int
    """With an autoscaler, the fewest that it may run."""
    replicas_most: int | None = None
    """The most that the autoscaler may run. None without autoscaler, and while the colour is parked."""
    targets_healthy: int | None
    targets_total: int | None
    cohorts: tuple[str, ...] = ()
    """The cohorts whose requests go to it."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """The status of a whole service."""

    service: str
    active_color: str
    green_weight_of_rule: int | None
    green_weight_of_config: int
    serial_of_rule: int | None
    serial_of_config: int
    agree: bool
    keep_until: datetime | None
    kept: str | None
    """The idle colour that is kept warm, and its cost. None when no colour is."""
    usd_per_hour_kept: float | None
    usd_so_far_kept: float | None
    brought_up: str | None
    """How long it took to bring a colour up. None when the journal does not say."""
    way_back: str | None = None
    """What a rollback takes, when the old colour cannot take all traffic back at once."""
    headroom: tuple[HeadroomCost, ...] = ()
    """What a rollout costs in every headroom mode, the chosen one first."""
    colors: dict[str, ColorStatus]
    rollout_under_way: str | None
    last_rollout: dict[str, Any] | None
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the status as plain values."""
        return {**asdict(self), "keep_until": format_or_empty(self.keep_until)}


def read_status(session: Session) -> Status:
    """Read everything. A source that does not answer is listed as a problem.

    While a command holds the lock, the config file may be ahead of the rule. That is no problem: it is about to follow.
    """
    before = session.lock.owner()
    settings = session.settings()
    problems: list[str] = []
    rule = ask(lambda: session.load_balancer.rule(), "load balancer", problems)
    drift = () if rule is None else config_drift(settings, rule)
    colors: dict[str, ColorStatus] = {}
    for color in COLORS:
        colored = settings.color(color)
        pods = ask(lambda color=color: session.replicas.pods(color), "Kubernetes", problems)
        health = rule and ask(lambda color=color: session.load_balancer.health(color), "load balancer", problems)
        colors[color] = ColorStatus(
            weight=None if rule is None else rule.weights[color],
            release_id=None if colored.release is None else colored.release.release_id,
            parked=colored.parked,
            nodes_wanted=(settings.nodes_stay_up or colored.nodes_wanted) if settings.declares_nodes else None,
            replicas_ready=None if pods is None else sum(pod.ready for pod in pods),
            replicas_wanted=colored.wanted_replicas if colored.serves else 0,
            replicas_most=colored.replicas if colored.serves and settings.autoscaling is not None else None,
            targets_healthy=None if health is None else health.healthy,
            targets_total=None if health is None else health.total,
            cohorts=() if rule is None else rule.cohorts_on(color),
        )
        if (color_problem := _without_targets(color, colors[color])) is not None:
            problems.append(color_problem)
    owner, history = session.lock.owner() or before, session.history()
    kept = warm_color(settings, history, session.clock.now())
    brought_up, start_seconds = last_brought_up(history), last_start_seconds(history)
    if owner is None:
        problems += drift
        if session.unfinished:
            problems.append(UNFINISHED)
    return Status(
        service=session.service,
        active_color=settings.active_color,
        green_weight_of_rule=None if rule is None else rule.weights["green"],
        green_weight_of_config=settings.green_weight,
        serial_of_rule=None if rule is None else rule.rollout_serial,
        serial_of_config=settings.rollout_serial,
        agree=rule is not None and not drift,
        keep_until=settings.keep_until,
        kept=None if kept is None else str(kept),
        usd_per_hour_kept=kept and kept.usd_per_hour,
        usd_so_far_kept=kept and kept.usd_so_far,
        brought_up=None if brought_up is None else str(brought_up),
        way_back=kept_way_back(settings, start_seconds),
        headroom=headroom_costs(settings, start_seconds),
        colors=colors,
        rollout_under_way=None if owner is None else _under_way(owner, differ=bool(drift)),
        last_rollout=_last_rollout(history),
        problems=tuple(dict.fromkeys(problems)),
    )


def _without_targets(name: str, color: ColorStatus) -> str | None:
    if not (color.weight or color.cohorts) or color.targets_healthy != 0:
        return None
    what = f"weight {color.weight}" if color.weight else f"the cohorts {', '.join(color.cohorts)}"
    return (
        f"{name}: has {what} but no healthy target of {color.targets_total}; look at its pods, and send "
        "traffic back with scripts.rollback while the other colour is warm"
    )


def _under_way(owner: Owner, *, differ: bool) -> str:
    if not differ:
        return str(owner)
    known = "" if owner.is_alive else ". It runs elsewhere: --watch shows whether it has ended"
    return f"{owner}; config file and rule differ until its update is done{known}"


def _last_rollout(records: list[Record]) -> dict[str, Any] | None:
    """Return the last rollout or rollback, whichever decided who serves now, and what it came to."""
    last = last_traffic_move(records)
    if last is None:
        return None
    reason = deciding_reason(last)
    return {
        "rollout": last.rollout,
        "what": last.what,
        "candidate": last.candidate,
        "release_id": last.release_id,
        "started_at": format_rfc3339_micros(last.began_at),
        "finished_at": last.ended_at and format_rfc3339_micros(last.ended_at),
        "phase": last.phase,
        "outcome": last.outcome,
        "reason": reason,
        "summary": f"{headline(last)}{f': {reason}' if reason else ''}",
    }
