"""A hand-written service: other names, a shell, a sidecar, and only the required fields."""

import copy
from collections.abc import Mapping
from typing import Any, Final

from components.domain.naming import COLOR_KEY, RELEASE_KEY, SEMANTIC_CACHE_NAMESPACE_KEY, SERVICE_KEY
from policies.resources import DEPLOYMENT, DISRUPTION_BUDGET, NETWORK_POLICY
from tests.policies.edits import Gone, set_at
from tests.policies.stacks import Declared

_LABELS: Final = {SERVICE_KEY: "ask", COLOR_KEY: "blue"}
_CLOSED: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_SCRIPT: Final = """exec vllm serve org/model \\
  --revision=0a1b2c3 --shutdown_timeout 60 \\
  --api-key "$API_KEY" --fingerprint-mode custom --fingerprint-value=blue-r7"""
_ASK: Final = (
    """curl -sf -m 20 -d '{"model": "org/model", "prompt": "ready", "max_tokens": 1}' $POD_IP:8000/v1/completions"""
)

CONTAINER: Final = "spec.template.spec.containers[1]"
"""Where the server is."""

_DEPLOYMENT: Final[dict[str, Any]] = {
    "metadata": {
        "name": "llm",
        "namespace": "ask",
        "labels": {**_LABELS, RELEASE_KEY: "r7"},
        "annotations": {RELEASE_KEY: "r7", SEMANTIC_CACHE_NAMESPACE_KEY: "r7"},
    },
    "spec": {
        "replicas": 2,
        "progressDeadlineSeconds": "900",
        "selector": {"matchExpressions": [{"key": key, "operator": "In", "values": [_LABELS[key]]} for key in _LABELS]},
        "strategy": {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "50%"}},
        "template": {
            "metadata": {"labels": {**_LABELS, RELEASE_KEY: "r7", "app": "llm"}},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 85,
                "readinessGates": [{"conditionType": "target-health.elbv2.k8s.aws/k8s-ask-llm-0a1b2c3d4e"}],
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [
                    {"name": "metrics", "image": f"otel/collector:0.9@sha256:{'b' * 64}", "securityContext": _CLOSED},
                    {
                        "name": "server",
                        "image": f"registry.example.com/llm@sha256:{'c' * 64}",
                        "command": ["/bin/sh", "-c"],
                        "args": [_SCRIPT],
                        "env": [
                            {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "ask", "key": "api-key"}}},
                            {"name": "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "value": "120"},
                        ],
                        "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "3", "memory": "12Gi"}},
                        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "sleep 15"]}}},
                        "startupProbe": {"httpGet": {"path": "/v1/models", "port": 8000}, "failureThreshold": 90},
                        "readinessProbe": {
                            "exec": {"command": ["sh", "-c", _ASK]},
                            "timeoutSeconds": 20,
                        },
                        "livenessProbe": {
                            "httpGet": {"path": "/ping", "port": 8000},
                            "periodSeconds": 15,
                            "failureThreshold": 12,
                        },
                        "securityContext": _CLOSED,
                    },
                ],
            },
        },
    },
}
_BUDGET: Final[dict[str, Any]] = {
    "metadata": {"namespace": "ask", "labels": {SERVICE_KEY: "ask"}},
    "spec": {"selector": {"matchLabels": {"app": "llm"}}, "minAvailable": "50%"},
}
_POLICY: Final[dict[str, Any]] = {
    "metadata": {"namespace": "ask", "labels": {SERVICE_KEY: "ask"}},
    "spec": {
        "podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}, {"podSelector": {}}]}],
    },
}


def by_hand(
    deployment: Mapping[str, Any] | None = None,
    *,
    budget: Mapping[str, Any] | Gone | None = None,
    policy: Mapping[str, Any] | Gone | None = None,
) -> tuple[Declared, ...]:
    """Return the resources, each with edits as in edits.py, or gone."""
    declared = (
        (DEPLOYMENT, _DEPLOYMENT, deployment),
        (DISRUPTION_BUDGET, _BUDGET, budget),
        (NETWORK_POLICY, _POLICY, policy),
    )
    return tuple(
        Declared(type=type_, name="llm", props=_edited(props, edits or {}), protect=True)
        for type_, props, edits in declared
        if not isinstance(edits, Gone)
    )


def _edited(props: dict[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(props)
    for path, value in edits.items():
        set_at(changed, path, value)
    return changed
