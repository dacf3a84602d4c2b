"""Traffic: whatever the weights are, every request finds somebody who answers it, and a weight means what it says."""

from collections.abc import Iterator

from pulumi_policy import Severity

from components.naming import COLORS
from policies.policy import Options, resource_policy, wrong
from policies.resource import LISTENER_RULE, Resource, whole
from policies.rule import is_weighted_rule, shares


@resource_policy(
    "traffic-weights-add-up",
    LISTENER_RULE,
    description="The weights of a weighted rule must be whole percents that add up to 100.",
    fix="Set green_weight to a whole number from 0 to 100; blue gets the rest.",
    severity=Severity.CRITICAL,
)
def weights_add_up(rule: Resource, _: Options) -> Iterator[str]:
    """An ALB takes any numbers, but gates, guards and people read weights as percents."""
    if not is_weighted_rule(rule):
        return
    fix = "Set both from one green_weight: green gets it, blue the rest."
    found = shares(rule)
    weights = [whole(share.weight) for share in found]
    for share, weight in zip(found, weights, strict=True):
        if weight is None or not 0 <= weight <= 100:
            yield wrong(rule, f"the weight of {share.color}", share.weight, "a whole number from 0 to 100", fix)
    total = sum(weight or 0 for weight in weights)
    if None not in weights and total != 100:
        yield wrong(rule, "the sum of the weights", total, "100", fix)


@resource_policy(
    "traffic-both-target-groups",
    LISTENER_RULE,
    description="A weighted rule must forward to both colours' target groups, also at weight 0.",
    fix="Put both target groups into the forward action, the idle one at weight 0.",
    severity=Severity.CRITICAL,
)
def both_target_groups(rule: Resource, _: Options) -> Iterator[str]:
    """A target group in no rule is not health-checked, so a rollback to it would go to targets nobody has looked at."""
    if not is_weighted_rule(rule):
        return
    colors = [share.color for share in shares(rule)]
    if sorted(filter(None, colors)) != sorted(COLORS) or len(colors) != len(COLORS):
        fix = "Name each target group <service>-<color>, and forward to each of them once."
        yield wrong(
            rule, "the target groups of the forward action", [c or "unknown" for c in colors], "blue, green", fix
        )
