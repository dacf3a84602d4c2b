"""Raises the floors of colours that an autoscaler resizes while a rollout needs them, and hands them back afterwards.

A floor is a key of the config, so it is journalled, and survives this process. What runs decides what is done, so each
function can be called again after any interruption.
"""

from datetime import timedelta
from typing import Final

from components.config.settings import ServiceSettings
from components.domain.capacity.floors import ScaledColor, first_floor, next_floors
from components.domain.naming import COLORS, Color
from rollout.model.errors import RolloutError
from rollout.model.plan import Plan
from rollout.model.records import FloorMoved, Note
from rollout.ports import Ports
from rollout.statistics.measurements import sample
from rollout.steps.deploy import await_ready
from rollout.steps.resize import release_id_of
from rollout.steps.updates import Updater
from rollout.system.failures import describe_error

LONGEST_WINDOW_SECONDS: Final = 120.0
_KEY: Final = "floor_replicas"


def begin(ports: Ports, updater: Updater, plan: Plan) -> int | None:
    """Keep the outgoing colour at the replicas that it runs, and return the candidate's floor. None without autoscaler.

    Raises:
        RolloutError: the pods cannot be listed, or the update is refused or fails.
    """
    settings = ports.config.read()
    if settings.autoscaling is None:
        return None
    outgoing = _scaled(ports, settings, plan.outgoing)
    floor = first_floor(outgoing, settings.autoscaling.scaling)
    rate = _requests_per_second(ports, plan.steps[0].hold_seconds)
    _move(ports, updater, plan.outgoing, floor, requests_per_second=rate)
    return floor


def follow_load(ports: Ports, updater: Updater, plan: Plan, step: int) -> None:
    """Raise both floors to what the next share needs, and wait until as many replicas are ready.

    Raises:
        RolloutError: an update is refused or fails, or replicas do not become ready.
    """
    settings = ports.config.read()
    if settings.autoscaling is None:
        return
    run, rate = ports.journal.run, _requests_per_second(ports, plan.steps[step - 1].hold_seconds)
    carried = run and run.carried
    floors = next_floors(
        {color: _scaled(ports, settings, color) for color in COLORS},
        candidate=plan.candidate,
        percent=plan.steps[step].candidate_percent,
        scaling=settings.autoscaling.scaling,
        by_requests=0 if carried is None or rate is None else carried.replicas_for(rate),
    )
    for color, floor in floors.items():
        _move(ports, updater, color, floor)
    for color in floors:
        await_ready(ports, color, release_id_of(ports.config.read().color(color)))


def hand_back(ports: Ports, updater: Updater, color: Color) -> None:
    """Leave a colour to the autoscaler again. A failure is noted: too many replicas harm no user."""
    settings = ports.config.read()
    if settings.autoscaling is None:
        return
    try:
        _move(ports, updater, color, settings.autoscaling.min_replicas)
    except RolloutError as error:
        ports.journal.write(
            Note(
                text=f"{color}.floor_replicas: the floor could not be handed back to the autoscaler: "
                f"{describe_error(error)}. The next rollout or reap does it; until then {color} runs at least "
                f"{ports.config.read().color(color).floor_replicas} replicas"
            )
        )


def settle(ports: Ports, updater: Updater) -> None:
    """Repeat a move of a floor whose process ended in the middle: it may have left the config ahead of the stack.

    Raises:
        RolloutError: the update is refused or fails.
    """
    run = ports.journal.run
    update = run and run.unsettled
    if update is None or update.color is None:
        return
    floor = update.edits.get(f"{update.color}.{_KEY}")
    if isinstance(floor, int) and set(update.edits) == {f"{update.color}.{_KEY}"}:
        updater.resize(update.color, floor, key=_KEY, message=update.message)


def _move(
    ports: Ports, updater: Updater, color: Color, floor: int, *, requests_per_second: float | None = None
) -> None:
    settle(ports, updater)
    settings = ports.config.read()
    former = settings.color(color).floor_replicas
    if floor != former:
        least = settings.autoscaling and settings.autoscaling.min_replicas
        written = 0 if floor == least else floor
        updater.resize(color, written, key=_KEY, message=f"run at least {floor} replicas of {color}")
    elif requests_per_second is None:
        return
    ports.journal.write(FloorMoved(color=color, former=former, floor=floor, requests_per_second=requests_per_second))


def _requests_per_second(ports: Ports, seconds: float) -> float | None:
    """Return the service's requests per second in the last seconds. None when they are unknown."""
    now, window = ports.clock.now(), timedelta(seconds=min(seconds, LONGEST_WINDOW_SECONDS))
    try:
        before, after = ports.metrics.counters(now - window), ports.metrics.counters(now)
    except RolloutError:  # the gates say so
        return None
    seen = [found.requests for color in COLORS if (found := sample(before[color], after[color])) is not None]
    return round(sum(seen) / window.total_seconds(), 3) if window and seen else None


def _scaled(ports: Ports, settings: ServiceSettings, color: Color) -> ScaledColor:
    running = sum(not pod.terminating for pod in ports.replicas.pods(color))
    return ScaledColor(replicas=running, floor=settings.color(color).floor_replicas, percent=settings.weight(color))
