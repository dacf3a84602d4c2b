"""Change guards: which changes to serving resources are refused, and what to do instead.

Four kinds of resource are guarded: the weighted rule, a colour's pods, what an autoscaler may do with them, and a
colour's nodes. Each function checks one update. It returns None if the update is allowed, else the refusal in two
lines: first what changes, with old value, new value and limit; then the fix.

Each write of the scripts increments ``rollout_serial``, so the serial shows who makes the update. A lower serial than
the deployed one means a stale config, an equal serial a person's plain update, and a higher serial a script, which has
its own steps, holds and gates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from components.domain.balancer.traffic import Traffic
from components.domain.moments import format_or_empty, format_rfc3339
from components.domain.naming import COLORS, Color

# A longer value is not shown: it helps no more than the input's name.
_MAX_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a guard needs besides the old and new inputs: the service's traffic and the permitted changes.

    ``deployed`` is the traffic of the rule before the update, without weights that are unknown. It is None when there
    is no rule yet. ``desired`` is the traffic that the config asks for. ``announced`` is the setting of that name.
    """

    stack: str
    service: str
    deployed: Traffic | None
    desired: Traffic
    announced: str
    max_step_points: int
    now: datetime


@dataclass(frozen=True, kw_only=True)
class DeclaredPods:
    """What one colour's Deployment declares. ``replicas`` is None where an autoscaler decides."""

    release_id: str
    replicas: int | None


@dataclass(frozen=True, kw_only=True)
class DeclaredScaling:
    """Between how many replicas an autoscaler keeps one colour; both are 0 while it is parked."""

    floor: int
    ceiling: int


@dataclass(frozen=True, kw_only=True)
class DeclaredNodes:
    """What a node group or a node pool declares: its sizes, and by name the inputs that its nodes are made from."""

    desired: int
    maximum: int
    unit: str = ""
    """What the sizes count, such as GPUs. Empty for nodes."""
    made_from: Mapping[str, str]


def rule_refusal(context: Context) -> str | None:
    """Check an update of the weighted rule. A rollback is allowed at any serial that is not stale."""
    deployed, desired = context.deployed, context.desired
    if deployed is None:
        return None
    if _is_stale(deployed, desired):
        return _stale(context, deployed)
    if desired.rollout_serial > deployed.rollout_serial or _is_announced(context):
        return None
    if refusal := _overload(context, deployed) or _cohort_to_absent_pods(context, deployed):
        return refusal
    if _goes_back(context, deployed):
        return None
    checks = (_unknown_weights, _promotion, _step, _shorter_window)
    return next((refusal for check in checks if (refusal := check(context, deployed))), None)


def pods_refusal(color: Color, old: DeclaredPods, new: DeclaredPods, context: Context) -> str | None:
    """Check an update of a colour's pods: a colour that serves or is kept warm keeps its release and its size.

    Where both colours share too few places for two full sizes, a script's update may make room for the other colour.
    """
    if new.release_id != old.release_id:
        what = f"release may not go from {old.release_id} to {new.release_id} in place"
    elif old.replicas is not None and new.replicas is not None and new.replicas < old.replicas:
        makes_room = _makes_room(color, new.replicas, context)
        fewer = f"replicas may not go from {old.replicas} to {new.replicas}, {old.replicas} is the least"
        what = None if makes_room else fewer
    else:
        what = None
    return _refusal(f"{context.service}-{color}", what, (color,), context)


def scaling_refusal(color: Color, old: DeclaredScaling, new: DeclaredScaling, context: Context) -> str | None:
    """Check an update of what an autoscaler may do: a colour that serves or is kept warm keeps floor and ceiling.

    Once a rollout is over, a script hands the active colour's floor back to the autoscaler.
    """
    if new.floor < old.floor and not _hands_back(color, new, context):
        what = f"its fewest replicas may not go from {old.floor} to {new.floor}"
    elif new.ceiling < old.ceiling:
        what = f"its most replicas may not go from {old.ceiling} to {new.ceiling}"
    else:
        what = None
    return _refusal(f"{context.service}-{color}", what, (color,), context)


