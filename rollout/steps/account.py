"""Checks of the AWS account: credentials, and for new nodes vCPU quota, reservations, addresses, zones, keys, roles.

Pure: ``rollout/adapters/aws/account.py`` reads the figures.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from components.config.sections.reservation import Reservation
from components.config.settings import ServiceSettings
from components.domain.moments import format_rfc3339
from components.domain.naming import Color
from components.domain.nodes.gpu_instances import GpuInstance
from rollout.model.account import QUOTAS, CapacityReservation, Credentials, Quota, RunningInstance, Subnet, VolumeKey
from rollout.model.nodes import VPC_CNI_ACCOUNT, VPC_CNI_NAMESPACE
from rollout.model.plan import Plan
from rollout.steps.scheduling import nodes_to_come, replicas_to_come, whose_nodes

# Each node needs one address itself. The VPC CNI, kube-proxy and the device plugin share it.
_OWN_ADDRESSES: Final = 1
ROLE_ANNOTATION: Final = "eks.amazonaws.com/role-arn"
_KEY_GUIDE: Final = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html"

# A role's own limit is between 1 and 12 hours. A role that is assumed from another role's session gets one hour.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-role-settings.html
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
_LONGEST_SESSION_SECONDS: Final = 43_200


def credential_violations(credentials: Credentials, plan: Plan, now: datetime) -> Iterator[str]:
    """Yield a violation if our credentials end before the rollout may: nobody could then move the traffic back."""
    ends, needed = credentials.ends, plan.longest_seconds
    if ends is None or ends >= now + timedelta(seconds=needed):
        return
    left = max((ends - now).total_seconds(), 0)
    what = (
        f"AWS credentials: end at {format_rfc3339(ends)}, in {left / 60:.0f} minutes, but the holds and the soak of "
        f"this rollout can take {math.ceil(needed / 60)} minutes with their extensions"
    )
    if needed < _LONGEST_SESSION_SECONDS:
        yield (
            f"{what}. Get a session of more than {math.ceil(needed)} seconds: raise the role's maximum session "
            "duration (`aws iam update-role --role-name <role> --max-session-duration <seconds>`), and ask for as "
            "much: in the workflow by the variable AWS_ROLE_DURATION_SECONDS (role-duration-seconds of "
            "configure-aws-credentials), by hand with --duration-seconds"
        )
    else:
        yield (
            f"{what}, and no session of a role is longer than 12 hours. Shorten rollout.steps, rollout.soak_seconds or "
            "rollout.gates.max_hold_extension_seconds, or use credentials that are renewed, such as those of an EC2 "
            "instance"
        )


def credential_warnings(credentials: Credentials) -> Iterator[str]:
    """Yield a warning when it is unknown when our credentials end."""
    if credentials.end_unknown:
        yield (
            "AWS credentials: are temporary, and nothing says when they end. If that is before the rollout's end, "
            "nobody can move the traffic back. Set AWS_CREDENTIAL_EXPIRATION, as `aws configure export-credentials "
            "--format env` does"
        )


def quota_of(instance_type: str) -> Quota:
    """Return the quota that On-Demand instances of a GPU type count towards."""
    return next(quota for quota in QUOTAS if quota.covers(instance_type))


def used_vcpus(quota: Quota, instances: Iterable[RunningInstance], reservations: Iterable[CapacityReservation]) -> int:
    """Return the vCPUs that count towards a quota: On-Demand instances, and reserved but unused capacity.

    An On-Demand Capacity Reservation counts from its creation, used or not. Spot instances and Capacity Blocks have
    their own limits.
    """
    running = sum(one.vcpus for one in instances if quota.covers(one.instance_type) and not one.lifecycle)
    idle = sum(
        one.available * one.vcpus_each
        for one in reservations
        if quota.covers(one.instance_type) and one.state == "active" and not one.is_block
    )
    return running + idle


def quota_violations(
    settings: ServiceSettings,
    colors: Sequence[Color],
    *,
    limit_vcpus: float,
    instances: Sequence[RunningInstance],
    reservations: Sequence[CapacityReservation],
    growing: int = 0,
) -> Iterator[str]:
    """Yield a violation if the vCPU quota is too small for the colours' new nodes together.

    ``growing`` is how many nodes the active colour may ask for besides, up to its autoscaler's ceiling.
    """
    instance = settings.instance
    # Reserved capacity is already counted, and a Capacity Block does not count at all.
    unreserved: list[Color] = [color for color in colors if settings.color(color).reservation is None]
    coming = sum(nodes_to_come(settings, color) for color in unreserved) + growing
    if not coming:
        return
    quota = quota_of(instance.name)
    used, needed = used_vcpus(quota, instances, reservations), coming * settings.most_vcpus
    if used + needed > limit_vcpus:
        yield (
            f"instance_type: {coming} new nodes of {instance.name} for {whose_nodes(settings, unreserved, growing)} "
            f"need {needed} vCPUs, but the quota {quota.name!r} ({quota.code}) is {limit_vcpus:g} and {used} are in "
            f"use. Request at least {used + needed}: `aws service-quotas request-service-quota-increase --service-code "
            f"ec2 --quota-code {quota.code} --desired-value {used + needed}`"
        )


def reservation_state_violations(
    settings: ServiceSettings,
    candidate: Color,
    *,
    reservations: Sequence[CapacityReservation],
    subnets: Sequence[Subnet],
    now: datetime,
) -> Iterator[str]:
    """Yield the violations of the candidate's reservation.

    ``reservations`` contains the declared reservation, or the members of its resource group.
    """
    declared = settings.color(candidate).reservation
    if declared is None:
        return
    where = f"{candidate}.reservation"
    named = declared.id or declared.resource_group_arn
    usable: list[CapacityReservation] = []
    for one in reservations:
        violations = tuple(_unusable(where, one, declared, settings.instance, subnets, now))
        yield from violations if declared.id is not None else ()
        usable += [] if violations else [one]
    coming = nodes_to_come(settings, candidate)
    if not reservations:
        yield f"{where}: {named} does not exist in this account and region. Check the id, AWS_PROFILE and aws:region"
    elif not usable and declared.id is None:
        states = ", ".join(f"{one.id} {one.state} {one.instance_type} {one.zone}" for one in reservations)
        yield f"{where}.resource_group_arn: no reservation of {named} can hold {settings.instance_type} nodes: {states}"
    elif (free := sum(one.available for one in usable)) < coming and usable:
        total = sum(one.total for one in usable)
        yield (
            f"{where}: {named} has {free} of {total} instances free, but {candidate} needs {coming} new nodes. "
            "End other instances in it, or reserve more"
        )


def _unusable(
    where: str,
    one: CapacityReservation,
    declared: Reservation,
    instance: GpuInstance,
    subnets: Sequence[Subnet],
    now: datetime,
) -> Iterator[str]:
    if one.state != "active":
        later = " It has not begun: wait" if one.state in ("scheduled", "payment-pending", "pending") else ""
        yield f"{where}.id: {one.id} is {one.state}, not active.{later or ' Use another one'}"
    if one.is_block != (declared.kind == "capacity_block"):
        yield f"{where}.kind: is {declared.kind}, but {one.id} is {'a' if one.is_block else 'not a'} Capacity Block"
    if one.instance_type != instance.name:
        yield f"{where}.id: {one.id} is for {one.instance_type}, but instance_type is {instance.name}"
    zones = sorted({subnet.zone for subnet in subnets})
    if one.zone not in zones:
        yield (
            f"{where}.subnet_id: is in {' and '.join(zones) or 'no zone'}, but {one.id} is in {one.zone}. Set it to a "
            "subnet of that zone"
        )
    if one.ends is not None and one.ends < declared.ends:
        declared_end, end = format_rfc3339(declared.ends), format_rfc3339(one.ends)
        state = "has ended" if one.ends <= now else "ends"
        yield f"{where}.ends: is {declared_end}, but {one.id} {state} at {end}. Set it to that"


def address_violations(settings: ServiceSettings, colors: Sequence[Color], subnets: Sequence[Subnet]) -> Iterator[str]:
    """Yield a violation if the subnets have too few free addresses for the colours' new nodes and pods together.

    This counts the minimum. By default, the VPC CNI also keeps a spare interface's addresses; with prefix delegation it
    takes blocks of 16 consecutive addresses.
    """
    replicas = sum(replicas_to_come(settings, color) for color in colors)
    coming, whose = sum(nodes_to_come(settings, color) for color in colors), " and ".join(colors)
    if coming:
        each = _OWN_ADDRESSES + -(-replicas // coming)
        holds = sum(subnet.free_addresses // each for subnet in subnets)
        enough = holds >= coming
        needed = coming * each
        what = f"{coming} new nodes and {replicas} new replicas of {whose}"
    else:
        needed = replicas
        enough = sum(subnet.free_addresses for subnet in subnets) >= needed
        what = f"{replicas} new replicas of {whose}"
    if not enough:
        free = ", ".join(f"{subnet.id} ({subnet.zone}) {subnet.free_addresses}" for subnet in subnets) or "none"
        yield (
            f"node_subnet_ids: {what} need at least {needed} addresses, but the free addresses are: {free}. Use larger "
            "subnets, or release addresses. (With prefix delegation, the VPC CNI takes blocks of 16 consecutive "
            "addresses, so more must be free.)"
        )


def subnet_ids_of(settings: ServiceSettings, candidate: Color) -> tuple[str, ...]:
    """Return the subnets that the config names for a colour's nodes. Empty for the stack's own."""
    return _named_subnets(settings, candidate)[1]


def zone_violations(
    settings: ServiceSettings, candidate: Color, subnets: Sequence[Subnet], load_balancer_zones: frozenset[str]
) -> Iterator[str]:
    """Yield the subnets of nodes in zones that the load balancer is not in.

    Its targets there stay ``unused`` (``Target.NotInUse``), so pods never become ready. That cross-zone load balancing
    is on does not help: the zone must be enabled.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
    """
    outside = [subnet for subnet in subnets if subnet.zone not in load_balancer_zones]
    if outside:
        where, _ = _named_subnets(settings, candidate)
        named = " and ".join(f"{subnet.id} is in {subnet.zone}" for subnet in outside)
        zones = " and ".join(sorted(load_balancer_zones)) or "no zone"
        owner = "have its owner add a subnet there" if settings.listener else "add a subnet to load_balancer_subnet_ids"
        yield (
            f"{where}: {named}, but the load balancer is in {zones}. Targets elsewhere are never used, so replicas "
            f"there never become ready; {owner}, or leave that subnet out"
        )


def zone_warnings(settings: ServiceSettings, candidate: Color, subnets: Sequence[Subnet]) -> Iterator[str]:
    """Yield a warning for a pool of several nodes in several zones: Auto Scaling may end nodes to balance the zones.

    It respects no disruption budget (docs/decisions/0019-a-pool-in-one-zone-is-never-rebalanced.md).
    """
    if not settings.declares_nodes:
        return
    zones = sorted({subnet.zone for subnet in subnets})
    size = settings.shared_pool if settings.shares_nodes else settings.pools[candidate]
    if len(zones) > 1 and size.max_nodes > 1:
        where, _ = _named_subnets(settings, candidate)
        whose, fix = (
            ("both colours", "give both colours the same one node_subnet_ids, before the first `pulumi up`")
            if settings.shares_nodes
            else (candidate, f"set {candidate}.node_subnet_ids to one subnet while {candidate} has no nodes")
        )
        yield (
            f"{where}: the nodes of {whose} are spread over {', '.join(zones)}. Auto Scaling may end a serving node to "
            f"balance the zones, whatever the disruption budget says. To prevent that, {fix}"
        )


def _named_subnets(settings: ServiceSettings, candidate: Color) -> tuple[str, tuple[str, ...]]:
    """Return the key that decides about a colour's subnets, and the subnets. Empty for the stack's own."""
    colored = settings.color(candidate)
    if colored.reservation is not None and colored.reservation.subnet_id is not None:
        return f"{candidate}.reservation.subnet_id", (colored.reservation.subnet_id,)
    return f"{candidate}.node_subnet_ids" if colored.node_subnet_ids else "node_subnet_ids", colored.node_subnet_ids


def key_violations(settings: ServiceSettings, key: VolumeKey) -> Iterator[str]:
    """Yield why nodes cannot start with the KMS key of their volumes."""
    where = "nodes.volume_kms_key_arn"
    which = key.arn if settings.nodes.volume_kms_key_arn else f"not set, and the account's default is {key.arn}"
    if key.state not in ("", "Enabled"):
        yield f"{where}: {which}, which is {key.state}, so no node can start. Enable it, or name another key"
    if key.auto_scaling_may_use is False:
        yield (
            f"{where}: {which}, which Auto Scaling's role AWSServiceRoleForAutoScaling may not use, so no node can "
            f"start. Allow the role in the key's policy ({_KEY_GUIDE}), or name another key"
        )


def key_warnings(key: VolumeKey) -> Iterator[str]:
    """Yield a warning when it is unknown whether nodes can start with the KMS key of their volumes."""
    if key.auto_scaling_may_use is None:
        yield (
            f"nodes.volume_kms_key_arn: whether Auto Scaling may use {key.arn} is unknown, because its policy or its "
            f"grants may not be read. If it may not, no node can start: {_KEY_GUIDE}"
        )


def cni_violations(
    annotations: Mapping[str, str] | None, *, uses_node_role: bool, has_pod_identity: bool
) -> Iterator[str]:
    """Yield a violation if the VPC CNI has no IAM role at all: new nodes would get no addresses for pods.

    Args:
        annotations: of its service account; None when the cluster has another network plugin.
        uses_node_role: whether the nodes' role has its permissions.
        has_pod_identity: whether its service account has a role by EKS Pod Identity.
    """
    if annotations is None or uses_node_role or has_pod_identity or annotations.get(ROLE_ANNOTATION):
        return
    yield (
        f"vpc_cni_uses_node_role: is false, but the VPC CNI has no role of its own: service account {VPC_CNI_ACCOUNT} "
        f"of {VPC_CNI_NAMESPACE} has neither the annotation {ROLE_ANNOTATION} nor a Pod Identity association. New "
        "nodes would never become ready (NodeCreationFailure). Set it to true, or give the CNI a role: "
        "https://docs.aws.amazon.com/eks/latest/userguide/cni-iam-role.html"
    )
