"""The targets of a target group in the data plane: health, requests in flight, draining."""

import asyncio
import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from rehearsal.aws.moto.moto_patches import TargetHealth
from rehearsal.aws.topology import TargetGroup, TargetKey
from rehearsal.system.addresses import loopback_of

HEALTHY = TargetHealth("healthy")
REGISTERING = TargetHealth("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING = TargetHealth("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
NOT_IN_USE = TargetHealth(
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)


class Exchange(Protocol):
    """A request on its way through the load balancer."""

    def cut(self, reason: str) -> None:
        """End the request now, as the load balancer."""
        ...


class Target:
    """One target. `deregistered_at` (epoch seconds) is set while it drains."""

    def __init__(self, key: TargetKey, health: TargetHealth) -> None:
        self.key = key
        self.health = health
        self.deregistered_at: float | None = None
        self.in_flight: set[Exchange] = set()
        self.netloc = f"{loopback_of(key.address)}:{key.port}"

    def __str__(self) -> str:
        return f"{self.key.address}:{self.key.port}"

    @contextmanager
    def carrying(self, exchange: Exchange) -> Generator[None]:
        """Count the exchange as in flight; it is cut when the drain is over."""
        self.in_flight.add(exchange)
        try:
            yield
        finally:
            self.in_flight.discard(exchange)


class TargetPool:
    """The targets of one target group, registered and draining."""

    def __init__(self, group: TargetGroup) -> None:
        self.group = group
        self.in_use = False
        self.targets: dict[TargetKey, Target] = {}
        self._turn = 0

    @property
    def registered(self) -> list[Target]:
        return [target for target in self.targets.values() if target.deregistered_at is None]

    def register(self, key: TargetKey) -> Target:
        """Add a target, or take back a draining one."""
        known = self.targets.get(key)
        if known is not None:
            known.deregistered_at = None
            return known
        self.targets[key] = Target(key, CHECKING if self.in_use else NOT_IN_USE)
        return self.targets[key]

    def deregister(self, target: Target, removed: Callable[[Target], None]) -> None:
        """Let a target drain: open requests may continue until the deregistration delay is over."""
        since = target.deregistered_at = time.time()
        delay = self.group.deregistration_delay_seconds

        def end() -> None:
            if target.deregistered_at != since:
                return  # registered again meanwhile
            del self.targets[target.key]
            for exchange in tuple(target.in_flight):
                exchange.cut("deregistration_delay")
            removed(target)

        asyncio.get_running_loop().call_later(delay, end)

    def choose(self, propagation_seconds: float) -> Target | None:
        """Choose the target for a new request: a healthy one, else any (fail open). None when there is no target.

        A target that was deregistered less than `propagation_seconds` ago still counts.
        """
        now = time.time()
        present = [
            target
            for target in self.targets.values()
            if target.deregistered_at is None or now < target.deregistered_at + propagation_seconds
        ]
        candidates = [target for target in present if target.health is HEALTHY] or present
        if not candidates:
            return None
        match self.group.algorithm:
            case "least_outstanding_requests":
                fewest = min(len(target.in_flight) for target in candidates)
                return random.choice([one for one in candidates if len(one.in_flight) == fewest])
            case "weighted_random":
                return random.choice(candidates)
            case _:
                self._turn += 1
                return candidates[self._turn % len(candidates)]
