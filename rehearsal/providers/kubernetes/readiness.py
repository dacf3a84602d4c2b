"""Decides when a Kubernetes object is ready, and explains why it is not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rehearsal.kube.client import Json, KubeClient
from rehearsal.kube.conditions import is_met
from rehearsal.providers.kubernetes.annotations import SKIP_AWAIT, is_on

_REVISION = "deployment.kubernetes.io/revision"

Problems = list[str]
"""Why an object is not ready; empty when it is ready."""


@dataclass(frozen=True)
class Readiness:
    """How to check objects of one kind: the current problems, and the details to add when the time is up."""

    problems: Callable[[KubeClient, Json], Problems]
    details: Callable[[KubeClient, Json], Problems] = lambda _kube, _obj: []


def readiness_of(inputs: Json) -> Readiness | None:
    """Return the check for this object's kind, None when an object is ready as soon as it exists."""
    if is_on(inputs, SKIP_AWAIT):
        return None
    return _KINDS.get((inputs["apiVersion"], inputs["kind"]))


def _deployment(kube: KubeClient, deployment: Json) -> Problems:
    return deployment_problems(deployment, _newest_replica_set(kube, deployment))


def deployment_problems(deployment: Json, newest: Json | None) -> Problems:
    """Return what is missing until the newest pod template fully runs. A stale status never counts as ready.

    Pods of older templates may still terminate. The first template does not need a condition for its rollout.
    """
    status = deployment.get("status", {})
    if status.get("observedGeneration", 0) != deployment["metadata"].get("generation", 1):
        return ["the Deployment controller has not seen the change yet"]
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    problems = [*_unmet(conditions.get("Progressing")), *_unmet(conditions.get("Available"))]
    if "Available" not in conditions:
        problems.append("it is not yet reported as available")
    complete = conditions.get("Progressing", {}).get("reason") == "NewReplicaSetAvailable"
    if not complete and _revision(deployment) != "1":
        problems.append("the new ReplicaSet is not available yet")
    return [*problems, *_missing_replicas(newest)]


def _unmet(condition: Json | None) -> Problems:
    if condition is None or condition["status"] == "True":
        return []
    return [f"[{condition.get('reason', '')}] {condition.get('message', '')}"]


def _missing_replicas(newest: Json | None) -> Problems:
    if newest is None:
        return ["the new ReplicaSet does not exist yet"]
    wanted, ready = newest["spec"].get("replicas", 1), newest.get("status", {}).get("readyReplicas", 0)
    return [] if ready >= wanted else [f"{ready} of {wanted} updated Pods are ready"]


def _revision(obj: Json) -> str:
    return obj["metadata"].get("annotations", {}).get(_REVISION, "")


def _newest_replica_set(kube: KubeClient, deployment: Json) -> Json | None:
    namespace, revision = deployment["metadata"].get("namespace"), _revision(deployment)
    owned = _owned_by(deployment, kube.list("apps/v1", "ReplicaSet", namespace)["items"])
    return next((item for item in owned if revision and _revision(item) == revision), None)


def _owned_by(owner: Json, items: list[Json]) -> Iterator[Json]:
    uid = owner["metadata"]["uid"]
    for item in items:
        if any(reference["uid"] == uid for reference in item["metadata"].get("ownerReferences", [])):
            yield item


def _deployment_pods(kube: KubeClient, deployment: Json) -> Problems:
    newest = _newest_replica_set(kube, deployment)
    if newest is None:
        return []
    pods = _owned_by(newest, kube.list("v1", "Pod", deployment["metadata"].get("namespace"))["items"])
    return [f"Pod {pod['metadata']['name']}: {problem}" for pod in pods for problem in pod_problems(pod)]


def pod_problems(pod: Json) -> Iterator[str]:
    """Yield why a pod is not ready: not scheduled, a container waiting or ended, or an unmet condition."""
    status = pod.get("status", {})
    conditions: list[Json] = status.get("conditions", [])
    if is_met(pod):
        return
    for condition in conditions:
        unmet = condition["status"] != "True" and condition.get("reason")
        if unmet and condition["type"] not in ("ContainersReady", "Initialized"):
            yield f"[{condition['reason']}] {condition.get('message', '')}".rstrip()
    for container in status.get("containerStatuses", []):
        state: Json = container.get("state", {})
        stopped = state.get("waiting") or state.get("terminated")
        if stopped:
            message = f": {stopped['message']}" if stopped.get("message") else ""
            yield f"container {container['name']} is {stopped.get('reason', 'stopped')}{message}"


def _service(kube: KubeClient, obj: Json) -> Problems:
    spec = obj["spec"]
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
        return []
    name = obj["metadata"]["name"]
    slices = kube.list(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        obj["metadata"].get("namespace"),
        label_selector=f"kubernetes.io/service-name={name}",
    )
    endpoints = [endpoint for item in slices["items"] for endpoint in item.get("endpoints") or []]
    problems: Problems = []
    if not any(endpoint.get("conditions", {}).get("ready") for endpoint in endpoints):
        problems.append("Service does not target any ready Pods")
    balancer = obj.get("status", {}).get("loadBalancer", {})
    if spec.get("type") == "LoadBalancer" and not balancer.get("ingress"):
        problems.append("Service was not allocated an address by a load balancer")
    return problems


_KINDS = {
    ("apps/v1", "Deployment"): Readiness(_deployment, _deployment_pods),
    ("v1", "Service"): Readiness(_service),
}