def nodes_refusal(colors: Sequence[Color], old: DeclaredNodes, new: DeclaredNodes, context: Context) -> str | None:
    """Check an update of the node group of these colours: serving nodes are neither removed nor replaced."""
    fewest = min(new.desired, new.maximum)
    # The cloud keeps the value of an input that the program no longer sets.
    changed = [
        _change(key, old.made_from.get(key, "unset"), value)
        for key, value in new.made_from.items()
        if old.made_from.get(key) != value
    ]
    if fewest < old.desired:
        unit = f" {old.unit}" if old.unit else ""
        what = f"may not go from {old.desired}{unit} to {fewest}{unit}, {old.desired} is the least"
    elif changed:
        what = f"may not be replaced in place ({', '.join(changed)})"
    else:
        what = None
    where = "-".join((context.service, *colors)) if len(colors) == 1 else context.service
    return _refusal(f"{where} nodes", what, colors, context)


def is_kept_warm(traffic: Traffic, now: datetime) -> bool:
    """Return whether the keep-warm window of the idle colour is still open."""
    return traffic.keep_until is not None and traffic.keep_until > now


def _is_stale(deployed: Traffic, desired: Traffic) -> bool:
    return desired.rollout_serial < deployed.rollout_serial


def _is_announced(context: Context) -> bool:
    """Return whether the change was announced for the serial that both the rule and the config have."""
    serial = context.announced.partition(" ")[0]
    deployed = context.desired if context.deployed is None else context.deployed
    return serial.isdecimal() and int(serial) == deployed.rollout_serial == context.desired.rollout_serial


def _goes_back(context: Context, deployed: Traffic) -> bool:
    """Return whether an update is a rollback: traffic back to the active colour, or all of it to the one kept warm."""
    desired, idle = context.desired, deployed.idle_color
    if desired.active_color == deployed.active_color:
        return idle in deployed.weights and desired.weights[idle] < deployed.weights[idle]
    return desired.weights[idle] == 100 and is_kept_warm(deployed, context.now)


def _hands_back(color: Color, new: DeclaredScaling, context: Context) -> bool:
    deployed, desired = context.deployed, context.desired
    by_script = deployed is not None and desired.rollout_serial > deployed.rollout_serial
    return by_script and color == desired.active_color and not desired.rolling_out and new.floor > 0


def _makes_room(color: Color, replicas: int, context: Context) -> bool:
    """Return whether a script gives replicas of this colour up to the other, as far as its share of requests allows.

    A rollback takes places from the colour that is not active, whatever its share.
    """
    deployed, desired = context.deployed, context.desired
    if desired.capacity is None or deployed is None or desired.rollout_serial <= deployed.rollout_serial:
        return False
    share = max(deployed.weights.get(color, 100), desired.weights[color])
    return color != desired.active_color or desired.capacity.carried_percent(replicas) >= share


def _overload(context: Context, deployed: Traffic) -> str | None:
    """Refuse a higher weight than a colour's replicas carry: only scripts move replicas and weight together."""
    desired, capacity = context.desired, context.desired.capacity
    if capacity is None:
        return None
    for color in COLORS:
        old, new, replicas = deployed.weights.get(color, 0), desired.weights[color], desired.colors[color].replicas
        carried = capacity.carried_percent(replicas)
        if new > max(old, carried):
            what = (
                f"{context.service}: the weight of {color} may not go from {old} to {new}: its {replicas} of "
                f"{capacity.replicas} replicas carry {carried} %"
            )
            script = "rollback" if color == desired.active_color else "ramp"
            fix = f"Use `python -m scripts.{script} --stack {context.stack}`, which moves replicas and weight together"
            return _lines(what, fix, context)
    return None


def _stale(context: Context, deployed: Traffic) -> str:
    desired = context.desired
    green = deployed.weights.get("green")
    live = (
        f"rollout_serial {deployed.rollout_serial}, green_weight {'unknown' if green is None else green}, "
        f'active_color {deployed.active_color}, keep_until "{format_or_empty(deployed.keep_until)}"'
    )
    return (
        f"{context.service}: rollout_serial {desired.rollout_serial} of the config is behind the deployed "
        f"{deployed.rollout_serial}: the config is stale and would undo a rollout.\n"
        f"Pull the newest Pulumi.{context.stack}.yaml, or write the deployed values into it: {live}."
    )


def _cohort_to_absent_pods(context: Context, deployed: Traffic) -> str | None:
    """Refuse to send a cohort to pods that this update starts: they must be up before."""
    desired = context.desired
    for cohort, color in desired.cohorts.items():
        state = deployed.colors.get(color)
        if deployed.cohorts.get(cohort, color) == color or state is None:
            continue
        if not state.replicas or state.release_id != desired.colors[color].release_id:
            what = (
                f"{context.service}: the cohort {cohort} may not go to {color}, which is {state}, in the update that "
            )
            what += f"makes it {desired.colors[color]}"
            fix = "Set cohorts_on_candidate once its pods are ready, in an update of its own"
            return _lines(what, fix, context)
    return None


