"""Binds the change guards to resources: one hook per service, which the engine calls before it updates one of them.

The hook runs in previews too, so a refused change is refused before anything happens. It does not run where nothing is
updated: in ``pulumi destroy``, and when a resource would be replaced or deleted, which ``protect`` refuses; in
``pulumi refresh`` and ``pulumi state``, which change records alone; and on a stack's first update.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import pulumi
from pulumi_aws import lb

from components.config.service_settings import ServiceSettings
from components.domain.guards import Context, Nodes, Pods, nodes_refusal, pods_refusal, rule_refusal
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    COLOR_KEY,
    COLORS,
    KEEP_UNTIL_KEY,
    RELEASE_KEY,
    ROLLOUT_SERIAL_KEY,
    Color,
)
from components.domain.traffic import Traffic

# Inputs of a node group that, when they change, exchange its nodes one after the other.
_MADE_FROM: Final = (
    *("amiType", "capacityType", "diskSize", "instanceTypes", "launchTemplate"),
    *("releaseVersion", "taints", "version"),
)

# Inputs of a launch template that make no new version of it.
_UNVERSIONED: Final = ("__defaults", "defaultVersion", "name", "namePrefix", "tags", "tagsAll", "updateDefaultVersion")

Json = Mapping[str, Any]


class RefusedError(Exception):
    """A guard refuses an update; the message says what, the limit and the fix."""


class ServiceGuards:
    """The guards of one service: of its weighted rule, and of the pods and nodes behind it.

    Pods and nodes must depend on the rule: then its update is judged first, a refused one stops theirs, and their
    guards know what was deployed before.
    """

    def __init__(self, service: str, settings: ServiceSettings, desired: Traffic) -> None:
        """Judge updates of ``service`` by what its settings permit; ``desired`` is what the program gives the rule."""
        self._service = service
        self._settings = settings
        self._desired = desired
        self._before: Traffic | None = None
        self._rule: lb.ListenerRule | None = None
        self._target_groups: Mapping[Color, lb.TargetGroup] = {}

    def bind(self) -> pulumi.ResourceHookBinding:
        """Register the hook; returns what goes to the resources."""
        hook = pulumi.ResourceHook(f"{self._service}-guards", self.judge, pulumi.ResourceHookOptions(on_dry_run=True))
        # None for deletions: with one, `pulumi destroy` would need the program. Protection sees to those.
        return pulumi.ResourceHookBinding(before_update=[hook])

    def watch(self, rule: lb.ListenerRule, target_groups: Mapping[Color, lb.TargetGroup]) -> None:
        """Take the resources that say what is deployed; to be called in the same breath as they are declared."""
        self._rule = rule
        self._target_groups = target_groups

    async def judge(self, args: pulumi.ResourceHookArgs) -> None:
        """Judge one update.

        Raises:
            RefusedError: it must not be.
        """
        old, new = await _inputs(args.old_inputs), await _inputs(args.new_inputs)
        if refusal := await self._refusal(args.type, old, new):
            raise RefusedError(refusal)

    async def _refusal(self, type_: str, old: Json, new: Json) -> str | None:
        if type_ == "aws:lb/listenerRule:ListenerRule":
            self._before = await self._traffic(_weights(old), old.get("tags") or {})
            return rule_refusal(self._context(self._before))
        context = self._context(self._before or await self._recorded())
        if type_ == "kubernetes:apps/v1:Deployment":
            (color,) = _colors(new["metadata"])
            return pods_refusal(color, _pods(old), _pods(new), context)
        if type_ == "aws:eks/nodeGroup:NodeGroup":
            return nodes_refusal(_colors(new), _nodes(old), _nodes(new), context)
        if type_ == "aws:ec2/launchTemplate:LaunchTemplate":
            # A new version would outlive the refusal of its nodes: undoing it makes another new one.
            return nodes_refusal(_colors(new), _template(old), _template(new), context)
        raise TypeError(f"no guard knows {type_}")

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
        """Return what a rule that is not updated says: also where it is not among the targets of an update."""
        if self._rule is None:
            raise TypeError(f"the guards of {self._service} watch no rule")
        actions = await self._rule.actions.future() or []
        weights = {
            group.arn: group.weight
            for action in actions
            if action.forward is not None
            for group in action.forward.target_groups
        }
        return await self._traffic(weights, await self._rule.tags.future() or {})

    async def _traffic(self, weights: Mapping[Any, Any], tags: Mapping[str, Any]) -> Traffic:
        """Read a rule; what cannot be read is taken to be as the config says, which permits no more than that."""
        known: dict[Color, int] = {}
        for color, group in self._target_groups.items():
            weight = weights.get(await group.arn.future())
            if weight is not None:
                known[color] = int(weight)
        active_color, serial = tags.get(ACTIVE_COLOR_KEY), str(tags.get(ROLLOUT_SERIAL_KEY, ""))
        return Traffic(
            weights=known,
            active_color=active_color if active_color in COLORS else self._desired.active_color,
            keep_until=str(tags.get(KEEP_UNTIL_KEY, "")),
            rollout_serial=int(serial) if serial.isdecimal() else self._desired.rollout_serial,
        )


async def _inputs(inputs: Mapping[str, Any] | None) -> Json:
    """Return inputs with plain values: one that holds a secret comes as an output."""
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
    """Return the colour that a label or a tag names; both where there is none."""
    color = (labelled.get("labels") or labelled.get("tags") or {}).get(COLOR_KEY)
    return [one for one in COLORS if one == color] or COLORS


def _pods(deployment: Json) -> Pods:
    spec = deployment["spec"]
    labels = spec["template"]["metadata"].get("labels") or {}
    return Pods(release_id=str(labels.get(RELEASE_KEY, "none")), replicas=int(spec.get("replicas", 1)))


def _nodes(group: Json) -> Nodes:
    sizes = group["scalingConfig"]
    return Nodes(
        desired=int(sizes["desiredSize"]),
        maximum=int(sizes["maxSize"]),
        made_from={key: _text(group[key]) for key in _MADE_FROM if group.get(key) is not None},
    )


def _template(template: Json) -> Nodes:
    inputs = {key: _text(value) for key, value in template.items() if key not in _UNVERSIONED and value is not None}
    return Nodes(desired=0, maximum=0, made_from=inputs)


def _text(value: Any) -> str:
    """Write a value in few words; numbers come as floats, and in a preview some are not known yet."""
    if isinstance(value, Mapping):
        return " ".join(_text(one) for key, one in sorted(cast(Json, value).items()) if key != "__defaults")
    if isinstance(value, list):
        return ", ".join(_text(one) for one in cast(list[Any], value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "one not known yet" if isinstance(value, pulumi.output.Unknown) else str(value)
