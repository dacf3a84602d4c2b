"""Drift: differences between the live rule, the config file and Pulumi's state."""

from collections.abc import Collection, Iterator
from typing import cast

from pydantic import JsonValue

from components.config.settings import ServiceSettings
from components.domain.balancer.traffic import ColorState
from components.domain.moments import format_or_empty
from components.domain.naming import COLORS, Color, other_color
from rollout.model.counts import counts_text
from rollout.model.plan import full_weight_of
from rollout.model.rule import LiveRule, Routing, StateRule
from rollout.ports import Ports


def rollout_drift(ports: Ports, service: str, routing: Routing) -> tuple[str, ...]:
    """Return how the rules and the config differ from what the rollout last wrote, and who changed them if known.

    Args:
        ports: the ports.
        service: the service.
        routing: the routing that the rollout set last.

    Raises:
        UnavailableError: the load balancer does not answer now.
    """
    rule, settings = ports.load_balancer.rule(), ports.config.read()
    found: list[str] = []
    if not rule.follows(routing):
        found.append(f"the rule {rule} instead of {routing}: {_mover(ports, service, rule)}")
    if settings.green_weight != routing.green_weight:
        found.append(
            f"green_weight: the config file says {settings.green_weight}, but the rollout wrote "
            f"{routing.green_weight}: an older file was restored, or somebody edited it"
        )
    if set(settings.cohorts_on_candidate) != set(routing.cohorts_on_candidate):
        found.append(
            f"cohorts_on_candidate: the config file says {_names(settings.cohorts_on_candidate)}, but the rollout "
            f"wrote {_names(routing.cohorts_on_candidate)}: an older file was restored, or somebody edited it"
        )
    if settings.rollout_serial < rule.rollout_serial:
        found.append(
            f"rollout_serial: the config file says {settings.rollout_serial}, the live rule {rule.rollout_serial}: the "
            "file is stale: an older one was restored, or another rollout is newer"
        )
    elif settings.rollout_serial > rule.rollout_serial:
        found.append(
            f"rollout_serial: the config file says {settings.rollout_serial}, the live rule {rule.rollout_serial}: "
            "somebody's update has set the rule from an older file"
        )
    if rule.active_color is not None and rule.active_color != settings.active_color:
        found.append(f"active_color: the config file says {settings.active_color}, the live rule {rule.active_color}")
    return tuple(found)


def _names(cohorts: Collection[str]) -> str:
    return ", ".join(sorted(cohorts)) or "none"


def _mover(ports: Ports, service: str, rule: LiveRule) -> str:
    """Return how the weights were changed. An update leaves them in Pulumi's state; a manual change does not."""
    try:
        state = ports.stack.rule_in_state(service)
    except Exception:  # only the wording depends on the state
        state = None
    if state is None:
        return "somebody has changed it"
    if state_agrees(rule, state):
        return "somebody's `pulumi up` has changed it"
    return "somebody has changed it outside of Pulumi"


def state_agrees(rule: LiveRule, state: StateRule) -> bool:
    """Return whether Pulumi's state has the rules as they are."""
    groups = rule.target_groups
    return state.weights == {groups[color]: weight for color, weight in rule.weights.items()} and {
        cohort: one.weights.get(groups["green"], 0) for cohort, one in state.cohorts.items()
    } == dict(rule.cohorts)


def state_drift(rule: LiveRule, state: StateRule | None) -> Iterator[str]:
    """Yield how the live rule differs from Pulumi's state. If it does, somebody changed it outside of Pulumi."""
    fix = "run `pulumi refresh`, and check with scripts.status what it should be"
    if state is None:
        yield f"weighted rule: is missing in Pulumi's state; {fix}"
        return
    live = {rule.target_groups[color]: weight for color, weight in rule.weights.items()}
    if live != state.weights:
        kept = {color: state.weights.get(arn, 0) for color, arn in rule.target_groups.items()}
        weights = counts_text(rule.weights)
        yield f"green_weight: the live rule splits {weights}, Pulumi's state has {counts_text(kept)}; {fix}"
    elif not state_agrees(rule, state):
        yield f"rollout.cohorts: the live rule {rule}, Pulumi's state has other rules of cohorts; {fix}"
    if (rule.active_color or "", rule.rollout_serial) != (state.active_color, state.rollout_serial):
        yield (
            f"weighted rule: its tags say {rule.active_color} at serial {rule.rollout_serial}, Pulumi's state "
            f"{state.active_color or 'no colour'} at {state.rollout_serial}; {fix}"
        )


def config_drift(settings: ServiceSettings, rule: LiveRule) -> tuple[str, ...]:
    """Return how the config file and the live rule differ."""
    violations: list[str] = []
    if settings.rollout_serial < rule.rollout_serial:
        violations.append(
            f"rollout_serial: the config file says {settings.rollout_serial}, the live rule {rule.rollout_serial}: the "
            "file is stale; pull the newest one, or write the live values into it with scripts.adopt"
        )
    elif not rule.splits(settings.green_weight):
        violations.append(
            f"green_weight: the config file says {settings.green_weight}, the live rule splits "
            f"{counts_text(rule.weights)}; {_weight_fix(settings, rule)}"
        )
    elif settings.cohort_names != frozenset(rule.cohorts):
        violations.append(
            f"rollout.cohorts: the config file has {_names(settings.cohort_names)}, the listener has rules of "
            f"{_names(rule.cohorts)}; run `pulumi up`, which declares one for each cohort"
        )
    elif not rule.follows(routing_of(settings)):
        violations.append(
            f"cohorts_on_candidate: the config file says {_names(settings.cohorts_on_candidate)}, the live rule "
            f"{rule}; {_weight_fix(settings, rule)}"
        )
    if rule.active_color is not None and rule.active_color != settings.active_color:
        agree = rule.follows(routing_of(settings))
        fix = "or run `pulumi up`, which moves no traffic then" if agree else "or run scripts.rollback"
        violations.append(
            f"active_color: the config file says {settings.active_color}, the live rule {rule.active_color}; pull the "
            f"newest file, {fix}"
        )
    return tuple(violations)


