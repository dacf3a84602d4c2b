"""Bind the change guards to resources: one hook per service, which the engine calls before each guarded update.

The hook also runs in previews, so a change is refused before anything happens. It runs only for updates of resources.
It does not run for deletions and replacements, including ``pulumi destroy``; ``protect`` refuses those. It does not
run in ``pulumi refresh`` and ``pulumi state``, which change only Pulumi's state, nor on a stack's first update.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import pulumi
from pulumi_aws import lb

from components.config.service_settings import ServiceSettings
from components.domain.balancer.traffic import ColorState, Traffic, parse_cohorts
from components.domain.guards import (
    Context,
    DeclaredNodes,
    DeclaredPods,
    DeclaredScaling,
    nodes_refusal,
    pods_refusal,
    rule_refusal,
    scaling_refusal,
)
from components.domain.moments import parse_or_none
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    COHORTS_KEY,
    COLOR_KEY,
    COLORS,
    GPU_RESOURCE,
    KEEP_UNTIL_KEY,
    RELEASE_KEY,
    ROLLOUT_SERIAL_KEY,
    Color,
    color_state_key,
)
from components.domain.nodes.node_pools import keeps_all_nodes
from components.resources.scaled_object import PARKED

# A change of one of these inputs makes EKS replace the group's nodes one after the other.
_MADE_FROM: Final = (
    *("amiType", "capacityType", "diskSize", "instanceTypes", "launchTemplate"),
    *("releaseVersion", "taints", "version"),
)

# A change of one of these inputs does not make a new version of the launch template.
_UNVERSIONED: Final = ("__defaults", "defaultVersion", "name", "namePrefix", "tags", "tagsAll", "updateDefaultVersion")

Json = Mapping[str, Any]


class UnsafeChangeError(Exception):
    """A guard refuses an update; the message says what changes, the limit and the fix."""


class ServiceGuards:
    """The guards of one service: for its weighted rule, its pods, their autoscaler and its nodes.

    Pods and nodes must depend on the rule. Then the guard checks the rule's update first, a refusal also stops the
    updates of pods and nodes, and their guards know what was deployed before.
    """

    def __init__(self, service: str, settings: ServiceSettings, desired: Traffic) -> None:
        """Guard ``service`` with its settings; ``desired`` is the traffic that the program declares on the rule."""
        self._service = service
        self._settings = settings
        self._desired = desired
        self._before: Traffic | None = None
        self._rule: lb.ListenerRule | None = None
        self._target_groups: Mapping[Color, lb.TargetGroup] = {}

    def bind(self) -> pulumi.ResourceHookBinding:
        """Register the hook, and return the binding for the guarded resources."""
        hook = pulumi.ResourceHook(f"{self._service}-guards", self.check, pulumi.ResourceHookOptions(on_dry_run=True))
        # There is no hook for deletions: with one, `pulumi destroy` would need the program. `protect` covers deletions.
        return pulumi.ResourceHookBinding(before_update=[hook])

    def watch(self, rule: lb.ListenerRule, target_groups: Mapping[Color, lb.TargetGroup]) -> None:
        """Set the resources that show what is deployed. Call this directly after declaring them."""
        self._rule = rule
        self._target_groups = target_groups

    async def check(self, args: pulumi.ResourceHookArgs) -> None:
        """Check one update.

        Raises:
            UnsafeChangeError: the update is refused.
        """
        old, new = await _inputs(args.old_inputs), await _inputs(args.new_inputs)
        if refusal := await self._refusal(args.type, old, new):
            raise UnsafeChangeError(refusal)

    async def _refusal(self, type_: str, old: Json, new: Json) -> str | None:
        if type_ == "aws:lb/listenerRule:ListenerRule":
            # The weighted rule's tag says where the cohorts are, so a cohort's rule needs no guard.
            self._before = await self._traffic(_weights(old), old.get("tags") or {})
            return rule_refusal(self._context(self._before))
        context = self._context(self._before or await self._recorded())
        if type_ == "kubernetes:apps/v1:Deployment":
            (color,) = _colors(new["metadata"])
            return pods_refusal(color, _pods(old), _pods(new), context)
        if type_ == "kubernetes:keda.sh/v1alpha1:ScaledObject":
            (color,) = _colors(new["metadata"])
            return scaling_refusal(color, _scaling(old), _scaling(new), context)
        if type_ == "aws:eks/nodeGroup:NodeGroup":
            return nodes_refusal(_colors(new), _nodes(old), _nodes(new), context)
        if type_ == "kubernetes:karpenter.sh/v1:NodePool":
            return nodes_refusal(_colors(new["metadata"]), _node_pool(old), _node_pool(new), context)
        if type_ == "aws:ec2/launchTemplate:LaunchTemplate":
            # The template is guarded too: its new version would remain after the node group's update is refused.
            return nodes_refusal(_colors(new), _template(old), _template(new), context)
        raise TypeError(f"there is no guard for {type_}")

    def _context(self, deployed: Traffic) -> Context:
        return Context(
            stack=pulumi.get_stack(),
            service=self._service,
            deployed=deployed,
            desired=self._desired,
            announced=self._settings.announced,
            max_step_points=self._settings.max_step_points,
            now=datetime.now(UTC),
        )

    async def _recorded(self) -> Traffic:
        """Return the traffic of a rule that this update does not change, perhaps because it is not a target."""
        if self._rule is None:
            raise TypeError(f"the guards of {self._service} have no rule")
        actions = await self._rule.actions.future() or []
        weights = {
            group.arn: group.weight
            for action in actions
            if action.forward is not None
            for group in action.forward.target_groups
        }
        return await self._traffic(weights, await self._rule.tags.future() or {})

    async def _traffic(self, weights: Mapping[Any, Any], tags: Mapping[str, Any]) -> Traffic:
        """Return a rule's traffic; unreadable tags are taken from the config, and unreadable weights are left out."""
        known: dict[Color, int] = {}
        for color, group in self._target_groups.items():
            weight = weights.get(await group.arn.future())
            if weight is not None:
                known[color] = int(weight)
        active_color, serial = tags.get(ACTIVE_COLOR_KEY), str(tags.get(ROLLOUT_SERIAL_KEY, ""))
        return Traffic(
            weights=known,
            active_color=active_color if active_color in COLORS else self._desired.active_color,
            keep_until=parse_or_none(str(tags.get(KEEP_UNTIL_KEY, ""))),
            rollout_serial=int(serial) if serial.isdecimal() else self._desired.rollout_serial,
            colors={
                color: state
                for color in COLORS
                if (state := ColorState.parse(str(tags.get(color_state_key(color), "")))) is not None
            },
            cohorts=parse_cohorts(str(tags.get(COHORTS_KEY, ""))),
        )


