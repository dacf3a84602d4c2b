"""Lifecycle: what is kept warm stays, what requests pass through is protected, and the rule says who is promoted."""

from collections.abc import Iterator
from typing import Final

from pulumi_policy import Severity

from components.domain.guards import is_kept_warm
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    ANNOUNCED_KEY,
    COLORS,
    KEEP_UNTIL_KEY,
    ROLLING_OUT_KEY,
    ROLLOUT_SERIAL_KEY,
    color_state_key,
)
from components.domain.traffic import ColorState
from policies import clock
from policies.policy import Options, resource_policy, wrong
from policies.resources import (
    DEPLOYMENT,
    LISTENER,
    LISTENER_RULE,
    LOAD_BALANCER,
    NAMESPACE,
    NODE_GROUP,
    TARGET_GROUP,
    Resource,
    whole,
)
from policies.rule import is_announced, is_weighted_rule, traffic_of

_EMPTY_OR_TIME: Final = "an RFC 3339 time with its zone, or empty"


@resource_policy(
    "lifecycle-rule-says-what-it-does",
    LISTENER_RULE,
    description="A weighted rule must say in its tags which colour is active, until when the other is kept, and what "
    "each of them is.",
    fix="Let the program write the tags; scripts, guards and policies read them.",
)
def rule_says_what_it_does(rule: Resource, _: Options) -> Iterator[str]:
    """A rollback finds out from the tags which colour to go back to, and a stale config shows by the serial."""
    if not is_weighted_rule(rule):
        return
    marks = rule.marks
    active, serial = marks.get(ACTIVE_COLOR_KEY), marks.get(ROLLOUT_SERIAL_KEY)
    if active not in COLORS:
        yield _unreadable(rule, ACTIVE_COLOR_KEY, active, "blue or green")
    if whole(serial) is None:
        yield _unreadable(rule, ROLLOUT_SERIAL_KEY, serial, "a whole number")
    for color in COLORS:
        state = marks.get(color_state_key(color))
        if ColorState.parse(str(state)) is None:
            yield _unreadable(
                rule, color_state_key(color), state, '"<release> x<replicas>", "<release> parked" or unused'
            )
    # Without these three nothing is promised, under way or permitted.
    keep_until, announced = marks.get(KEEP_UNTIL_KEY), marks.get(ANNOUNCED_KEY)
    if keep_until and clock.moment(str(keep_until)) is None:
        yield _unreadable(rule, KEEP_UNTIL_KEY, keep_until, _EMPTY_OR_TIME)
    if announced and whole(announced) is None:
        yield _unreadable(rule, ANNOUNCED_KEY, announced, "a serial, or empty")
    if (rolling_out := marks.get(ROLLING_OUT_KEY) or "false") not in ("true", "false"):
        yield _unreadable(rule, ROLLING_OUT_KEY, rolling_out, "true or false")


def _unreadable(rule: Resource, key: str, value: object, must: str) -> str:
    return wrong(rule, f"the tag {key}", value, must, "Let the program write it.")


@resource_policy(
    "lifecycle-idle-color-kept",
    LISTENER_RULE,
    description="While keep_until is not over, the idle colour must keep its release and its replicas.",
    fix="Wait until keep_until is over, or announce the change.",
    severity=Severity.CRITICAL,
)
def idle_color_kept(rule: Resource, _: Options) -> Iterator[str]:
    """It is the way back from the last promotion: parked, it would need a cold start first."""
    judged = traffic_of(rule)
    if judged is None or not is_kept_warm(judged, clock.now()) or is_announced(judged):
        return
    idle = judged.idle_color
    if not judged.colors[idle].replicas:
        must = f"running until {judged.keep_until}"
        fix = (
            f'Wait until then, or give the way back up: set keep_until to "" and announced to '
            f'"{judged.rollout_serial} <reason>".'
        )
        yield wrong(rule, f"{idle}, the idle colour,", judged.colors[idle], must, fix)


@resource_policy(
    "lifecycle-promotion-matches-weights",
    LISTENER_RULE,
    description="Outside of a rollout, the colour with all the weight must be the active one.",
    fix="Set active_color to the colour that serves, or move the weights back.",
)
def promotion_matches_weights(rule: Resource, _: Options) -> Iterator[str]:
    """Whoever reads the active colour takes it for the one that serves: rollouts, rollbacks and reaps start from it."""
    judged = traffic_of(rule)
    if judged is None or judged.rolling_out or is_announced(judged):
        return
    idle = judged.idle_color
    # A new stack may have its weight anywhere: nobody runs.
    runs = any(judged.colors[color].replicas for color in COLORS)
    if runs and judged.weights[idle] and not judged.weights[judged.active_color]:
        fix = f"Roll out with scripts.ramp, which promotes {idle}, or keep some weight on {judged.active_color}."
        yield wrong(rule, "the active colour", judged.active_color, f"{idle}, which has all the weight", fix)


@resource_policy(
    "lifecycle-rollout-ends-the-promise",
    LISTENER_RULE,
    description="While a rollout is under way, the idle colour must not be promised as the way back.",
    fix='Set keep_until to "" when a rollout begins, as scripts.ramp does.',
    severity=Severity.CRITICAL,
)
def rollout_ends_the_promise(rule: Resource, _: Options) -> Iterator[str]:
    """A rollback would take the candidate for the colour to go back to, and send everybody there."""
    judged = traffic_of(rule)
    if judged is not None and judged.rolling_out and is_kept_warm(judged, clock.now()):
        must = f"over or empty while a rollout onto {judged.idle_color} is under way"
        yield wrong(rule, "keep_until", judged.keep_until, must, 'Set keep_until to "", or rolling_out to false.')


@resource_policy(
    "lifecycle-protected",
    *(LISTENER_RULE, TARGET_GROUP, LISTENER, LOAD_BALANCER, NODE_GROUP, DEPLOYMENT, NAMESPACE),
    description="What a service's requests pass through must be protected against deletion.",
    fix="Set protect to true; to tear a service down, exempt it from this policy.",
    severity=Severity.CRITICAL,
)
def protected(resource: Resource, _: Options) -> Iterator[str]:
    """A deletion is the one change that no weight takes back; a slip in a program is enough for one."""
    if resource.service is None or not _carries_requests(resource):
        return
    fix = "Set protect to true in the stack config; to tear the service down, exempt it from this policy."
    if not resource.protect:
        yield wrong(resource, "protect", False, "true", fix)
    if resource.type == LOAD_BALANCER and resource.get("enableDeletionProtection") is not True:
        yield wrong(resource, "enableDeletionProtection", resource.get("enableDeletionProtection"), "true", fix)


def _carries_requests(resource: Resource) -> bool:
    if resource.type == LISTENER_RULE:
        return is_weighted_rule(resource)
    if resource.type == LISTENER:
        # A redirect serves nobody.
        return resource.role != "redirect-listener"
    if resource.type == NODE_GROUP:
        return whole(resource.get("scalingConfig.desiredSize")) != 0
    if resource.type == DEPLOYMENT:
        return resource.color is not None and whole(resource.get("spec.replicas")) != 0
    return True
