"""The names by which resources are found: keys of tags and labels, and names per colour.

Scripts find the rule and the target groups by these tags alone, without Pulumi's state. So the names are an
interface: changing one requires a migration.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

Color = Literal["blue", "green"]
COLORS: Final[tuple[Color, Color]] = ("blue", "green")

PROJECT: Final = "vllm-blue-green"
SERVICE_TYPE: Final = f"{PROJECT}:index:BlueGreenService"
"""The type of a service's component in Pulumi's state."""

STACK_KEY: Final = f"{PROJECT}/stack"
SERVICE_KEY: Final = f"{PROJECT}/service"
COLOR_KEY: Final = f"{PROJECT}/color"
ROLE_KEY: Final = f"{PROJECT}/role"
RELEASE_KEY: Final = f"{PROJECT}/release"
PROMPTS_HASH_KEY: Final = f"{PROJECT}/prompts-hash"
SEMANTIC_CACHE_NAMESPACE_KEY: Final = f"{PROJECT}/semantic-cache-namespace"
ACTIVE_COLOR_KEY: Final = f"{PROJECT}/active-color"
KEEP_UNTIL_KEY: Final = f"{PROJECT}/keep-until"
ROLLOUT_SERIAL_KEY: Final = f"{PROJECT}/rollout-serial"
ROLLING_OUT_KEY: Final = f"{PROJECT}/rolling-out"
ANNOUNCED_KEY: Final = f"{PROJECT}/announced"
EVIDENCE_KEY: Final = f"{PROJECT}/evidence"
COHORT_KEY: Final = f"{PROJECT}/cohort"
COHORTS_KEY: Final = f"{PROJECT}/cohorts"
RESERVATION_ENDS_KEY: Final = f"{PROJECT}/reservation-ends"
SHARED_CAPACITY_KEY: Final = f"{PROJECT}/shared-capacity"

Role = Literal[
    "weighted-rule",
    "candidate-rule",
    "cohort-rule",
    "target-group",
    "load-balancer",
    "listener",
    "redirect-listener",
    "security-group",
    "security-group-rule",
    "alarm",
    "node-group",
]

CANDIDATE_ROUTE_HEADER: Final = "x-candidate-route"

GPU_RESOURCE: Final = "nvidia.com/gpu"
GPU_LABEL: Final = "nvidia.com/gpu.present"

DO_NOT_DISRUPT_KEY: Final = "karpenter.sh/do-not-disrupt"
"""The annotation that keeps Karpenter from moving a pod.

https://karpenter.sh/docs/concepts/disruption/#pod-level-controls
"""
SAFE_TO_EVICT_KEY: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict"
"""The annotation by which Cluster Autoscaler may, or may not, move a pod.

https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md
"""

CONTAINER_NAME: Final = "vllm"
PORT_NAME: Final = "http"
PORT: Final = 8000


def other_color(color: Color) -> Color:
    """Return the colour that is not ``color``."""
    return "green" if color == "blue" else "blue"


def color_state_key(color: Color) -> str:
    """Return the key of the weighted rule's tag with a colour's release and replicas."""
    return f"{PROJECT}/{color}"


def color_name(service: str, color: Color) -> str:
    """Return the name of one colour's Deployment, Service, TargetGroupBinding and PodDisruptionBudget."""
    return f"{service}-{color}"


def fingerprint(color: Color, release_id: str) -> str:
    """Return the ``system_fingerprint`` that every answer of this colour's release carries."""
    return f"{color}-{release_id}"


def content_hash(data: Mapping[str, Any]) -> str:
    """Return the suffix of a ConfigMap's name, which changes with the content."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:10]


def readiness_gate(service: str, color: Color) -> str:
    """Return the name of the pod condition that the AWS Load Balancer Controller sets once the target is healthy.

    https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/pod_readiness_gate/
    """
    return target_health(color_name(service, color))


def target_health(binding: str) -> str:
    """Return the name of the pod condition for a TargetGroupBinding of this name."""
    return f"target-health.elbv2.k8s.aws/{binding}"


def aws_tags(stack: str, service: str, role: Role, color: Color | None = None) -> dict[str, str]:
    """Return the tags by which scripts find a resource without Pulumi's state."""
    tags = {STACK_KEY: stack, SERVICE_KEY: service, ROLE_KEY: role}
    return tags if color is None else {**tags, COLOR_KEY: color}


def pool_labels(service: str, color: Color | None) -> dict[str, str]:
    """Return the node labels that a colour's pods select; without a colour, those of nodes that both colours share."""
    return {SERVICE_KEY: service} if color is None else {SERVICE_KEY: service, COLOR_KEY: color}


def pod_labels(service: str, color: Color) -> dict[str, str]:
    """Return the labels that select one colour's pods; they never change during the life of a service."""
    return {"app.kubernetes.io/name": "vllm", SERVICE_KEY: service, COLOR_KEY: color}
