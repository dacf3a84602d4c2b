"""One colour in Kubernetes: the pods that serve its release, and their registration with the load balancer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.networking import v1 as networking
from pulumi_kubernetes.policy import v1 as policy

from components.config.release.release import Release
from components.config.service_settings import ServiceSettings
from components.domain.naming import (
    PORT,
    PORT_NAME,
    RELEASE_KEY,
    SEMANTIC_CACHE_NAMESPACE_KEY,
    Color,
    color_name,
    content_hash,
    pod_labels,
)
from components.resources.network_policy import network_policy_spec
from components.resources.pod_monitor import pod_monitor_spec
from components.resources.pod_template import PROBE_FILE, PodSubject, pod_template
from components.resources.scaled_object import (
    PARKED,
    SCALED_OBJECT_KIND,
    SCALED_OBJECT_VERSION,
    scaled_object_spec,
)

_PROBE_SOURCE = Path(__file__).with_name(PROBE_FILE)


@dataclass(frozen=True, kw_only=True)
class VllmStackArgs:
    """What one colour serves and where. ``rules`` and ``nodes`` must exist before the resources that need them."""

    service: str
    color: Color
    namespace: pulumi.Input[str]
    target_group_arn: pulumi.Input[str]
    load_balancer_security_group_id: pulumi.Input[str]
    settings: ServiceSettings
    rules: Sequence[pulumi.Resource]
    nodes: Sequence[pulumi.Resource]
    protect: bool = False
    guards: pulumi.ResourceHookBinding | None = None


class VllmStack(pulumi.ComponentResource):
    """One colour in one of three states.

    unused: only the permanent resources: Service, TargetGroupBinding, NetworkPolicy and, if enabled, a PodMonitor.
    serving: also the release's ConfigMaps, a PodDisruptionBudget and the Deployment at full size.
    parked: the same resources as serving, but the Deployment has no replicas.

    With an autoscaler, a ScaledObject decides how many replicas run, and the Deployment declares no number.
    """

    TYPE = "vllm-blue-green:index:VllmStack"

    service: core.Service
    target_group_binding: CustomResource
    network_policy: networking.NetworkPolicy
    pod_monitor: CustomResource | None
    deployment: apps.Deployment | None
    scaled_object: CustomResource | None
    outputs: dict[str, str | None]

    def __init__(self, name: str, args: VllmStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, {}, opts)
        self._name = name
        self._args = args
        self._kubernetes_name = color_name(args.service, args.color)
        self._labels = pod_labels(args.service, args.color)
        self._color = args.settings.color(args.color)
        self._child = pulumi.ResourceOptions(parent=self)
        self.service = self._create_service()
        self.target_group_binding = self._create_target_group_binding()
        self.network_policy = self._create_network_policy()
        self.pod_monitor = self._create_pod_monitor() if args.settings.pods.pod_monitor else None
        release = self._color.release
        self.deployment = None if release is None else self._create_pods(release)
        self.scaled_object = None if self.deployment is None else self._create_scaled_object(self.deployment)
        self.outputs = {
            "state": self._color.state,
            "release_id": release and release.release_id,
            "semantic_cache_namespace": release and release.semantic_cache_namespace,
        }
        self.register_outputs(self.outputs)

    def _metadata(
        self,
        name: str | None = None,
        annotations: Mapping[str, str] | None = None,
        more_labels: Mapping[str, str] | None = None,
    ) -> meta.ObjectMetaArgs:
        return meta.ObjectMetaArgs(
            name=name or self._kubernetes_name,
            namespace=self._args.namespace,
            labels={**(more_labels or {}), **self._labels},
            annotations=annotations,
        )

    def _create_service(self) -> core.Service:
        return core.Service(
            self._name,
            # The Service is created before its pods, so waiting for its endpoints would never end.
            metadata=self._metadata(annotations={"pulumi.com/skipAwait": "true"}),
            spec=core.ServiceSpecArgs(
                type="ClusterIP",
                selector=self._labels,
                ports=[core.ServicePortArgs(name=PORT_NAME, port=PORT, target_port=PORT_NAME, protocol="TCP")],
            ),
            opts=self._child,
        )

    def _create_target_group_binding(self) -> CustomResource:
        return CustomResource(
            self._name,
            api_version="elbv2.k8s.aws/v1beta1",
            kind="TargetGroupBinding",
            metadata=self._metadata(),
            spec={
                "targetGroupARN": self._args.target_group_arn,
                "targetType": "ip",
                "serviceRef": {"name": self._kubernetes_name, "port": PORT_NAME},
                # The controller opens the pods' security group to the load balancer, only on this port.
                "networking": {
                    "ingress": [
                        {
                            "from": [{"securityGroup": {"groupID": self._args.load_balancer_security_group_id}}],
                            "ports": [{"protocol": "TCP", "port": PORT}],
                        }
                    ]
                },
            },
            # A target group in no rule is not health-checked, so its pods would never become ready.
            # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
            # https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3753
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.service, *self._args.rules]),
        )

    def _create_network_policy(self) -> networking.NetworkPolicy:
        return networking.NetworkPolicy(
            self._name,
            metadata=self._metadata(),
            spec=network_policy_spec(self._labels, self._args.settings.pods),
            opts=self._child,
        )

    def _create_pod_monitor(self) -> CustomResource:
        pods = self._args.settings.pods
        return CustomResource(
            self._name,
            api_version="monitoring.coreos.com/v1",
            kind="PodMonitor",
            metadata=self._metadata(more_labels=pods.pod_monitor_labels),
            spec=pod_monitor_spec(self._labels, pods),
            opts=self._child,
        )

    def _create_pods(self, release: Release) -> apps.Deployment:
        prompts_hash = content_hash(release.prompts)
        probe = {PROBE_FILE: _PROBE_SOURCE.read_text(encoding="utf-8")}
        subject = PodSubject(
            service=self._args.service,
            color=self._args.color,
            release=release,
            prompts_config_map=f"{self._kubernetes_name}-prompts-{prompts_hash}",
            prompts_hash=prompts_hash,
            probe_config_map=f"{self._kubernetes_name}-probe-{content_hash(probe)}",
        )
        config_maps = [
            self._create_config_map("prompts", subject.prompts_config_map, release.prompts),
            self._create_config_map("probe", subject.probe_config_map, probe),
        ]
        self._create_disruption_budget()
        return self._create_deployment(subject, config_maps)

    def _create_config_map(self, purpose: str, kubernetes_name: str, data: Mapping[str, str]) -> core.ConfigMap:
        """Create a ConfigMap that is named by its content, so that pods keep the one that they started with."""
        return core.ConfigMap(
            f"{self._name}-{purpose}",
            metadata=self._metadata(kubernetes_name),
            data=data,
            immutable=True,
            opts=self._child,
        )

    def _create_disruption_budget(self) -> policy.PodDisruptionBudget:
        return policy.PodDisruptionBudget(
            self._name,
            metadata=self._metadata(),
            spec=policy.PodDisruptionBudgetSpecArgs(
                selector=meta.LabelSelectorArgs(match_labels=self._labels),
                # Nothing can replace a single replica during an eviction.
                max_unavailable=1 if self._color.wanted_replicas > 1 else 0,
                # A pod that is not ready serves nothing, so it must not block a node's drain.
                unhealthy_pod_eviction_policy="AlwaysAllow",
            ),
            opts=self._child,
        )

    def _create_deployment(self, subject: PodSubject, config_maps: Sequence[pulumi.Resource]) -> apps.Deployment:
        settings, scaled = self._args.settings, self._args.settings.autoscaling is not None
        times = settings.pod_times
        longest_update = f"{times.update_seconds(self._color.replicas)}s"
        return apps.Deployment(
            self._name,
            metadata=self._metadata(
                annotations={
                    RELEASE_KEY: subject.release.release_id,
                    SEMANTIC_CACHE_NAMESPACE_KEY: subject.release.semantic_cache_namespace,
                    # The ScaledObject must come before the first pod is ready, or all others would wait for that one.
                    **({"pulumi.com/skipAwait": "true"} if scaled else {}),
                },
                more_labels={RELEASE_KEY: subject.release.release_id},
            ),
            spec=apps.DeploymentSpecArgs(
                replicas=None if scaled else self._color.wanted_replicas if self._color.serves else 0,
                selector=meta.LabelSelectorArgs(match_labels=self._labels),
                # There is no spare GPU for a surge. A new release starts from zero replicas, so all its pods start at
                # once. Any other template change replaces the pods of a serving colour one at a time.
                strategy=apps.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.RollingUpdateDeploymentArgs(max_surge=0, max_unavailable=1),
                ),
                progress_deadline_seconds=times.progress_deadline_seconds,
                revision_history_limit=2,
                template=pod_template(subject, settings),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[self.target_group_binding, self.network_policy, *config_maps, *self._args.nodes],
                protect=self._args.protect,
                hooks=self._args.guards,
                # A number that was declared before the autoscaler came stays with the Deployment: without it, server-
                # side apply would set the default, 1. Once somebody else has set it, the provider leaves it alone.
                # https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership
                # https://github.com/pulumi/pulumi-kubernetes/blob/v4.34.2/provider/pkg/await/await.go
                ignore_changes=["spec.replicas"] if scaled else None,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=longest_update, update=longest_update, delete=f"{times.deletion_seconds}s"
                ),
            ),
        )

    def _create_scaled_object(self, deployment: apps.Deployment) -> CustomResource | None:
        """Create what KEDA scales the Deployment by. It comes after it, so that a new release starts from zero."""
        scaling = self._args.settings.autoscaling
        if scaling is None:
            return None
        return CustomResource(
            self._name,
            api_version=SCALED_OBJECT_VERSION,
            kind=SCALED_OBJECT_KIND,
            metadata=self._metadata(annotations=None if self._color.serves else PARKED),
            spec=scaled_object_spec(
                self._kubernetes_name,
                floor=self._color.wanted_replicas,
                ceiling=self._color.replicas,
                trigger=scaling.trigger,
                query=scaling.query(self._args.service, self._args.color),
                authentication=scaling.authentication and scaling.authentication.reference,
            ),
            # Not protected: without it, as many replicas go on as run.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[deployment], hooks=self._args.guards),
        )
