"""The state of the data plane: rules as requested and as applied, target pools, and the effects of changes."""

import asyncio
import time
from collections import deque
from dataclasses import replace
from typing import Any, NamedTuple

from moto.elbv2.models import ELBv2Backend

from rehearsal.aws.balancer.health import HealthChecker
from rehearsal.aws.balancer.targets import CHECKING, NOT_IN_USE, REGISTERING, Target, TargetPool
from rehearsal.aws.events import EventLog
from rehearsal.aws.faults import Faults
from rehearsal.aws.moto.moto_patches import TargetHealth
from rehearsal.aws.moto.moto_topology import read_topology
from rehearsal.aws.settings import AwsSettings
from rehearsal.aws.topology import (
    Forward,
    LoadBalancer,
    Rule,
    TargetKey,
    Topology,
    groups_in_use,
    rules_of,
)

TIMER_RESOLUTION_SECONDS = 0.001
"""An event loop timer may fire this early."""


class _Change(NamedTuple):
    """Rules as the API requested them, with the time in epoch seconds and in the loop's clock."""

    asked_at: float
    followed_at: float
    load_balancers: tuple[LoadBalancer, ...]


class DataPlane:
    """Follows the API with the lags of the real service. Runs in one event loop; moto's threads call only `changed` and
    `target_health`."""

    def __init__(self, settings: AwsSettings, faults: Faults, events: EventLog) -> None:
        self.faults = faults
        self.events = events
        self.asked = Topology()
        self.load_balancers: tuple[LoadBalancer, ...] = ()
        self.pools: dict[str, TargetPool] = {}
        self.balancer_of_group: dict[str, str] = {}
        self._region = settings.region
        self._loop = asyncio.get_running_loop()
        self._pending: deque[_Change] = deque()
        self._due = _Change(0, 0, ())
        self._checker = HealthChecker(settings.health_check_interval_scale, self._health_changed)

    async def close(self) -> None:
        await self._checker.close()

    # Called in moto's threads.

    def changed(self, backend: ELBv2Backend, at: float) -> None:
        if backend.region_name == self._region:
            self._loop.call_soon_threadsafe(self._follow, read_topology(backend), at)

    def target_health(self, target_group_arn: str, target: TargetKey) -> TargetHealth:
        pool = self.pools.get(target_group_arn)
        known = pool.targets.get(target) if pool else None
        return known.health if known and known.deregistered_at is None else REGISTERING

    # Called in the event loop.

    def reschedule(self) -> None:
        """Apply changed faults: pending rules may be due now, or later than planned."""
        self._apply_due()
        self._schedule()

    def rules_asked(self) -> dict[str, Rule]:
        return rules_of(self.asked.load_balancers)

    def rules_applied(self) -> dict[str, Rule]:
        return rules_of(self.load_balancers)

    def _follow(self, topology: Topology, at: float) -> None:
        before, self.asked = self.asked, topology
        if before.load_balancers != topology.load_balancers:
            self._log_rules("asked", rules_of(before.load_balancers), self.rules_asked(), at)
            self._pending.append(_Change(at, self._loop.time(), topology.load_balancers))
            self._schedule()
        if before.target_groups != topology.target_groups:
            self._follow_targets(topology)

    def _schedule(self) -> None:
        for change in self._pending:
            self._loop.call_at(change.followed_at + self.faults.weight_lag_seconds, self._apply_due)

    def _apply_due(self) -> None:
        """Apply the newest rules that are due; they supersede all older ones."""
        latest = self._loop.time() - self.faults.weight_lag_seconds + TIMER_RESOLUTION_SECONDS
        while self._pending and self._pending[0].followed_at <= latest:
            self._due = self._pending.popleft()
        before, balancers = self.rules_applied(), self._due.load_balancers
        if self.faults.ignore_weight_changes:
            balancers = tuple(_with_old_actions(balancer, before) for balancer in balancers)
        if balancers == self.load_balancers:
            return
        self.load_balancers = balancers
        self._log_rules("applied", before, self.rules_applied(), time.time(), asked_at=self._due.asked_at)
        self._follow_use()

    def _log_rules(self, what: str, before: dict[str, Rule], after: dict[str, Rule], at: float, **fields: Any) -> None:
        for arn in before.keys() | after.keys():
            old, new = before.get(arn), after.get(arn)
            if old == new:
                continue
            rule = new or old
            assert rule is not None
            self.events.add(
                f"rule_{what}",
                at,
                rule_arn=arn,
                rule=rule.kind,
                change="changed" if old and new else "created" if new else "deleted",
                weights_before=weights_of(old),
                weights=weights_of(new),
                **fields,
            )

    def _follow_targets(self, topology: Topology) -> None:
        groups = {group.arn: group for group in topology.target_groups}
        for group in topology.target_groups:
            pool = self.pools.get(group.arn)
            if pool is None:
                pool = self.pools[group.arn] = TargetPool(group)
                pool.in_use = group.arn in self.balancer_of_group
            pool.group = group
            for key in group.targets:
                self._register(pool, key)
            wanted = set(group.targets)
            for target in pool.registered:
                if target.key not in wanted:
                    self._deregister(pool, target)
        for arn in self.pools.keys() - groups.keys():
            for target in self.pools.pop(arn).targets.values():
                self._checker.forget(target)

    def _register(self, pool: TargetPool, key: TargetKey) -> None:
        known = pool.targets.get(key)
        if known is None or known.deregistered_at is not None:
            target = pool.register(key)
            self._log_target("target_registered", pool, target)
            if pool.in_use:
                self._checker.watch(pool, target)

    def _deregister(self, pool: TargetPool, target: Target) -> None:
        self._checker.forget(target)
        pool.deregister(target, lambda gone: self._log_target("target_drained", pool, gone))
        self._log_target("target_deregistered", pool, target, in_flight=len(target.in_flight))

    def _follow_use(self) -> None:
        """Check the targets of groups that a rule names; set all other targets to `unused`."""
        self.balancer_of_group = groups_in_use(self.load_balancers)
        for pool in self.pools.values():
            in_use = pool.group.arn in self.balancer_of_group
            if pool.in_use == in_use:
                continue
            pool.in_use = in_use
            for target in pool.registered:
                self._health_changed(pool, target, CHECKING if in_use else NOT_IN_USE)
                if in_use:
                    self._checker.watch(pool, target)
                else:
                    self._checker.forget(target)

    def _health_changed(self, pool: TargetPool, target: Target, health: TargetHealth) -> None:
        if target.health != health:
            self._log_target(
                "target_health", pool, target, before=target.health.state, now=health.state, reason=health.reason
            )
            target.health = health

    def _log_target(self, kind: str, pool: TargetPool, target: Target, **fields: Any) -> None:
        group = pool.group
        self.events.add(kind, target_group_arn=group.arn, color=group.color, target=str(target), **fields)


def weights_of(rule: Rule | None) -> dict[str, int] | None:
    """Return the weights of a forward rule by target group ARN, None for any other rule."""
    return dict(rule.action.weights) if rule and isinstance(rule.action, Forward) else None


def _with_old_actions(balancer: LoadBalancer, before: dict[str, Rule]) -> LoadBalancer:
    """Return the load balancer with the old actions of known rules."""
    return replace(
        balancer,
        listeners=tuple(
            replace(
                listener,
                rules=tuple(
                    replace(rule, action=before[rule.arn].action) if rule.arn in before else rule
                    for rule in listener.rules
                ),
            )
            for listener in balancer.listeners
        ),
    )
