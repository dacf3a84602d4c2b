"""Exposure: nothing is open without need, and nothing is sent or stored unencrypted."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Final, Literal

from pulumi_policy import Severity
from pydantic import Field

from policies.policy import Finding, Options, resource_policy, service_policy, wrong
from policies.resources import (
    DEFAULT_SECURITY_GROUP,
    INGRESS_RULE,
    KUBERNETES_SERVICE,
    LAUNCH_TEMPLATE,
    LISTENER,
    LISTENER_RULE,
    LOAD_BALANCER,
    NODE_GROUP,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    TARGET_GROUP_BINDING,
    Resource,
    at,
    is_on,
    items,
    table,
    tables,
    text,
    whole,
)
from policies.router import (
    is_application,
    is_encrypted,
    is_internet_facing,
    leads_to_pods,
    listeners_by_balancer,
    only_redirects,
    path_conditions,
)
from policies.service import Service

# AWS's default when a listener names no policy.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
_OLDEST_TLS_POLICY: Final = "ELBSecurityPolicy-2016-08"

# A policy's name contains the oldest TLS version that it allows, except for names from before 2018, which allow 1.0:
# ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09, ELBSecurityPolicy-FS-1-2-Res-2020-10, ELBSecurityPolicy-TLS-1-1-2017-01.
_TLS_POLICY: Final = re.compile(r"ELBSecurityPolicy-(?:TLS13|TLS|FS)-(?P<major>[0-9])-(?P<minor>[0-9])-.+")
_REFUSAL: Final = re.compile(r"4[0-9]{2}")

# The widest private network is IPv6's fc00::/7. A wider network contains public addresses.
_NARROWEST_WORLD: Final = 6


@service_policy(
    "exposure-tls-when-internet-facing",
    description="An internet-facing load balancer must have an HTTPS listener, or redirect all clients to HTTPS.",
    fix="Set certificate_arn, or internet_facing to false.",
    severity=Severity.CRITICAL,
)
def tls_when_internet_facing(service: Service, _: Options) -> Iterator[Finding]:
    """Otherwise prompts, answers and keys cross the internet unencrypted."""
    for balancer, listeners in listeners_by_balancer(service):
        if balancer is None or not is_application(balancer) or not is_internet_facing(balancer):
            continue
        if any(map(is_encrypted, listeners)):
            continue
        for listener in listeners:
            if not only_redirects(listener):
                must = f"HTTPS, because {balancer.name} is internet-facing"
                fix = "Set certificate_arn, or internet_facing to false."
                message = wrong(listener, "protocol", listener.get("protocol") or "HTTP", must, fix)
                yield Finding(message=message, resource=listener)


@service_policy(
    "exposure-redirect",
    description="An HTTP listener next to an HTTPS listener must only redirect clients to HTTPS.",
    fix="Make a redirect to HTTPS its only default action, and put the rules on the HTTPS listener.",
)
def redirect(service: Service, _: Options) -> Iterator[Finding]:
    """Otherwise some clients use the HTTP listener, and their unencrypted requests go unnoticed."""
    for _balancer, listeners in listeners_by_balancer(service):
        if not any(map(is_encrypted, listeners)):
            continue
        plain = [listener for listener in listeners if not is_encrypted(listener)]
        for listener in plain:
            if not only_redirects(listener):
                fix = "Redirect to HTTPS, as the program does when certificate_arn is set."
                kinds = [action.get("type") for action in tables(listener.get("defaultActions"))]
                message = wrong(listener, "defaultActions", kinds, "a redirect to the protocol HTTPS", fix)
                yield Finding(message=message, resource=listener)
        arns = {listener.get("arn") for listener in plain} - {None}
        for rule in service.of(LISTENER_RULE) if arns else ():
            if (arn := rule.get("listenerArn")) in arns:
                fix = "Put it on the HTTPS listener: on this one, its requests are not encrypted."
                yield Finding(message=wrong(rule, "listenerArn", arn, "that of the HTTPS listener", fix), resource=rule)


class TlsOptions(Options):
    """Which TLS versions clients may use."""

    minimum_tls: Annotated[Literal["1.2", "1.3"], Field(description="Oldest TLS version that clients may use.")] = "1.2"


@resource_policy(
    "exposure-tls-policy",
    LISTENER,
    description="The security policy of an HTTPS listener must allow only TLS 1.2 or newer.",
    fix="Set ssl_policy to ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09, which AWS recommends.",
    options=TlsOptions,
)
def tls_policy(listener: Resource, options: TlsOptions) -> Iterator[str]:
    """AWS's default still allows TLS 1.0."""
    if not is_encrypted(listener):
        return
    policy = text(listener.get("sslPolicy")) or _OLDEST_TLS_POLICY
    found = _TLS_POLICY.fullmatch(policy)
    if found is None or f"{found['major']}.{found['minor']}" < options.minimum_tls:
        fix = "AWS recommends ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09."
        yield wrong(listener, "sslPolicy", policy, f"one for TLS {options.minimum_tls} or newer", fix)