def routing_of(settings: ServiceSettings) -> Routing:
    """Return where requests go by the config."""
    return Routing(
        green_weight=settings.green_weight,
        active_color=settings.active_color,
        cohorts_on_candidate=frozenset(settings.cohorts_on_candidate),
    )


def _weight_fix(settings: ServiceSettings, rule: LiveRule) -> str:
    """Return how to bring the weights in line without sending requests to a colour that a rollback has just left."""
    active = rule.active_color or settings.active_color
    edited = active == settings.active_color and rule.rollout_serial == settings.rollout_serial
    alone = rule.splits(full_weight_of(active)) and not rule.cohorts_on(other_color(active))
    if edited and alone and not (settings.rolling_out or rule.rolling_out):
        value = "[]" if rule.splits(settings.green_weight) else rule.weights["green"]
        return f"no rollout wrote the file's value: set it back to {value}, or use scripts.ramp to move traffic"
    return "scripts.rollback brings them in line; a `pulumi up` before that may move traffic the wrong way"


def adoption_violations(settings: ServiceSettings, rule: LiveRule) -> Iterator[str]:
    """Yield the reasons why the live values cannot be written into this file."""
    if settings.rollout_serial > rule.rollout_serial:
        same = rule.follows(routing_of(settings))
        fix = "`pulumi up`, which moves no traffic then" if same else "scripts.rollback"
        yield (
            f"rollout_serial: the file says {settings.rollout_serial}, the live rule {rule.rollout_serial}: the file "
            f"is not stale, but its last update is unfinished. Run {fix}"
        )
    if rule.active_color is None:
        yield "active_color: the live rule has no tag for it; run `pulumi up` to restore the tags"
    if rule.unreadable_keep_until:
        yield (
            f"keep_until: the live rule's tag has {rule.unreadable_keep_until!r}, which is no RFC 3339 time; run "
            "`pulumi up` to restore the tags"
        )
    if sum(rule.weights.values()) != 100:
        weights = counts_text(rule.weights)
        yield f"green_weight: the live rule splits {weights}, which is not 100 in sum; run scripts.rollback"
    if split := sorted(cohort for cohort, weight in rule.cohorts.items() if weight not in (0, 100)):
        yield f"cohorts_on_candidate: the live rule {rule}, but {_names(split)} must be on one; run scripts.rollback"
    if unknown := rule.cohorts.keys() - settings.cohort_names:
        yield f"rollout.cohorts: the file has no {_names(unknown)}, which live has; pull the newest file"
    for color in COLORS:
        state = rule.colors.get(color)
        ours = settings.color(color).as_tagged.release_id
        if state is not None and state.release_id != ours:
            yield (
                f"{color}.release: the file has {ours or 'none'}, live is {state.release_id or 'none'}: a release "
                "cannot be restored from its id. Pull the newest file, as the last rollout committed it"
            )


def adopted(settings: ServiceSettings, rule: LiveRule) -> dict[str, JsonValue]:
    """Return the keys that differ, with their live values."""
    live: dict[str, JsonValue] = {
        "green_weight": rule.weights["green"],
        "active_color": rule.active_color,
        "keep_until": format_or_empty(rule.keep_until),
        "rolling_out": rule.rolling_out,
        "rollout_serial": rule.rollout_serial,
    }
    ours = {key: getattr(settings, key) for key in live} | {"keep_until": format_or_empty(settings.keep_until)}
    edits = {key: value for key, value in live.items() if ours[key] != value}
    on_candidate = [] if rule.active_color is None else sorted(rule.cohorts_on(other_color(rule.active_color)))
    if on_candidate != sorted(settings.cohorts_on_candidate):
        edits["cohorts_on_candidate"] = cast(JsonValue, on_candidate)
    for color, state in rule.colors.items():
        edits |= dict(_color_edits(settings, color, state))
    return edits


def _color_edits(settings: ServiceSettings, color: Color, state: ColorState) -> Iterator[tuple[str, JsonValue]]:
    ours = settings.color(color)
    if state.release_id is None or state == ours.as_tagged:
        return
    if ours.parked != (not state.replicas):
        yield f"{color}.parked", not state.replicas
    if state.replicas and state.replicas != ours.wanted_replicas:
        if settings.autoscaling is not None:
            yield f"{color}.floor_replicas", state.replicas
        elif settings.capacity is None:
            yield f"{color}.replicas", state.replicas
        else:
            all_stand = state.replicas == ours.replicas and not state.starting
            yield f"{color}.running_replicas", 0 if all_stand else state.replicas
    if state.replicas and settings.declares_nodes and not ours.nodes_wanted:
        yield f"{color}.provisioned", True
