"""One model service with both its colours: nodes, pods, and the router that splits traffic between them."""

from dataclasses import dataclass, replace
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.config.release_warnings import release_warnings
from components.config.sections.existing_nodes import KarpenterNodePool
from components.config.service_settings import ColorSettings, ServiceSettings
from components.config.settings import Settings
from components.domain.capacity.capacity import PoolSize
from components.domain.moments import format_rfc3339
from components.domain.naming import COLORS, SERVICE_KEY, SERVICE_TYPE, Color, color_name, pool_labels
from components.resources.bundle_file import evidence_tag
from components.resources.gpu_node_group import GpuNodeGroup, GpuNodeGroupArgs
from components.resources.guard_hooks import ServiceGuards
from components.resources.karpenter_node_pool import API_VERSION, KIND, MAX_WEIGHT, node_pool_spec
from components.resources.vllm_stack import VllmStack, VllmStackArgs
from components.resources.weighted_router import WeightedRouter, WeightedRouterArgs


@dataclass(frozen=True, kw_only=True)
class BlueGreenServiceArgs:
    """The stack's settings, the service's settings, and the secret part of the candidate routes."""

    stack: Settings
    service: ServiceSettings
    candidate_route_secret: pulumi.Input[str]


class BlueGreenService(pulumi.ComponentResource):
    """Two colours behind one load balancer. The component's name is the service's name.

    The settings ``green_weight``, ``active_color``, ``keep_until`` and ``rollout_serial`` affect only the weighted
    rule and the outputs, so one step of a ramp updates one resource. ``cohorts_on_candidate`` affects the cohorts' own
    rules besides.
    """

    TYPE = SERVICE_TYPE

    def __init__(self, name: str, args: BlueGreenServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, {}, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self.namespace = self._create_namespace() if args.service.create_namespace else None
        traffic = args.service.traffic
        self._traffic = replace(traffic, evidence=evidence_tag(args.service.evidence, name, traffic, self))
        guards = ServiceGuards(name, args.service, self._traffic)
        self._hooks = guards.bind()
        self.router = self._create_router()
        guards.watch(self.router.weighted_rule, self.router.target_groups)
        self.node_groups = self._create_node_groups()
        self.node_pools = self._create_node_pools()
        self.stacks = {color: self._create_stack(color) for color in COLORS}
        self.outputs = self._outputs()
        self.register_outputs(self.outputs)

    def _create_namespace(self) -> core.Namespace:
        return core.Namespace(
            self._name,
            metadata=meta.ObjectMetaArgs(
                name=self._args.service.namespace_of(self._name),
                labels={
                    SERVICE_KEY: self._name,
                    "elbv2.k8s.aws/pod-readiness-gate-inject": "enabled",
                    # Applying a workload that will not be admitted causes a warning, before pods are missing.
                    **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")},
                },
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.stack.protect),
        )

    @property
    def _namespace_name(self) -> pulumi.Input[str]:
        """The namespace's name, which is known only after its creation when the stack creates it."""
        return self._args.service.namespace_of(self._name) if self.namespace is None else self.namespace.metadata.name

    def _create_router(self) -> WeightedRouter:
        stack, service = self._args.stack, self._args.service
        return WeightedRouter(
            self._name,
            WeightedRouterArgs(
                service=self._name,
                vpc_id=stack.vpc_id,
                subnet_ids=stack.load_balancer_subnet_ids,
                pod_security_group_id=stack.cluster_security_group_id,
                client_cidrs=stack.client_cidrs,
                internet_facing=stack.internet_facing,
                certificate_arn=stack.certificate_arn,
                candidate_route_secret=self._args.candidate_route_secret,
                drain_chain=service.drain_chain,
                health_check_interval_seconds=service.health_check_interval_seconds,
                traffic=self._traffic,
                protect=stack.protect,
                guards=self._hooks,
                listener=service.listener,
                cohorts=service.rollout.cohorts,
                access_logs=stack.access_logs,
                alarms=service.alarms,
                dashboard=service.dashboard_limits,
            ),
            opts=self._child,
        )

    def _create_node_groups(self) -> dict[Color, GpuNodeGroup]:
        service = self._args.service
        if not service.declares_nodes:
            return {}
        if service.shares_nodes:
            shared = self._create_node_group(None, service.blue, service.shared_pool)
            return dict.fromkeys(COLORS, shared)
        return {color: self._create_node_group(color, service.color(color), service.pools[color]) for color in COLORS}

    def _create_node_group(self, color: Color | None, colored: ColorSettings, pool: PoolSize) -> GpuNodeGroup:
        stack, service = self._args.stack, self._args.service
        return GpuNodeGroup(
            self._name if color is None else color_name(self._name, color),
            GpuNodeGroupArgs(
                service=self._name,
                color=color,
                cluster_name=stack.cluster_name,
                cluster_security_group_id=stack.cluster_security_group_id,
                subnet_ids=colored.node_subnet_ids or stack.node_subnet_ids,
                instance_type=service.instance_type,
                fallback_instance_types=service.fallback_instance_types,
                volume_gib=service.root_volume_gib,
                pool=pool,
                in_use=colored.nodes_wanted,
                reservation=colored.reservation,
                release_version=colored.node_release_version,
                nodes=service.nodes,
                vpc_cni_uses_node_role=stack.vpc_cni_uses_node_role,
                permissions_boundary_arn=stack.node_permissions_boundary_arn,
                protect=stack.protect,
                # The guard checks the rule's update first, so a stale config reaches no node.
                after=[self.router.weighted_rule],
                guards=self._hooks,
            ),
            opts=self._child,
        )

    def _create_node_pools(self) -> dict[Color, list[CustomResource]]:
        service = self._args.service
        if service.node_pool is None:
            return {}
        if service.shares_nodes:
            return dict.fromkeys(COLORS, self._create_node_pools_of(service.node_pool, None))
        return {color: self._create_node_pools_of(service.node_pool, color) for color in COLORS}

    def _create_node_pools_of(self, pool: KarpenterNodePool, color: Color | None) -> list[CustomResource]:
        types = self._args.service.instance_types
        return [self._create_node_pool(pool, color, place) for place in range(len(types))]

    def _create_node_pool(self, pool: KarpenterNodePool, color: Color | None, place: int) -> CustomResource:
        """Create the node pool of one instance type: only the weights of pools put types in order."""
        stack, service = self._args.stack, self._args.service
        name = self._name if color is None else color_name(self._name, color)
        name = f"{name}-{place + 1}" if place else name
        in_use = any(service.color(one).serves for one in COLORS if color in (None, one))
        return CustomResource(
            name,
            api_version=API_VERSION,
            kind=KIND,
            # Node pools are in no namespace, and neither are the labels of nodes.
            metadata=meta.ObjectMetaArgs(name=name, labels=pool_labels(self._name, color)),
            spec=node_pool_spec(
                pool,
                service=self._name,
                color=color,
                instance_type=service.instance_types[place],
                weight=MAX_WEIGHT - place if service.fallback_instance_types else None,
                gpus=service.node_pool_gpus(color or service.active_color),
                in_use=in_use,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[self.router.weighted_rule],
                protect=stack.protect and in_use,
                hooks=self._hooks,
            ),
        )

    def _create_stack(self, color: Color) -> VllmStack:
        self._warn(color)
        return VllmStack(
            color_name(self._name, color),
            VllmStackArgs(
                service=self._name,
                color=color,
                namespace=self._namespace_name,
                target_group_arn=self.router.target_groups[color].arn,
                load_balancer_security_group_id=self.router.load_balancer_security_group_id,
                settings=self._args.service,
                rules=[self.router.weighted_rule, self.router.candidate_rules[color]],
                nodes=[
                    *([self.node_groups[color].node_group] if color in self.node_groups else []),
                    *self.node_pools.get(color, ()),
                ],
                protect=self._args.stack.protect,
                guards=self._hooks,
            ),
            opts=self._child,
        )

    def _warn(self, color: Color) -> None:
        for warning in release_warnings(self._args.service, color):
            pulumi.log.warn(f"{color_name(self._name, color)}: {warning}", self)

    def _outputs(self) -> dict[str, Any]:
        service = self._args.service
        releases = {color: service.color(color).release for color in COLORS}
        active = releases[service.active_color]
        return {
            "endpoint": service.endpoint_url or self.router.endpoint,
            "active_color": service.active_color,
            "green_weight": service.green_weight,
            "release_ids": {color: release and release.release_id for color, release in releases.items()},
            "semantic_cache_namespace": active and active.semantic_cache_namespace,
            "colors": {color: stack.outputs for color, stack in self.stacks.items()},
            "headroom_usd_per_hour": service.headroom_usd_per_hour,
            "reservation_ends": {
                color: reservation and format_rfc3339(reservation.ends)
                for color in COLORS
                for reservation in [service.color(color).reservation]
            },
            "namespace": self._namespace_name,
            "load_balancer_dns_name": self.router.own and self.router.own.load_balancer.dns_name,
            "required_idle_timeout_seconds": service.required_idle_timeout_seconds,
            "weighted_rule_arn": self.router.weighted_rule.arn,
            "target_group_arns": {color: group.arn for color, group in self.router.target_groups.items()},
        }
