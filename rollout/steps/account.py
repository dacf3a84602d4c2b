"""Checks that the AWS account has enough for the new nodes: vCPU quota, reserved capacity, free addresses.

Pure: ``rollout/adapters/aws/account.py`` reads the figures.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from components.config.reservation import Reservation
from components.config.settings import ServiceSettings
from components.domain.gpu_instances import GpuInstance
from components.domain.moments import format_rfc3339
from components.domain.naming import Color
from rollout.model.account import QUOTAS, CapacityReservation, Quota, RunningInstance, Subnet
from rollout.steps.scheduling import nodes_to_come

# Each node needs one address itself. The VPC CNI, kube-proxy and the device plugin share it.
_OWN_ADDRESSES: Final = 1


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
    candidate: Color,
    *,
    limit_vcpus: float,
    instances: Sequence[RunningInstance],
    reservations: Sequence[CapacityReservation],
) -> Iterator[str]:
    """Yield a violation if the vCPU quota is too small for the candidate's new nodes."""
    coming, instance = nodes_to_come(settings, candidate), settings.instance
    # Reserved capacity is already counted, and a Capacity Block does not count at all.
    if not coming or settings.color(candidate).reservation is not None:
        return
    quota = quota_of(instance.name)
    used, needed = used_vcpus(quota, instances, reservations), coming * instance.vcpus
    if used + needed > limit_vcpus:
        yield (
            f"instance_type: {coming} new nodes of {instance.name} for {candidate} need {needed} vCPUs, but the quota "
            f"{quota.name!r} ({quota.code}) is {limit_vcpus:g} and {used} are in use. Request at least "
            f"{used + needed}: `aws service-quotas request-service-quota-increase --service-code ec2 "
            f"--quota-code {quota.code} --desired-value {used + needed}`"
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


def address_violations(settings: ServiceSettings, candidate: Color, subnets: Sequence[Subnet]) -> Iterator[str]:
    """Yield a violation if the subnets have too few free addresses for the new nodes and pods.

    This counts the minimum. By default, the VPC CNI also keeps a spare interface's addresses; with prefix delegation it
    takes blocks of 16 consecutive addresses.
    """
    replicas, coming = settings.color(candidate).replicas, nodes_to_come(settings, candidate)
    if coming:
        each = _OWN_ADDRESSES + -(-replicas // coming)
        holds = sum(subnet.free_addresses // each for subnet in subnets)
        enough = holds >= coming
        needed = coming * each
        what = f"{coming} new nodes and {replicas} new replicas of {candidate}"
    else:
        needed = replicas
        enough = sum(subnet.free_addresses for subnet in subnets) >= needed
        what = f"{replicas} new replicas of {candidate}"
    if not enough:
        free = ", ".join(f"{subnet.id} ({subnet.zone}) {subnet.free_addresses}" for subnet in subnets) or "none"
        yield (
            f"node_subnet_ids: {what} need at least {needed} addresses, but the free addresses are: {free}. Use larger "
            "subnets, or release addresses. (With prefix delegation, the VPC CNI takes blocks of 16 consecutive "
            "addresses, so more must be free.)"
        )
