"""The idle colour that is kept warm: until when, what it costs, and how long it takes to bring a colour up again.

Pure. A promotion opens the keep-warm window: it sets ``keep_until``. A reap parks the colour once the window has ended.
An operator can extend the window, or shorten it and give a reason.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from components.config.settings import ServiceSettings
from components.domain.capacity.capacity import nodes_for, usd_per_hour
from components.domain.capacity.ladder import waves_back, way_back
from components.domain.moments import format_rfc3339, parse_rfc3339
from components.domain.naming import Color
from rollout.model.errors import RefusedError
from rollout.model.records import ColorReady, Promoted, Record, of_type

_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST: Final = timedelta(days=365)
_FORM: Final = "must be an RFC 3339 time with its zone, e.g. 2026-12-24T08:00:00Z, or a time from now: +90m, +24h, +3d"


@dataclass(frozen=True, kw_only=True)
class WarmColor:
    """An idle colour whose nodes are up."""

    color: Color
    nodes: int
    more: bool = False
    """Whether an autoscaler may run more replicas, and so more nodes."""
    usd_per_hour: float | None
    """By `node_usd_per_hour`, else On-Demand in us-east-1. None when it is unknown."""
    since: datetime | None
    """When the other colour was promoted. None when the journal does not say."""
    now: datetime

    @property
    def usd_so_far(self) -> float | None:
        """The cost since the promotion. None when the price or the time of the promotion is unknown."""
        if self.usd_per_hour is None or self.since is None:
            return None
        return round((self.now - self.since).total_seconds() / 3600 * self.usd_per_hour, 2)

    def __str__(self) -> str:
        """Describe the colour and its cost in one line."""
        least = "at least " if self.more else ""
        nodes = f"{self.color}: {least}{self.nodes} node{'s' if self.nodes != 1 else ''} up"
        if self.usd_per_hour is None:
            return f"{nodes}, at an unknown price"
        price = f"{nodes}, about {self.usd_per_hour:.2f} USD an hour"
        return price if self.usd_so_far is None else f"{price}, {self.usd_so_far:.2f} USD since the promotion"


@dataclass(frozen=True, kw_only=True)
class BroughtUp:
    """How long it took to bring a colour up: from the start of its deploy until every replica was ready."""

    color: Color
    seconds: float
    at: datetime
    with_nodes: bool
    """Whether its nodes had to start first, as after a reap."""

    def __str__(self) -> str:
        """Describe it in one line."""
        what = "nodes and replicas" if self.with_nodes else "replicas"
        return f"bringing {self.color} up ({what}) took {self.seconds:.0f} s, at {format_rfc3339(self.at)}"


def warm_color(settings: ServiceSettings, records: Sequence[Record], now: datetime) -> WarmColor | None:
    """Return the idle colour that is kept warm. None when it keeps no nodes up that would otherwise be gone."""
    idle = settings.idle_color
    colored = settings.color(idle)
    if settings.declares_nodes:
        keeps = not settings.shares_nodes and (colored.nodes_wanted or settings.headroom_mode == "always")
        nodes = nodes_for(colored.replicas, settings.instance, settings.shape(idle)) if keeps else 0
    else:
        nodes = _others_nodes(settings, idle) if colored.serves else 0
    if not nodes:
        return None
    promotion = last_promotion(records, settings.active_color)
    return WarmColor(
        color=idle,
        nodes=nodes,
        more=settings.autoscaling is not None and not settings.declares_nodes,
        usd_per_hour=usd_per_hour(settings.instance, nodes),
        since=None if promotion is None else promotion.at,
        now=now,
    )


def _others_nodes(settings: ServiceSettings, idle: Color) -> int:
    """Return how many nodes of others run only for the idle colour's replicas."""
    instance, replicas = settings.instance, settings.color(idle).wanted_replicas
    if not settings.shares_nodes:
        return nodes_for(replicas, instance, settings.shape(idle))
    shape, serving = settings.largest_shape, settings.color(settings.active_color).wanted_replicas
    return nodes_for(serving + replicas, instance, shape) - nodes_for(serving, instance, shape)


def price_of(settings: ServiceSettings, color: Color) -> float | None:
    """Return the price of a colour's nodes, in US dollars per hour. None when it is unknown.

    Of nodes that both colours share, those beyond one colour's are the idle colour's.
    """
    nodes = nodes_for(settings.color(color).replicas, settings.instance, settings.shape(color))
    if settings.capacity is not None:
        nodes = settings.shared_pool.desired_nodes - nodes
    return usd_per_hour(settings.instance, nodes)


def kept_way_back(settings: ServiceSettings, start_seconds: float | None) -> str | None:
    """Return what a rollback to the idle colour takes. None when it could take all traffic back at once, or none.

    Args:
        settings: the service's settings.
        start_seconds: how long the latest start of replicas took. None when that was not measured.
    """
    capacity, idle = settings.capacity, settings.color(settings.idle_color)
    if capacity is None or not idle.serves or not (waves := waves_back(capacity, idle.wanted_replicas)):
        return None
    return (
        f"the way back: {settings.idle_color} runs {idle.wanted_replicas} of {capacity.replicas} replicas, which carry "
        f"{capacity.carried_percent(idle.wanted_replicas)} % of the requests at once, and all after "
        f"{way_back(waves, settings.wave_seconds(start_seconds))}"
    )


def last_brought_up(records: Sequence[Record]) -> BroughtUp | None:
    """Return how long the latest deploy that started nodes took; if none did, the latest deploy. None without any."""
    found = [
        BroughtUp(color=body.color, seconds=body.seconds, at=record.at, with_nodes=body.with_nodes)
        for record, body in of_type(records, ColorReady)
    ]
    return next((one for one in reversed(found) if one.with_nodes), found[-1] if found else None)


def read_until(text: str, now: datetime) -> datetime:
    """Parse the end of a keep-warm window, as a person types it, in whole seconds.

    Raises:
        RefusedError: the text is no time, or the time is in the past or more than a year from now.
    """
    if relative := re.fullmatch(r"\+(\d{1,6})([mhd])", text):
        until = now + int(relative[1]) * _UNITS[relative[2]]
    else:
        try:
            until = parse_rfc3339(text)
        except ValueError as error:
            raise RefusedError(f"--until {text!r}: {_FORM}") from error
    if until <= now:
        raise RefusedError(f"--until {text!r}: must be in the future; it is {format_rfc3339(now)} now")
    if until - now > _LONGEST:
        raise RefusedError(f"--until {text!r}: must be at most {_LONGEST.days} days from now")
    return until.replace(microsecond=0)


def keep_violations(settings: ServiceSettings, until: datetime, *, shorten: str) -> Iterator[str]:
    """Yield the reasons why the idle colour's keep-warm window may not end at this time.

    ``shorten`` is the operator's reason for an earlier end than before. Empty when there is none.
    """
    idle, keep_until = settings.idle_color, settings.keep_until
    if not settings.color(idle).serves:
        yield f"keep_until: {idle} runs no replicas, so there is nothing to keep warm; scripts.ramp deploys onto it"
    elif keep_until is not None and until < keep_until and not shorten.strip():
        yield (
            f"--until {format_rfc3339(until)}: is earlier than {format_rfc3339(keep_until)}, the end of {idle}'s "
            'keep-warm window. Give a reason with --shorten "<reason>"; the journal records it'
        )


def last_promotion(records: Sequence[Record], active: Color) -> Record | None:
    """Return the record of the active colour's promotion. None when the journal does not have it."""
    promoted = list(of_type(records, Promoted))
    return promoted[-1][0] if promoted and promoted[-1][1].active_color == active else None
