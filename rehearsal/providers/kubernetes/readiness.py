"""When a Kubernetes object counts as ready, and what to tell a person about one that is not."""

from collections.abc import Callable, Iterator

from rehearsal.kube import Json, KubeClient

SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
_DEFAULT_TIMEOUT_SECONDS = 600.0

Problems = list[str]
"""Why an object is not ready; empty when it is."""


def annotation(obj: Json, key: str) -> str | None:
    return obj.get("metadata", {}).get("annotations", {}).get(key)


def skips_await(obj: Json) -> bool:
    return annotation(obj, SKIP_AWAIT) == "true"


def timeout_seconds(obj: Json, custom: float | None) -> float:
    """How long to wait for an object: the resource's customTimeouts, its annotation, or ten minutes."""
    return custom or float(annotation(obj, TIMEOUT_SECONDS) or _DEFAULT_TIMEOUT_SECONDS)


def readiness_of(obj: Json) -> Callable[[KubeClient, Json], Problems] | None:
    """How to judge objects of this one's kind; None when they are ready as soon as they exist."""
    if skips_await(obj):
        return None
    return _CHECKS.get((obj["apiVersion"], obj["kind"]))


def _deployment(kube: KubeClient, obj: Json) -> Problems:
    problems = deployment_problems(obj)
    return [*problems, *_pod_problems(kube, obj)] if problems else []


def deployment_problems(obj: Json) -> Problems:
    """What is missing until the newest pod template runs in full; stale status counts for nothing."""
    status = obj.get("status", {})
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 1):
        return ["the Deployment controller has not seen the change yet"]
    problems = [*_condition_problems(status)]
    wanted = obj["spec"].get("replicas", 1)
    ready = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    if ready < wanted or status.get("updatedReplicas", 0) > wanted:
        problems.append(f"{ready} of {wanted} updated Pods are ready")
    return problems


def _condition_problems(status: Json) -> Iterator[str]:
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    progressing = conditions.get("Progressing")
    if progressing is None:
        yield "the rollout has not started"
    elif progressing["status"] != "True":
        yield f"[{progressing.get('reason', '')}] {progressing.get('message', '')}"
    elif progressing.get("reason") != "NewReplicaSetAvailable":
        yield "the new ReplicaSet is not available yet"
    available = conditions.get("Available")
    if available is not None and available["status"] != "True":
        yield f"[{available.get('reason', '')}] {available.get('message', '')}"


def _pod_problems(kube: KubeClient, deployment: Json) -> Iterator[str]:
    labels: dict[str, str] = deployment["spec"]["selector"].get("matchLabels", {})
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = kube.list("v1", "Pod", deployment["metadata"].get("namespace"), label_selector=selector)
    for pod in pods["items"]:
        for problem in pod_problems(pod):
            yield f"Pod {pod['metadata']['name']}: {problem}"


def pod_problems(pod: Json) -> Iterator[str]:
    """Why a pod is not ready: not scheduled, a container waiting or ended, or a condition that is not met."""
    status = pod.get("status", {})
    conditions: list[Json] = status.get("conditions", [])
    if any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions):
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
        problems.append("Service does not target any Pods that are ready")
    balancer = obj.get("status", {}).get("loadBalancer", {})
    if spec.get("type") == "LoadBalancer" and not balancer.get("ingress"):
        problems.append("Service was not allocated an address by a load balancer")
    return problems


def _namespace(_kube: KubeClient, obj: Json) -> Problems:
    phase = obj.get("status", {}).get("phase")
    return [] if phase == "Active" else [f"the phase is {phase}"]


def _definition(_kube: KubeClient, obj: Json) -> Problems:
    conditions = obj.get("status", {}).get("conditions", [])
    established = any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
    return [] if established else ["the definition is not established"]


_CHECKS: dict[tuple[str, str], Callable[[KubeClient, Json], Problems]] = {
    ("apps/v1", "Deployment"): _deployment,
    ("v1", "Service"): _service,
    ("v1", "Namespace"): _namespace,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): _definition,
}
