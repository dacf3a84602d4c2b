"""Change guards: which changes of what serves are refused, and what to do instead.

Three kinds of resource are guarded: the weighted rule, the pods of a colour and its nodes. Each function judges one
update and returns none, or the refusal in two lines: what, the old and the new value and the limit; then the way out.

Every write of the scripts counts ``rollout_serial`` up, so the serials tell who acts: a lower one is a stale config,
an equal one a person's plain update, a higher one a script, which keeps to steps, holds and gates of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from components.domain.naming import COLORS, Color
from components.domain.traffic import Traffic

# What is longer says no more than the name of the input does.
_MAX_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a guard needs to know beside the old and the new: the service's traffic, and what was permitted.

    ``deployed`` is what the rule says before the update; none when there is no rule yet. It lacks the weights that
    nobody knows. ``desired`` is what the config says. ``announced`` is the setting of that name.
    """

    stack: str
    service: str
    deployed: Traffic | None
    desired: Traffic
    announced: str
    max_step_points: int
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Pods:
    """What one colour's Deployment declares."""

    release_id: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What a node group declares: its sizes, and by input name whatever its nodes are made from."""

    desired: int
    maximum: int
    made_from: Mapping[str, str]


def rule_refusal(context: Context) -> str | None:
    """Judge an update of the weighted rule. A rollback passes at any serial that is not stale."""
    deployed, desired = context.deployed, context.desired
    if deployed is None:
        return None
    if _is_stale(deployed, desired):
        return _stale(context, deployed)
    if desired.rollout_serial > deployed.rollout_serial or _goes_back(context, deployed) or _is_announced(context):
        return None
    ways = (_unknown_weights, _promotion, _step, _broken_promise)
    return next((refusal for way in ways if (refusal := way(context, deployed))), None)


def pods_refusal(color: Color, old: Pods, new: Pods, context: Context) -> str | None:
    """Judge an update of a colour's pods: what serves, or is promised to stay, keeps its release and its size."""
    if new.release_id != old.release_id:
        what = f"release may not go from {old.release_id} to {new.release_id} in place"
    elif new.replicas < old.replicas:
        what = f"replicas may not go from {old.replicas} to {new.replicas}, {old.replicas} is the least"
    else:
        what = None
    return _refusal(f"{context.service}-{color}", what, (color,), context)


def nodes_refusal(colors: Sequence[Color], old: Nodes, new: Nodes, context: Context) -> str | None:
    """Judge an update of the node group of these colours: nodes that serve are neither taken away nor exchanged."""
    fewest = min(new.desired, new.maximum)
    # What the program says nothing about any more, the cloud keeps as it is.
    changed = [
        _change(key, old.made_from.get(key, "unset"), value)
        for key, value in new.made_from.items()
        if old.made_from.get(key) != value
    ]
    if fewest < old.desired:
        what = f"may not go from {old.desired} to {fewest}, {old.desired} is the least"
    elif changed:
        what = f"may not be exchanged in place ({', '.join(changed)})"
    else:
        what = None
    where = "-".join((context.service, *colors)) if len(colors) == 1 else context.service
    return _refusal(f"{where} nodes", what, colors, context)


def is_promised(traffic: Traffic, now: datetime) -> bool:
    """Tell whether the idle colour is to stay warm: its time is not over."""
    until = _time(traffic.keep_until)
    return until is not None and until > now


def _is_stale(deployed: Traffic, desired: Traffic) -> bool:
    return desired.rollout_serial < deployed.rollout_serial


def _is_announced(context: Context) -> bool:
    """Tell whether the change was announced: for the serial that is deployed, and that the config still has."""
    serial = context.announced.partition(" ")[0]
    deployed = context.desired if context.deployed is None else context.deployed
    return serial.isdecimal() and int(serial) == deployed.rollout_serial == context.desired.rollout_serial


