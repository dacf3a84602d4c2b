"""Readiness gates: pod conditions that show the target's health in the load balancer."""

from rehearsal.binder.endpoints import has_gate
from rehearsal.binder.target_group import Health
from rehearsal.kube.client import STRATEGIC_MERGE_PATCH, AsyncKubeClient, Json, KubeError
from rehearsal.kube.conditions import condition
from rehearsal.kube.time import timestamp

REGISTERING = Health(
    state="initial", reason="Elb.RegistrationInProgress", description="Target registration is in progress"
)
UNBOUND = Health(state="healthy", description="Target Group Binding is deleted")
"""For a pod without a binding, because nothing else would ever open its gate."""


async def set_gate(kube: AsyncKubeClient, pod: Json, gate: str, health: Health) -> None:
    """Open or close a pod's gate, with the reason. Does nothing when the pod is gone or has no gate."""
    if not has_gate(pod, gate):
        return
    known = condition(pod, gate)
    status = "True" if health.healthy else "False"
    verdict = (status, health.reason, health.description)
    if (known.get("status"), known.get("reason", ""), known.get("message", "")) == verdict:
        return
    entry = {
        "type": gate,
        "status": status,
        # None removes the last reason.
        "reason": health.reason or None,
        "message": health.description or None,
        "lastTransitionTime": known.get("lastTransitionTime") if known.get("status") == status else timestamp(),
    }
    metadata = pod["metadata"]
    try:
        await kube.patch(
            "v1",
            "Pod",
            metadata["namespace"],
            metadata["name"],
            {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [entry]}},
            subresource="status",
            content_type=STRATEGIC_MERGE_PATCH,
        )
    except KubeError as error:
        if error.status not in (404, 409):
            raise