def _unknown_weights(context: Context, deployed: Traffic) -> str | None:
    if len(deployed.weights) == len(COLORS):
        return None
    what = (
        f"{context.service}: the deployed rule forwards to other target groups than the program's; weights are unknown"
    )
    return _lines(what, "Restore the former target groups", context)


def _promotion(context: Context, deployed: Traffic) -> str | None:
    old, new = deployed.active_color, context.desired.active_color
    if new == old:
        return None
    serial = deployed.rollout_serial
    what = f"{context.service}: active_color may not go from {old} to {new} while rollout_serial stays {serial}"
    return _lines(what, f"Roll out with `python -m scripts.ramp --stack {context.stack}`, which promotes", context)


def _step(context: Context, deployed: Traffic) -> str | None:
    idle, limit = deployed.idle_color, context.max_step_points
    old, new = deployed.weights[idle], context.desired.weights[idle]
    if new - old <= limit:
        return None
    what = (
        f"{context.service}: the weight of {idle}, the idle colour, may not go from {old} to {new} in one update: "
        f"{new - old} points, and max_step_points is {limit}"
    )
    fix = f"Go to {old + limit} at most, or use `python -m scripts.ramp --stack {context.stack}`"
    return _lines(what, fix, context)


def _shorter_window(context: Context, deployed: Traffic) -> str | None:
    old, new = deployed.keep_until, context.desired.keep_until
    if old is None or old <= context.now or (new is not None and new >= old):
        return None
    what = (
        f'{context.service}: keep_until may not go from {format_rfc3339(old)} to "{format_or_empty(new)}": until then '
        f"{deployed.idle_color} stays warm"
    )
    return _lines(what, "Wait until then", context)


def _refusal(where: str, what: str | None, colors: Sequence[Color], context: Context) -> str | None:
    """Refuse any change by a stale config, and a change ``what`` to colours that serve or are kept warm."""
    if context.deployed is not None and _is_stale(context.deployed, context.desired):
        return _stale(context, context.deployed)
    if what is None or _is_announced(context):
        return None
    reason_and_fix = _serving_color(colors, context) or _warm_color(colors, context)
    if reason_and_fix is None:
        return None
    reason, fix = reason_and_fix
    return _lines(f"{where}: {what}: {reason}", fix, context)


def _change(key: str, old: str, new: str) -> str:
    return key if max(len(old), len(new)) > _MAX_SHOWN_CHARACTERS else f"{key} {old} to {new}"


def _serving_color(colors: Sequence[Color], context: Context) -> tuple[str, str] | None:
    """Return reason and fix if one of these colours gets requests, before or after the update."""
    desired = context.desired
    deployed = desired if context.deployed is None else context.deployed
    # An unknown weight is taken for 100 %.
    shares = {color: max(deployed.weights.get(color, 100), desired.weights[color]) for color in colors}
    color = max(shares, key=lambda color: shares[color])
    fix = f"Change the idle colour, with `python -m scripts.ramp --stack {context.stack}`"
    if shares[color]:
        return f"{shares[color]} % of requests go to {color}", fix
    for color in colors:
        if cohorts := dict.fromkeys((*deployed.cohorts_on(color), *desired.cohorts_on(color))):
            return f"the requests of {', '.join(cohorts)} go to {color}", f"{fix}, or take it off cohorts_on_candidate"
    return None


def _warm_color(colors: Sequence[Color], context: Context) -> tuple[str, str] | None:
    """Return reason and fix if one of these colours is kept warm for a rollback."""
    desired = context.desired
    deployed = desired if context.deployed is None else context.deployed
    # A script that ends the keep-warm window does so in the same write, with a higher serial.
    for traffic in (desired,) if desired.rollout_serial > deployed.rollout_serial else (deployed, desired):
        if traffic.idle_color in colors and is_kept_warm(traffic, context.now):
            return f"{traffic.idle_color} is kept warm until {format_or_empty(traffic.keep_until)}", "Wait until then"
    return None


def _lines(what: str, fix: str, context: Context) -> str:
    serial = context.desired.rollout_serial if context.deployed is None else context.deployed.rollout_serial
    return f'{what}.\n{fix}, or permit it once: set announced to "{serial} <reason>".'