@resource_policy(
    "exposure-default-deny",
    LISTENER,
    description="A service's listener must answer requests that match no rule with 4xx or a redirect.",
    fix="Make the default action a fixed response with status 404, and forward to pods only by rules.",
)
def default_deny(listener: Resource, _: Options) -> Iterator[str]:
    """Pods serve more than the API, and require no key for it: /metrics, /invocations, /pause."""
    fix = "Answer 404 by default, and forward to pods only by rules for /v1/*."
    kinds = [action.get("type") for action in tables(listener.get("defaultActions"))]
    if "forward" in kinds and (listener.service is not None or leads_to_pods(listener)):
        yield wrong(listener, "defaultActions", kinds, "a fixed response of 4xx, or a redirect", fix)
    if listener.service is None:
        return
    for action in tables(listener.get("defaultActions")):
        status = at(action, "fixedResponse.statusCode")
        if status is not None and not _REFUSAL.fullmatch(str(status)):
            yield wrong(listener, "defaultActions.fixedResponse.statusCode", status, "4xx", fix)


class ApiOptions(Options):
    """Which paths clients may reach."""

    paths: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="Paths that may lead to pods; a final * includes all paths below."),
    ] = ("/v1/*",)


@resource_policy(
    "exposure-api-only",
    LISTENER_RULE,
    description="A rule that forwards to pods must match only the API's paths.",
    fix="Add a condition on the path /v1/* to the rule.",
    options=ApiOptions,
)
def api_only(rule: Resource, options: ApiOptions) -> Iterator[str]:
    """Pods serve more than the API, and require no key for it: /metrics, /invocations, /pause."""
    if rule.role not in ("weighted-rule", "candidate-rule", "cohort-rule") and not leads_to_pods(rule):
        return
    conditions = [[str(value) for value in items(one.get("values"))] for one in path_conditions(rule)]
    if not any(paths and all(_is_within(path, options.paths) for path in paths) for paths in conditions):
        fix = "Add such a condition: pods serve more than the API, and require no key for it."
        beyond = [path for paths in conditions for path in paths if not _is_within(path, options.paths)]
        yield wrong(rule, "the path condition", beyond[:3] or None, " or ".join(options.paths), fix)


class IngressOptions(Options):
    """Which ports may be open to the world."""

    client_ports: Annotated[
        tuple[int, ...], Field(description="Ports that clients of the load balancers use.", examples=[[80, 443]])
    ] = (80, 443)


@resource_policy(
    "exposure-nodes-closed",
    SECURITY_GROUP,
    DEFAULT_SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    INGRESS_RULE,
    TARGET_GROUP_BINDING,
    NODE_GROUP,
    description="All ports except a load balancer's client ports must be closed to the whole world.",
    fix="Allow the load balancer's security group instead, or the networks that need access.",
    severity=Severity.CRITICAL,
    options=IngressOptions,
)
def nodes_closed(resource: Resource, options: IngressOptions) -> Iterator[str]:
    """Clients that reach a pod directly bypass the load balancer's rules, and a node has no ports for clients."""
    fix = "Name the security group or the networks that need access."
    if resource.type == TARGET_GROUP_BINDING:
        for cidr in _open_peers(resource):
            yield wrong(resource, "spec.networking.ingress.from.ipBlock", cidr, "the load balancer's group", fix)
    elif resource.type == NODE_GROUP:
        access = table(resource.get("remoteAccess"))
        if access.get("ec2SshKey") and not items(access.get("sourceSecurityGroupIds")):
            must = "set with ec2SshKey: otherwise EKS opens port 22 to the whole world"
            yield wrong(resource, "remoteAccess.sourceSecurityGroupIds", None, must, fix)
    else:
        ports = [str(port) for port in options.client_ports]
        for ingress in _ingress(resource):
            cidrs = [cidr for cidr in _sources(ingress) if _is_world(cidr)]
            if cidrs and _open_ports(ingress) not in [f"tcp {port}" for port in ports]:
                must = f"a load balancer's: tcp {' or '.join(ports)}" if ports else "nothing"
                yield wrong(resource, f"what {', '.join(cidrs[:3])} may reach", _open_ports(ingress), must, fix)