def _goes_back(context: Context, deployed: Traffic) -> bool:
    """Tell whether an update returns traffic: to the active colour, or all of it to the one kept warm for that."""
    desired, idle = context.desired, deployed.idle_color
    if desired.active_color == deployed.active_color:
        return idle in deployed.weights and desired.weights[idle] < deployed.weights[idle]
    return desired.weights[idle] == 100 and is_promised(deployed, context.now)


def _stale(context: Context, deployed: Traffic) -> str:
    desired = context.desired
    green = deployed.weights.get("green")
    live = (
        f"rollout_serial {deployed.rollout_serial}, green_weight {'unknown' if green is None else green}, "
        f'active_color {deployed.active_color}, keep_until "{deployed.keep_until}"'
    )
    return (
        f"{context.service}: rollout_serial {desired.rollout_serial} of the config is behind the deployed "
        f"{deployed.rollout_serial}: the config is stale and would undo a rollout.\n"
        f"Pull the newest Pulumi.{context.stack}.yaml, or write the deployed values into it: {live}."
    )


def _unknown_weights(context: Context, deployed: Traffic) -> str | None:
    if len(deployed.weights) == len(COLORS):
        return None
    what = (
        f"{context.service}: the deployed rule splits between other target groups than the program's, weights unknown"
    )
    return _lines(what, "Put the former target groups back", context)


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


def _broken_promise(context: Context, deployed: Traffic) -> str | None:
    if not is_promised(deployed, context.now):
        return None
    old, new = deployed.keep_until, context.desired.keep_until
    until = _time(new)
    if until is not None and until >= (_time(old) or until):
        return None
    what = (
        f'{context.service}: keep_until may not go from {old} to "{new}": until then {deployed.idle_color} stays warm'
    )
    return _lines(what, "Wait until then", context)


def _refusal(where: str, what: str | None, colors: Sequence[Color], context: Context) -> str | None:
    """Judge a change of what serves: a stale config may change nothing, any other one what need not stay."""
    if context.deployed is not None and _is_stale(context.deployed, context.desired):
        return _stale(context, context.deployed)
    if what is None or _is_announced(context):
        return None
    reason_and_fix = _share(colors, context) or _promise(colors, context)
    if reason_and_fix is None:
        return None
    reason, fix = reason_and_fix
    return _lines(f"{where}: {what}: {reason}", fix, context)


def _change(key: str, old: str, new: str) -> str:
    return key if max(len(old), len(new)) > _MAX_SHOWN_CHARACTERS else f"{key} {old} to {new}"


def _share(colors: Sequence[Color], context: Context) -> tuple[str, str] | None:
    """Say that requests go to one of these colours, before the update or after it."""
    desired = context.desired
    deployed = desired if context.deployed is None else context.deployed
    # A weight that nobody knows may be all of it.
    shares = {color: max(deployed.weights.get(color, 100), desired.weights[color]) for color in colors}
    color = max(shares, key=lambda color: shares[color])
    if not shares[color]:
        return None
    fix = f"Change the idle colour, with `python -m scripts.ramp --stack {context.stack}`"
    return f"{shares[color]} % of requests go to {color}", fix


def _promise(colors: Sequence[Color], context: Context) -> tuple[str, str] | None:
    """Say that one of these colours is kept warm as the way back."""
    desired = context.desired
    deployed = desired if context.deployed is None else context.deployed
    # A script that ends the promise says so in the same write, with a higher serial.
    for traffic in (desired,) if desired.rollout_serial > deployed.rollout_serial else (deployed, desired):
        if traffic.idle_color in colors and is_promised(traffic, context.now):
            return f"{traffic.idle_color} is kept warm until {traffic.keep_until}", "Wait until then"
    return None


def _lines(what: str, fix: str, context: Context) -> str:
    serial = context.desired.rollout_serial if context.deployed is None else context.deployed.rollout_serial
    return f'{what}.\n{fix}, or permit it once: set announced to "{serial} <reason>".'


def _time(text: str) -> datetime | None:
    """Read a time; what cannot be read promises nothing."""
    try:
        time = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
