"""What an AWS account must have for the nodes to come: vCPU quota, reserved capacity, free addresses.

Pure: the figures are asked for elsewhere (rollout/adapters/aws/account.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from components.config.reservation import Reservation
from components.config.settings import ServiceSettings
from components.domain.gpu_instances import GpuInstance
from components.domain.naming import Color
from rollout.model.account import QUOTAS, CapacityReservation, Quota, RunningInstance, Subnet
from rollout.steps.scheduling import nodes_to_come

# The VPC CNI, kube-proxy and the device plugin use their node's own address.
_OWN_ADDRESSES: Final = 1


def quota_of(instance_type: str) -> Quota:
    """Return the quota that On-Demand instances of a GPU type count towards."""
    return next(quota for quota in QUOTAS if quota.covers(instance_type))


def used_vcpus(quota: Quota, instances: Iterable[RunningInstance], reservations: Iterable[CapacityReservation]) -> int:
    """Return the vCPUs that count towards a quota: On-Demand instances, and what is reserved but not used.

    An On-Demand Capacity Reservation counts from the day that it is made, used or not. Spot instances and Capacity
    Blocks have limits of their own.
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
    """Yield that the candidate's nodes would not start for want of vCPU quota."""
    coming, instance = nodes_to_come(settings, candidate), settings.instance
    # What is reserved has been counted already, and a block does not count at all.
    if not coming or settings.color(candidate).reservation is not None:
        return
    quota = quota_of(instance.name)
    used, needed = used_vcpus(quota, instances, reservations), coming * instance.vcpus
    if used + needed > limit_vcpus:
        yield (
            f"instance_type: {coming} nodes of {instance.name} are to come for {candidate} and need {needed} vCPUs, "
            f"but the quota {quota.name!r} ({quota.code}) is {limit_vcpus:g} and {used} are in use. Ask for "
            f"{used + needed} at least: `aws service-quotas request-service-quota-increase --service-code ec2 "
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
    """Yield what is wrong with the candidate's reservation: ``reservations`` are it, or those of its resource group."""
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
        yield f"{where}: {named} is not there, in this account and region. Check the id, AWS_PROFILE and aws:region"
    elif not usable and declared.id is None:
        states = ", ".join(f"{one.id} {one.state} {one.instance_type} {one.zone}" for one in reservations)
        yield f"{where}.resource_group_arn: no reservation of {named} can hold {settings.instance_type} nodes: {states}"
    elif (free := sum(one.available for one in usable)) < coming and usable:
        total = sum(one.total for one in usable)
        yield (
            f"{where}: {named} has {free} of {total} instances free, but {coming} nodes are to come for {candidate}. "
            "End what else runs in it, or reserve more"
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
        yield f"{where}.id: {one.id} is {one.state}, not active.{later or ' Take another one'}"
    if one.is_block != (declared.kind == "capacity_block"):
        yield f"{where}.kind: is {declared.kind}, but {one.id} is {'a' if one.is_block else 'no'} Capacity Block"
    if one.instance_type != instance.name:
        yield f"{where}.id: {one.id} holds {one.instance_type}, but instance_type is {instance.name}"
    zones = sorted({subnet.zone for subnet in subnets})
    if one.zone not in zones:
        yield (
            f"{where}.subnet_id: is in {' and '.join(zones) or 'no zone'}, but {one.id} is in {one.zone}. Name a "
            "subnet of that zone"
        )
    promised = datetime.fromisoformat(declared.ends.upper())
    if one.ends is not None and one.ends < promised:
        state = "has ended" if one.ends <= now else "ends"
        yield f"{where}.ends: is {declared.ends}, but {one.id} {state} at {one.ends:%Y-%m-%dT%H:%M:%SZ}. Write that"


def address_violations(settings: ServiceSettings, candidate: Color, subnets: Sequence[Subnet]) -> Iterator[str]:
    """Yield that the nodes and pods to come would find no addresses.

    Counted is what is needed at least: with its defaults the VPC CNI keeps a spare interface's addresses beside those
    of the pods, and with prefix delegation it takes 16 consecutive ones at a time.
    """
    replicas, coming = settings.color(candidate).replicas, nodes_to_come(settings, candidate)
    if coming:
        each = _OWN_ADDRESSES + -(-replicas // coming)
        holds = sum(subnet.free_addresses // each for subnet in subnets)
        enough = holds >= coming
        needed = coming * each
        what = f"{coming} nodes and {replicas} replicas of {candidate} are to come"
    else:
        needed = replicas
        enough = sum(subnet.free_addresses for subnet in subnets) >= needed
        what = f"{replicas} replicas of {candidate} are to come"
    if not enough:
        free = ", ".join(f"{subnet.id} ({subnet.zone}) {subnet.free_addresses}" for subnet in subnets) or "none"
        yield (
            f"node_subnet_ids: {what} and need {needed} addresses at least, but free are: {free}. Use larger subnets, "
            "or release addresses. (With prefix delegation the VPC CNI takes blocks of 16 consecutive addresses, so "
            "more must be free.)"
        )