async def _inputs(inputs: Mapping[str, Any] | None) -> Json:
    """Return inputs with plain values; an input that contains a secret arrives as an output."""
    return {
        key: await value.future(with_unknowns=True) if isinstance(value, pulumi.Output) else value
        for key, value in (inputs or {}).items()
    }


def _weights(rule: Json) -> dict[Any, Any]:
    return {
        group["arn"]: group.get("weight")
        for action in rule.get("actions") or []
        for group in (action.get("forward") or {}).get("targetGroups") or []
        if isinstance(group.get("arn"), str)
    }


def _colors(labelled: Json) -> Sequence[Color]:
    """Return the colour in a label or a tag; both colours if there is none."""
    color = (labelled.get("labels") or labelled.get("tags") or {}).get(COLOR_KEY)
    return [one for one in COLORS if one == color] or COLORS


def _pods(deployment: Json) -> DeclaredPods:
    spec = deployment["spec"]
    labels = spec["template"]["metadata"].get("labels") or {}
    replicas = spec.get("replicas")
    return DeclaredPods(
        release_id=str(labels.get(RELEASE_KEY, "none")), replicas=None if replicas is None else int(replicas)
    )


def _scaling(scaled_object: Json) -> DeclaredScaling:
    annotations = scaled_object["metadata"].get("annotations") or {}
    if PARKED.items() <= annotations.items():
        return DeclaredScaling(floor=0, ceiling=0)
    spec = scaled_object["spec"]
    return DeclaredScaling(floor=int(spec["minReplicaCount"]), ceiling=int(spec["maxReplicaCount"]))


def _nodes(group: Json) -> DeclaredNodes:
    sizes = group["scalingConfig"]
    return DeclaredNodes(
        desired=int(sizes["desiredSize"]),
        maximum=int(sizes["maxSize"]),
        made_from={key: _text(group[key]) for key in _MADE_FROM if group.get(key) is not None},
    )


def _node_pool(pool: Json) -> DeclaredNodes:
    """Return how many GPUs a node pool permits, and the disruption budgets if its nodes may be replaced by them."""
    spec = pool["spec"]
    gpus, budgets = int(spec["limits"][GPU_RESOURCE]), spec["disruption"].get("budgets")
    # While the budgets keep all nodes, no other change replaces one.
    replaced_by = {} if keeps_all_nodes(budgets) else {"disruption.budgets": _text(budgets)}
    return DeclaredNodes(desired=gpus, maximum=gpus, unit="GPUs", made_from=replaced_by)


def _template(template: Json) -> DeclaredNodes:
    inputs = {key: _text(value) for key, value in template.items() if key not in _UNVERSIONED and value is not None}
    return DeclaredNodes(desired=0, maximum=0, made_from=inputs)


def _text(value: Any) -> str:
    """Return a value as a short text. Numbers arrive as floats, and a preview does not know all values."""
    if isinstance(value, Mapping):
        return " ".join(_text(one) for key, one in sorted(cast(Json, value).items()) if key != "__defaults")
    if isinstance(value, list):
        return ", ".join(_text(one) for one in cast(list[Any], value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "one not known yet" if isinstance(value, pulumi.output.Unknown) else str(value)
