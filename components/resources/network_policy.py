"""Who may open a connection to the pods: the load balancer and Prometheus, on vLLM's port alone.

It has effect where the cluster's network enforces policies (for the VPC CNI: its network policy agent). Kubelets reach
the pods of their own node in any case, so probes need no rule.
"""

from collections.abc import Mapping

from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.networking import v1 as networking

from components.config.pod_settings import PodSettings
from components.domain.naming import PORT


def network_policy_spec(labels: Mapping[str, str], pods: PodSettings) -> networking.NetworkPolicySpecArgs:
    """Return the policy of the pods with these labels.

    Connections from the pods stay free: model hubs, object stores and file systems have no addresses that stay.
    """
    return networking.NetworkPolicySpecArgs(
        pod_selector=meta.LabelSelectorArgs(match_labels=labels),
        policy_types=["Ingress"],
        ingress=[
            networking.NetworkPolicyIngressRuleArgs(
                from_=[*(_network(cidr) for cidr in pods.ingress_cidrs), _namespace(pods.monitoring_namespace)],
                ports=[networking.NetworkPolicyPortArgs(port=PORT, protocol="TCP")],
            )
        ],
    )


def _network(cidr: str) -> networking.NetworkPolicyPeerArgs:
    return networking.NetworkPolicyPeerArgs(ip_block=networking.IPBlockArgs(cidr=cidr))


def _namespace(name: str) -> networking.NetworkPolicyPeerArgs:
    # Kubernetes itself puts this label on every namespace, and lets nobody else set it.
    selector = meta.LabelSelectorArgs(match_labels={"kubernetes.io/metadata.name": name})
    return networking.NetworkPolicyPeerArgs(namespace_selector=selector)