@resource_policy(
    "exposure-no-other-way-in",
    KUBERNETES_SERVICE,
    description="A Kubernetes Service of a vLLM service must be of type ClusterIP, without external addresses.",
    fix="Remove the type LoadBalancer or NodePort; the load balancer reaches pods by their own addresses.",
)
def no_other_way_in(service: Resource, _: Options) -> Iterator[str]:
    """Requests that bypass the load balancer ignore the weights, and nothing checks or encrypts them."""
    if service.service is None:
        return
    fix = "Clients use the load balancer, which reaches pods by their own addresses."
    if (type_ := service.get("spec.type")) in ("LoadBalancer", "NodePort"):
        yield wrong(service, "spec.type", type_, "ClusterIP", fix)
    if addresses := items(service.get("spec.externalIPs")):
        yield wrong(service, "spec.externalIPs", addresses, "empty", fix)


class AddressOptions(Options):
    """What is known about the subnets."""

    subnets_are_private: Annotated[
        bool, Field(description="True: the nodes' subnets give no public addresses, so templates need not forbid them.")
    ] = False


@resource_policy(
    "exposure-no-public-addresses",
    LAUNCH_TEMPLATE,
    description="Launch templates must give nodes no public address.",
    fix="Set associate_public_ip_address to false on the network interface.",
    options=AddressOptions,
)
def no_public_addresses(template: Resource, options: AddressOptions) -> Iterator[str]:
    """If the template does not set it, the subnet decides, and the subnet may change outside the stack."""
    field = "networkInterfaces.associatePublicIpAddress"
    fix = "Set it to false: only load balancers have clients."
    values = [one.get("associatePublicIpAddress") for one in tables(template.get("networkInterfaces"))]
    if any(map(is_on, values)):
        yield wrong(template, field, True, "false", fix)
    # With several interfaces, EC2 gives no public address at all.
    elif (not values or values in ([None], [""])) and not options.subnets_are_private:
        yield wrong(template, field, None, "false, or the subnet decides", fix)


class MetadataOptions(Options):
    """Who may read a node's metadata, which includes its credentials."""

    maximum_hops: Annotated[
        int, Field(ge=1, le=64, description="Most network hops of a metadata answer; with 1, pods do not get it.")
    ] = 1


@resource_policy(
    "exposure-nodes-by-template",
    NODE_GROUP,
    description="GPU nodes must use a launch template.",
    fix="Give the node group a launch_template; then the policies on launch templates check its nodes.",
)
def nodes_by_template(group: Resource, _: Options) -> Iterator[str]:
    """EKS's own template lets pods read the node's credentials, and leaves volumes to the account's defaults."""
    is_for_gpus = group.service is not None or re.search("NVIDIA|GPU", str(group.get("amiType")))
    if is_for_gpus and group.get("launchTemplate") is None:
        fix = "Declare one that sets what EKS leaves open: metadata, volumes, addresses."
        yield wrong(group, "launchTemplate", None, "one of the stack", fix)


@resource_policy(
    "exposure-imds",
    LAUNCH_TEMPLATE,
    description="Launch templates must require session tokens for instance metadata, and keep pods from the metadata.",
    fix="Set metadata_options: http_tokens required, http_put_response_hop_limit 1.",
    options=MetadataOptions,
)
def imds(template: Resource, options: MetadataOptions) -> Iterator[str]:
    """Otherwise a client that can make a pod fetch a URL gets the node's credentials."""
    metadata = table(template.get("metadataOptions"))
    if metadata.get("httpEndpoint") == "disabled":
        return
    if (tokens := metadata.get("httpTokens")) != "required":
        fix = "Set it; otherwise the account or the AMI decides."
        yield wrong(template, "metadataOptions.httpTokens", tokens, "required", fix)
    hops = whole(metadata.get("httpPutResponseHopLimit"))
    if hops is None or hops > options.maximum_hops:
        fix = "Set it; otherwise Amazon Linux 2023 uses 2, which lets pods use the node's credentials."
        must = f"at most {options.maximum_hops}"
        yield wrong(template, "metadataOptions.httpPutResponseHopLimit", hops, must, fix)


