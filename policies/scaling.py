"""Read ScaledObjects: between how many replicas KEDA keeps a Deployment.

https://keda.sh/docs/2.20/reference/scaledobject-spec/
"""

from typing import Final

from policies.pods import Pods
from policies.resources import SCALED_OBJECT, Resource, table, whole
from policies.service import Service

PAUSED: Final = "autoscaling.keda.sh/paused-replicas"
# KEDA's defaults.
_LEAST: Final = 0
_MOST: Final = 100


def least_replicas(service: Service, pods: Pods) -> int:
    """Return how many replicas of a Deployment run at least: its number, or the autoscaler's floor."""
    return _bound(service, pods, "spec.minReplicaCount", _LEAST)


def most_replicas(service: Service, pods: Pods) -> int:
    """Return how many replicas of a Deployment run at most: its number, or the autoscaler's ceiling."""
    return _bound(service, pods, "spec.maxReplicaCount", _MOST)


def _bound(service: Service, pods: Pods, path: str, default: int) -> int:
    scaled = _scaled_object(service, pods.deployment)
    if scaled is None:
        return pods.replicas
    paused = whole(table(scaled.get("metadata.annotations")).get(PAUSED))
    found = whole(scaled.get(path)) if paused is None else paused
    return default if found is None else found


def _scaled_object(service: Service, deployment: Resource) -> Resource | None:
    """Return the ScaledObject of a Deployment: the one in its namespace that names it."""
    # Without any, it does not matter that a name is not known yet.
    return next((one for one in service.of(SCALED_OBJECT) if _scales(one, deployment)), None)


def _scales(scaled_object: Resource, deployment: Resource) -> bool:
    name, namespace = (deployment.get(f"metadata.{key}") for key in ("name", "namespace"))
    return (
        scaled_object.get("spec.scaleTargetRef.name") == name and scaled_object.get("metadata.namespace") == namespace
    )
