"""Lifecycle: a warm colour stays, serving resources are protected, and the rule names the active colour."""

from collections.abc import Iterator
from typing import Final

from pulumi_policy import Severity

from components.domain.balancer.traffic import ColorState, cohorts_text, parse_cohorts
from components.domain.guards import is_kept_warm
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    ANNOUNCED_KEY,
    COHORTS_KEY,
    COLORS,
    KEEP_UNTIL_KEY,
    ROLLING_OUT_KEY,
    ROLLOUT_SERIAL_KEY,
    color_state_key,
)
from components.domain.nodes.node_pools import keeps_all_nodes
from policies import clock
from policies.policy import Options, resource_policy, wrong
from policies.resources import (
    DEPLOYMENT,
    LISTENER,
    LISTENER_RULE,
    LOAD_BALANCER,
    NAMESPACE,
    NODE_GROUP,
    NODE_POOL,
    TARGET_GROUP,
    Resource,
    whole,
)
from policies.rule import is_announced, is_weighted_rule, keep_until_text, traffic_of

_EMPTY_OR_TIME: Final = "an RFC 3339 time with its zone, or empty"


@resource_policy(
    "lifecycle-rule-says-what-it-does",
    LISTENER_RULE,
    description="A weighted rule's tags must name the active colour, the end of the keep-warm window, and the state of "
    "each colour.",
    fix="Let the program write the tags; scripts, guards and policies read them.",
)
def rule_says_what_it_does(rule: Resource, _: Options) -> Iterator[str]:
    """A rollback reads from the tags which colour to go back to, and the serial shows that a config is stale."""
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
    # The next four may be missing: then nothing is kept warm, announced or under way, and there is no cohort.
    keep_until, announced = marks.get(KEEP_UNTIL_KEY), marks.get(ANNOUNCED_KEY)
    if keep_until and clock.moment(str(keep_until)) is None:
        yield _unreadable(rule, KEEP_UNTIL_KEY, keep_until, _EMPTY_OR_TIME)
    if announced and whole(announced) is None:
        yield _unreadable(rule, ANNOUNCED_KEY, announced, "a serial, or empty")
    if (cohorts := marks.get(COHORTS_KEY)) and cohorts_text(parse_cohorts(str(cohorts))) != cohorts:
        yield _unreadable(rule, COHORTS_KEY, cohorts, '"<cohort>:<color>" for each cohort, with spaces between')
    if (rolling_out := marks.get(ROLLING_OUT_KEY) or "false") not in ("true", "false"):
        yield _unreadable(rule, ROLLING_OUT_KEY, rolling_out, "true or false")


def _unreadable(rule: Resource, key: str, value: object, must: str) -> str:
    return wrong(rule, f"the tag {key}", value, must, "Let the program write it.")


@resource_policy(
    "lifecycle-idle-color-kept",
    LISTENER_RULE,
    description="Until keep_until, the idle colour must keep its release and its replicas.",
    fix="Wait until keep_until, or announce the change.",
    severity=Severity.CRITICAL,
)
def idle_color_kept(rule: Resource, _: Options) -> Iterator[str]:
    """A rollback of the last promotion goes to this colour. If it is parked, the rollback waits for a cold start."""
    traffic = traffic_of(rule)
    if traffic is None or not is_kept_warm(traffic, clock.now()) or is_announced(traffic):
        return
    idle = traffic.idle_color
    if not traffic.colors[idle].replicas:
        must = f"running until {keep_until_text(rule)}"
        fix = (
            f'Wait until then, or give up the fast rollback: set keep_until to "" and announced to '
            f'"{traffic.rollout_serial} <reason>".'
        )
        yield wrong(rule, f"{idle}, the idle colour,", traffic.colors[idle], must, fix)


@resource_policy(
    "lifecycle-promotion-matches-weights",
    LISTENER_RULE,
    description="Outside a rollout, the colour with all the weight must be the active colour.",
    fix="Set active_color to the colour that serves, or move the weights back.",
)
def promotion_matches_weights(rule: Resource, _: Options) -> Iterator[str]:
    """Rollouts, rollbacks and reaps assume that the active colour serves."""
    traffic = traffic_of(rule)
    if traffic is None or traffic.rolling_out or is_announced(traffic):
        return
    active, idle = traffic.active_color, traffic.idle_color
    # On a new stack, weights do not matter: no colour runs.
    runs = any(traffic.colors[color].replicas for color in COLORS)
    if runs and traffic.weights[idle] and not traffic.weights[active]:
        fix = f"Roll out with scripts.ramp, which promotes {idle}, or keep some weight on {active}."
        yield wrong(rule, "the active colour", active, f"{idle}, which has all the weight", fix)


@resource_policy(
    "lifecycle-rollout-ends-the-promise",
    LISTENER_RULE,
    description="While a rollout is under way, the keep-warm window of the idle colour must be over.",
    fix='Set keep_until to "" when a rollout begins, as scripts.ramp does.',
    severity=Severity.CRITICAL,
)
def rollout_ends_the_promise(rule: Resource, _: Options) -> Iterator[str]:
    """Otherwise a rollback would treat the candidate as the colour to go back to, and send all requests there."""
    traffic = traffic_of(rule)
    if traffic is not None and traffic.rolling_out and is_kept_warm(traffic, clock.now()):
        must = f"over or empty while a rollout onto {traffic.idle_color} is under way"
        yield wrong(rule, "keep_until", keep_until_text(rule), must, 'Set keep_until to "", or rolling_out to false.')


@resource_policy(
    "lifecycle-protected",
    *(LISTENER_RULE, TARGET_GROUP, LISTENER, LOAD_BALANCER, NODE_GROUP, NODE_POOL, DEPLOYMENT, NAMESPACE),
    description="Resources that a service's requests pass through must be protected against deletion.",
    fix="Set protect to true. To tear a service down, exempt it from this policy.",
    severity=Severity.CRITICAL,
)
def protected(resource: Resource, _: Options) -> Iterator[str]:
    """No weight change can undo a deletion, and a small mistake in a program is enough to cause one."""
    if resource.service is None or not _carries_requests(resource):
        return
    fix = "Set protect to true in the stack config. To tear the service down, exempt it from this policy."
    if not resource.protect:
        yield wrong(resource, "protect", False, "true", fix)
    if resource.type == LOAD_BALANCER and resource.get("enableDeletionProtection") is not True:
        yield wrong(resource, "enableDeletionProtection", resource.get("enableDeletionProtection"), "true", fix)


def _carries_requests(resource: Resource) -> bool:
    if resource.type == LISTENER_RULE:
        return is_weighted_rule(resource)
    if resource.type == LISTENER:
        # A redirect serves no requests.
        return resource.role != "redirect-listener"
    if resource.type == NODE_GROUP:
        return whole(resource.get("scalingConfig.desiredSize")) != 0
    if resource.type == NODE_POOL:
        return keeps_all_nodes(resource.get("spec.disruption.budgets"))
    if resource.type == DEPLOYMENT:
        return resource.color is not None and whole(resource.get("spec.replicas")) != 0
    return True