@resource_policy(
    "exposure-encrypted-volumes",
    LAUNCH_TEMPLATE,
    description="Launch templates must declare the root volume, and encrypt every volume.",
    fix="Set encrypted to true on each block device mapping.",
)
def encrypted_volumes(template: Resource, _: Options) -> Iterator[str]:
    """Volumes store weights, caches and what pods write, and their snapshots can be copied elsewhere."""
    fix = "Set it to true; otherwise the AMI or the account decides."
    mappings = list(tables(template.get("blockDeviceMappings")))
    volumes = [(mapping, table(mapping.get("ebs"))) for mapping in mappings if table(mapping.get("ebs"))]
    if not volumes:
        yield wrong(template, "blockDeviceMappings", None, "set, with an encrypted root volume", fix)
    for mapping, volume in volumes:
        if not is_on(encrypted := volume.get("encrypted")):
            device = mapping.get("deviceName")
            yield wrong(template, f"blockDeviceMappings.ebs.encrypted of {device}", encrypted, "true", fix)


@resource_policy(
    "exposure-drop-invalid-headers",
    LOAD_BALANCER,
    description="A load balancer must drop header fields with invalid names.",
    fix="Set drop_invalid_header_fields to true.",
)
def drop_invalid_headers(balancer: Resource, _: Options) -> Iterator[str]:
    """If the load balancer and a pod parse a request differently, it can smuggle another request past the rules."""
    if is_application(balancer) and not is_on(given := balancer.get("dropInvalidHeaderFields")):
        fix = "Set it to true: otherwise AWS passes such header fields on to the pods."
        yield wrong(balancer, "dropInvalidHeaderFields", given, "true", fix)


@resource_policy(
    "exposure-desync-mitigation",
    LOAD_BALANCER,
    description="A load balancer must not pass on requests that are known to be ambiguous.",
    fix="Set desync_mitigation_mode to defensive, which is AWS's default, or strictest.",
)
def desync_mitigation(balancer: Resource, _: Options) -> Iterator[str]:
    """In the mode monitor, it only counts ambiguous requests, and passes them on."""
    if is_application(balancer) and (given := balancer.get("desyncMitigationMode")) == "monitor":
        yield wrong(balancer, "desyncMitigationMode", given, "defensive or strictest", "Or use AWS's default.")


def _is_within(path: str, allowed: tuple[str, ...]) -> bool:
    """Return whether a path pattern matches only allowed paths."""
    return any(path == one or (one.endswith("*") and path.startswith(one[:-1])) for one in allowed)


def _ingress(resource: Resource) -> Iterator[Mapping[str, Any]]:
    """Yield the ingress rules of a security group, or the ingress rule that a resource is."""
    if resource.type in (SECURITY_GROUP, DEFAULT_SECURITY_GROUP):
        yield from tables(resource.get("ingress"))
    elif resource.type == INGRESS_RULE or resource.get("type") == "ingress":
        yield resource.props


def _sources(ingress: Mapping[str, Any]) -> Iterator[str]:
    for key in ("cidrBlocks", "ipv6CidrBlocks"):
        yield from items(ingress.get(key))
    for key in ("cidrIpv4", "cidrIpv6"):
        if (cidr := ingress.get(key)) is not None:
            yield cidr


def _open_ports(ingress: Mapping[str, Any]) -> str:
    """Return the open ports, such as ``tcp 443``; the two kinds of rule have different keys for the protocol."""
    protocol = str(ingress.get("protocol") or ingress.get("ipProtocol")).lower()
    if protocol in ("-1", "all"):
        return "everything"
    first, last = whole(ingress.get("fromPort")), whole(ingress.get("toPort"))
    ports = f"{first}" if first == last else f"{first} to {last}"
    return f"{'tcp' if protocol == '6' else protocol} {ports}"


def _open_peers(binding: Resource) -> Iterator[str]:
    """Yield the public networks that a TargetGroupBinding lets connect to its pods."""
    for ingress in tables(binding.get("spec.networking.ingress")):
        for peer in tables(ingress.get("from")):
            if (cidr := at(peer, "ipBlock.cidr")) is not None and _is_world(cidr):
                yield cidr


def _is_world(cidr: str) -> bool:
    """Return whether a network is wider than any private network."""
    try:
        return ip_network(cidr, strict=False).prefixlen <= _NARROWEST_WORLD
    except ValueError:
        # AWS refuses it.
        return False
