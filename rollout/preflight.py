"""What must be true before a rollout starts; every fault is found before any is told."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from components.naming import COLORS, Color
from components.settings import ServiceSettings
from rollout.failures import plain
from rollout.plan import Plan, green_weight_for
from rollout.ports import LiveRule, Ports
from rollout.verdicts import TargetHealth

METRICS_WINDOW: Final = timedelta(minutes=5)


def preflight_faults(
    *, plan: Plan, settings: ServiceSettings, rule: LiveRule, outgoing: TargetHealth, now: datetime
) -> tuple[str, ...]:
    """Return every reason not to start, each with what to do about it."""
    active, candidate = settings.active_color, plan.candidate
    faults: list[str] = []
    if not settings.color(active).serves:
        faults.append(
            f"{active}: is the active colour but serves nothing; the first release of a stack is deployed with "
            f"`pulumi up` after setting {active}.release"
        )
    elif outgoing.healthy == 0:
        faults.append(
            f"{active}: serves all traffic but has no healthy target ({dict(outgoing.states)}); mend it first"
        )
    if not rule.splits(plan.initial_green_weight):
        faults.append(
            f"green_weight: the live rule splits {dict(rule.weights)}, but a rollout onto {candidate} starts from "
            f"{plan.initial_green_weight}; run scripts.rollback to put all traffic on {active}"
        )
    faults += reservation_faults(settings, now)
    faults += config_faults(settings, rule)
    if settings.color(candidate).serves and (until := still_promised(settings, now)):
        faults.append(
            f"keep_until: {candidate} is kept warm until {until} as the way back; wait, or give the way back up with "
            '`pulumi config set keep_until ""` and `pulumi up`'
        )
    return tuple(faults)


def unreachable(ports: Ports, outgoing: Color) -> Iterator[str]:
    """Ask everything once that a rollout will ask later; yields who does not answer, and why."""
    now = ports.clock.now()
    questions: tuple[Callable[[], object], ...] = (
        lambda: ports.replicas.pods(outgoing),
        lambda: ports.target_group_metrics.counts(outgoing, now - METRICS_WINDOW, now),
        *(check.prepare for check in ports.checks.values()),
    )
    for ask in questions:
        try:
            ask()
        except Exception as error:  # whatever it fails with, it does not answer
            yield plain(error)


def config_faults(settings: ServiceSettings, rule: LiveRule) -> tuple[str, ...]:
    """Return in what the config file and the live rule disagree."""
    faults: list[str] = []
    if settings.rollout_serial < rule.rollout_serial:
        faults.append(
            f"rollout_serial: the config file says {settings.rollout_serial}, the live rule {rule.rollout_serial}: the "
            "file is stale; pull the newest one"
        )
    elif not rule.splits(settings.green_weight):
        faults.append(
            f"green_weight: the config file says {settings.green_weight}, the live rule {dict(rule.weights)}; run "
            "`pulumi up` or scripts.rollback to bring them in line"
        )
    if rule.active_color is not None and rule.active_color != settings.active_color:
        faults.append(
            f"active_color: the config file says {settings.active_color}, the live rule {rule.active_color}; pull the "
            "newest file, or run `pulumi up`"
        )
    return tuple(faults)


def reservation_faults(settings: ServiceSettings, now: datetime) -> Iterator[str]:
    """Yield the colours whose nodes end, with their capacity block, before the time that a promotion would promise."""
    holds_seconds = sum(step.hold_seconds for step in settings.rollout.steps)
    promised = now + timedelta(seconds=holds_seconds + settings.rollout.keep_warm_seconds)
    for color in COLORS:
        reservation = settings.color(color).reservation
        if reservation is not None and not reservation.outlasts(promised.isoformat(timespec="seconds")):
            yield (
                f"{color}.reservation.ends: is {reservation.ends}, and EKS takes a block's nodes away 40 minutes "
                f"before; a promotion would keep both colours until {promised:%Y-%m-%dT%H:%M:%SZ} at least. Take a "
                "block that ends later, or shorten rollout.keep_warm_seconds"
            )


def still_promised(settings: ServiceSettings, now: datetime) -> str | None:
    """Return until when the idle colour is promised to stay warm; none when that is over or was never promised."""
    if settings.keep_until and datetime.fromisoformat(settings.keep_until) > now:
        return settings.keep_until
    return None


def full_weight_of(color: Color) -> int:
    """Return the green weight at which a colour has all traffic."""
    return green_weight_for(color, 100)
