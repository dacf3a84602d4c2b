"""The price of headroom for the settings of a service, and ``python -m components.config.headroom PAGE``.

The command writes the table of an example into the page docs/headroom.md; ``make config`` runs it.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from components.config.service_settings import ColorSettings, ServiceSettings
from components.domain.capacity.capacity import HeadroomMode
from components.domain.capacity.headroom import (
    MODES,
    MODES_ON_OTHERS_NODES,
    HeadroomCase,
    HeadroomCost,
    climbing_way_back,
)
from components.domain.capacity.ladder import Ladder, SharedCapacity, make_ladder, smallest_surge

BEGIN: Final = "<!-- table: make config -->\n"
END: Final = "<!-- end of table -->"

_NEEDS: Final[Mapping[HeadroomMode, str]] = {
    "on_rollout": "EC2 capacity when you deploy",
    "reserved": "a reservation for each colour",
    "always": "twice the GPUs, all the time",
    "surge": "time: a rollout and a late rollback take longer",
}


def headroom_costs(settings: ServiceSettings, start_seconds: float | None = None) -> tuple[HeadroomCost, ...]:
    """Return what a rollout onto the idle colour costs in every headroom mode that there is, the chosen one first.

    Without `surge_replicas`, mode ``surge`` is priced with the fewest whose way back takes at most
    `max_rollback_seconds`.

    Args:
        settings: the service's settings.
        start_seconds: how long the latest start of replicas took. None when that was not measured.
    """
    case = _case(settings, start_seconds)
    modes: Sequence[HeadroomMode] = MODES if settings.declares_nodes else MODES_ON_OTHERS_NODES
    # What the settings refuse together is no choice.
    if settings.autoscaling is not None:
        modes = [mode for mode in modes if mode != "surge"]
    if settings.fallback_instance_types:
        modes = [mode for mode in modes if mode != "reserved"]
    return tuple(case.cost(mode) for mode in sorted(modes, key=lambda mode: mode != settings.headroom_mode))


def example() -> ServiceSettings:
    """Return the example of the page: four replicas, each with all 8 GPUs of a node, and the defaults."""
    return ServiceSettings(
        instance_type="p5.48xlarge",
        gpus_per_replica=8,
        blue=ColorSettings(replicas=4),
        green=ColorSettings(replicas=4),
    )


def table(settings: ServiceSettings) -> str:
    """Return the modes side by side, as a Markdown table and a sentence."""
    return "".join(f"{line}\n" for line in _lines(settings))


def with_table(page: str) -> str:
    """Return the page with the table of the example between its marks.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must have the lines {BEGIN.strip()!r} and {END!r}; the table goes between them")
    return f"{before}{begin}{table(example())}{end}{after}"


def _lines(settings: ServiceSettings) -> Iterator[str]:
    found = {cost.mode: cost for cost in headroom_costs(settings)}
    replicas, rollout = settings.blue.replicas, found["on_rollout"]
    yield (
        f"{replicas} replicas with {settings.gpus_per_replica} GPUs each, on {settings.instance_type}; a rollout of "
        f"{rollout.hours:.1f} h, of which {settings.rollout.keep_warm_seconds / 3600:.0f} h are the keep-warm window:"
    )
    yield ""
    yield "| `headroom_mode` | more nodes | one rollout | a month, rollout or not | way back | what it needs |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for mode in MODES:
        cost = found[mode]
        name = f"`{mode}`" + (f", `surge_replicas: {cost.surge_replicas}`" if cost.surge_replicas else "")
        yield f"| {name} | {cost.nodes} | {cost.of_rollout} | {cost.of_month} | {cost.way_back} | {_NEEDS[mode]} |"
    surge = found["surge"]
    if rollout.usd and surge.usd_per_month is not None:
        yield ""
        rollouts = math.floor(surge.usd_per_month / rollout.usd) + 1
        yield f"Here `surge` costs less than `on_rollout` from {rollouts} rollouts a month on."


def _case(settings: ServiceSettings, start_seconds: float | None) -> HeadroomCase:
    active, idle = settings.color(settings.active_color), settings.color(settings.idle_color)
    wave_seconds = settings.wave_seconds(start_seconds)
    ladder = settings.ladder or _smallest_ladder(settings, active.replicas, wave_seconds)
    rollout = settings.rollout
    return HeadroomCase(
        replicas=active.replicas,
        candidate_replicas=idle.replicas,
        surge_replicas=ladder.capacity.surge,
        instance=settings.instance,
        shape=settings.largest_shape,
        shares_nodes=settings.shares_nodes,
        reservation=_reservation(settings),
        own_price=settings.node_usd_per_hour is not None,
        others_nodes=not settings.declares_nodes,
        rollout_seconds=(
            settings.node_start_seconds
            + settings.cold_start_seconds
            + sum(step.hold_seconds for step in rollout.steps)
            + rollout.soak_seconds
            + rollout.keep_warm_seconds
        ),
        surge_way_back=climbing_way_back(ladder, wave_seconds),
    )


def _smallest_ladder(settings: ServiceSettings, replicas: int, wave_seconds: float) -> Ladder:
    percents = settings.rollout.percents
    places = SharedCapacity(replicas=replicas, surge=replicas, max_utilization_percent=settings.max_utilization_percent)
    # With as many surge places as replicas, every step is in reach and every way back is instant.
    surge = smallest_surge(places, percents, most_waves=int(settings.max_rollback_seconds / wave_seconds))
    return make_ladder(replace(places, surge=surge or replicas), percents)


def _reservation(settings: ServiceSettings) -> Literal["on_demand", "capacity_block"] | None:
    """Return what the idle colour's nodes run in. Another mode is compared with an On-Demand Capacity Reservation."""
    if settings.headroom_mode != "reserved":
        return "on_demand"
    reservation = settings.color(settings.idle_color).reservation
    return None if reservation is None else reservation.kind


def _write(page: Path) -> None:
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
