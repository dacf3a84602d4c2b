"""The network policy of the pods: only the load balancer and Prometheus may connect, and only to vLLM's port.

It takes effect only if the cluster's network enforces policies (for the VPC CNI: its network policy agent). A kubelet
always reaches the pods of its own node, so probes need no rule.
"""

from collections.abc import Mapping

from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.networking import v1 as networking

from components.config.sections.pod_settings import PodSettings
from components.domain.naming import PORT


def network_policy_spec(labels: Mapping[str, str], pods: PodSettings) -> networking.NetworkPolicySpecArgs:
    """Return the policy for the pods with these labels.

    It does not limit connections from the pods: model hubs, object stores and file systems have no fixed addresses.
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
    # Kubernetes sets this label on every namespace, and nothing else can change it.
    # https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name
    selector = meta.LabelSelectorArgs(match_labels={"kubernetes.io/metadata.name": name})
    return networking.NetworkPolicyPeerArgs(namespace_selector=selector)
