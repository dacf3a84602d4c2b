"""Isolation: only named sources reach a pod, a pod has no access to its node, and no secret is in plain text."""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from pulumi_policy import Severity

from components.config.reading.secret_values import names_secret, secret_kind
from policies.label_selectors import is_empty, selects
from policies.pods import Pods, is_vllm, share_namespace, vllm_deployments
from policies.policy import Finding, Options, resource_policy, service_policy, wrong
from policies.resources import DEPLOYMENT, NETWORK_POLICY, Resource, at, items, tables
from policies.service import Service


@service_policy(
    "isolation-network-policy",
    description="Each colour's pods must be reachable only from named networks and namespaces.",
    fix="Set pods.ingress_cidrs to the load balancer's subnets, and keep the colour's NetworkPolicy.",
)
def network_policy(service: Service, _: Options) -> Iterator[Finding]:
    """vLLM requires the API key only under /v1. Clients that reach a pod can run its model through other paths.

    NetworkPolicies add up, so one that allows everything cancels the others.
    """
    for deployment in vllm_deployments(service):
        pods = Pods(deployment)
        if not pods.replicas:
            continue
        policies = [
            one
            for one in service.of(NETWORK_POLICY)
            if selects(one.get("spec.podSelector"), pods.labels)
            and "Ingress" in (items(one.get("spec.policyTypes")) or ("Ingress",))
            and share_namespace(one, deployment)
        ]
        if not policies:
            fix = "Declare one with the colour's pod labels in its podSelector, and label it with the service."
            message = wrong(deployment, "its NetworkPolicies for ingress", policies, "at least one", fix)
            yield Finding(message=message, resource=deployment)
        for policy in policies:
            for rule in tables(policy.get("spec.ingress")):
                if (source := _open_source(rule)) is not None:
                    fix = "Set pods.ingress_cidrs to the load balancer's subnets, and name the namespace of Prometheus."
                    message = wrong(policy, "spec.ingress.from", source, "named networks and namespaces", fix)
                    yield Finding(message=message, resource=policy)


@resource_policy(
    "isolation-no-plain-secrets",
    DEPLOYMENT,
    description="A vLLM pod must take its secrets from Kubernetes Secrets, never in plain text.",
    fix="Name the Secret: pods.api_key_secret or pods.hub_token_secret; by hand, valueFrom.secretKeyRef.",
    severity=Severity.CRITICAL,
)
def no_plain_secrets(deployment: Resource, _: Options) -> Iterator[str]:
    """Everyone who may read Deployments can read them. They are also in Pulumi's state, in previews and in backups."""
    if not is_vllm(deployment):
        return
    pods = Pods(deployment)
    fix = "Use pods.api_key_secret or pods.hub_token_secret; by hand, valueFrom.secretKeyRef."
    for container in pods.containers:
        name = str(container.get("name"))
        for where, kind in _plain_secrets(container):
            yield wrong(deployment, f"{where} of container {name}", kind, "a reference to a Secret", fix)
    for option in pods.options:
        # Kubernetes or a shell replaces a variable, so the argument itself contains no secret.
        if option.value and "$" not in option.value and names_secret(option.name.removeprefix("--")):
            yield wrong(deployment, option.name, "plain text", "left out, and a reference to a Secret in env", fix)


@resource_policy(
    "isolation-restricted",
    DEPLOYMENT,
    description="A vLLM pod must follow Kubernetes' restricted profile, and must not mount a service account's token.",
    fix="Use VllmStack's security contexts: non-root, no escalation, no capabilities, seccomp, no host access.",
)
def restricted(deployment: Resource, _: Options) -> Iterator[str]:
    """The namespaces admit no other pods, and a pod that is not admitted is noticed only in a rollout."""
    if not is_vllm(deployment):
        return
    pods = Pods(deployment)
    if pods.spec.get("automountServiceAccountToken") is not False:
        value = pods.spec.get("automountServiceAccountToken")
        yield wrong(deployment, "automountServiceAccountToken", value, "false", "vLLM does not use Kubernetes' API.")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pods.spec.get(field) is True:
            yield wrong(deployment, field, True, "false", "Remove it: it opens the node to the pod.")
    for volume in tables(pods.spec.get("volumes")):
        if volume.get("hostPath") is not None:
            fix = "Use an emptyDir or a claim (pods.model_cache_claim)."
            yield wrong(
                deployment, f"volume {volume.get('name')}", "a hostPath", "a volume without a folder of the node", fix
            )
    for container in pods.containers:
        for field, is_safe, must in _RESTRICTIONS:
            value = _context(pods, container, field)
            if not is_safe(value):
                where = f"securityContext.{field} of container {container.get('name')}"
                yield wrong(deployment, where, value, must, "Use VllmStack's security contexts.")


_RESTRICTIONS: Final[tuple[tuple[str, Callable[[Any], bool], str], ...]] = (
    ("runAsNonRoot", lambda value: value is True, "true"),
    ("runAsUser", lambda value: value != 0, "a user other than 0"),
    ("allowPrivilegeEscalation", lambda value: value is False, "false"),
    ("privileged", lambda value: value is not True, "false"),
    ("capabilities.drop", lambda value: "ALL" in items(value), "ALL"),
    ("capabilities.add", lambda value: set(items(value)) <= {"NET_BIND_SERVICE"}, "empty"),
    ("seccompProfile.type", lambda value: value in ("RuntimeDefault", "Localhost"), "RuntimeDefault or Localhost"),
)


def _open_source(rule: Mapping[str, Any]) -> str | None:
    """Return which part of an ingress rule allows everything; None when the rule allows only named sources."""
    peers = list(tables(rule.get("from")))
    if not peers:
        return "not set, which allows everything"
    for peer in peers:
        namespaces = peer.get("namespaceSelector")
        if namespaces is not None and is_empty(namespaces) and is_empty(peer.get("podSelector")):
            return "every namespace"
    cidrs = [str(at(peer, "ipBlock.cidr")) for peer in peers if peer.get("ipBlock") is not None]
    return "the whole internet" if _cover_everything(cidrs) else None


def _cover_everything(cidrs: Iterable[str]) -> bool:
    """Return whether networks together cover all addresses, such as the two halves of the internet."""
    networks = [network for cidr in cidrs if (network := _network(cidr)) is not None]
    old = ipaddress.collapse_addresses([one for one in networks if isinstance(one, ipaddress.IPv4Network)])
    new = ipaddress.collapse_addresses([one for one in networks if isinstance(one, ipaddress.IPv6Network)])
    return any(one.prefixlen == 0 for one in (*old, *new))


def _network(cidr: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        # Kubernetes refuses it.
        return None


def _plain_secrets(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in tables(container.get("env")):
        name = str(variable.get("name"))
        value = variable.get("value")
        kind = secret_kind(str(value)) if value else None
        if kind is not None or (value and "$(" not in str(value) and names_secret(name)):
            yield name, kind or "plain text"
        elif names_secret(name) and at(variable, "valueFrom.configMapKeyRef") is not None:
            yield name, "in a ConfigMap"
    for part in ("command", "args"):
        for word in items(container.get(part)):
            if (kind := secret_kind(str(word))) is not None:
                yield part, kind


def _context(pods: Pods, container: Mapping[str, Any], field: str) -> Any:
    """Return the security context's value for a container: its own, else the pod's."""
    own = at(container, f"securityContext.{field}")
    return at(pods.spec, f"securityContext.{field}") if own is None else own
