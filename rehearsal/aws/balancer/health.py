"""Checks the health of targets as a load balancer does."""

import asyncio
import random
from collections.abc import Callable

import aiohttp
from yarl import URL

from rehearsal.aws.balancer.targets import HEALTHY, Target, TargetPool
from rehearsal.aws.moto.moto_patches import TargetHealth
from rehearsal.system.addresses import loopback_of

TIMED_OUT = TargetHealth("unhealthy", "Target.Timeout", "Request timed out")
FAILED = TargetHealth("unhealthy", "Target.FailedHealthChecks", "Health checks failed")

HealthChanged = Callable[[TargetPool, Target, TargetHealth], None]


class HealthChecker:
    """Checks watched targets and reports each change of health."""

    def __init__(self, interval_scale: float, changed: HealthChanged) -> None:
        self._interval_scale = interval_scale
        self._changed = changed
        # A health check closes its connection: no keep-alive.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        self._tasks: dict[Target, asyncio.Task[None]] = {}

    def watch(self, pool: TargetPool, target: Target) -> None:
        """Start checking a target, unless it is already watched."""
        if target not in self._tasks:
            self._tasks[target] = asyncio.create_task(self._check_forever(pool, target))

    def forget(self, target: Target) -> None:
        """Stop checking."""
        task = self._tasks.pop(target, None)
        if task:
            task.cancel()

    async def close(self) -> None:
        for target in tuple(self._tasks):
            self.forget(target)
        await self._session.close()

    async def _check_forever(self, pool: TargetPool, target: Target) -> None:
        """Check a target for ever. The first verdict needs one pass; later changes follow the thresholds."""
        passes = failures = 0
        while True:
            check = pool.group.health_check
            started = asyncio.get_running_loop().time()
            failure = await self._failure(pool, target)
            passes, failures = (0, failures + 1) if failure else (passes + 1, 0)
            if failure and (target.health.state == "unhealthy" or failures >= check.unhealthy_threshold):
                self._changed(pool, target, failure)
            elif not failure and (target.health.state == "initial" or passes >= check.healthy_threshold):
                self._changed(pool, target, HEALTHY)
            interval = check.interval_seconds * self._interval_scale * random.uniform(0.95, 1.05)
            await asyncio.sleep(max(0.0, started + interval - asyncio.get_running_loop().time()))

    async def _failure(self, pool: TargetPool, target: Target) -> TargetHealth | None:
        """Return why one check failed, None when it passed."""
        check = pool.group.health_check
        host, port = loopback_of(target.key.address), check.port or target.key.port
        try:
            async with self._session.get(
                URL(f"http://{host}:{port}{check.path}", encoded=True),
                headers={"User-Agent": "ELB-HealthChecker/2.0", "Host": f"{target.key.address}:{port}"},
                timeout=aiohttp.ClientTimeout(total=check.timeout_seconds),
                allow_redirects=False,
            ) as response:
                await response.read()
        except TimeoutError:
            return TIMED_OUT
        except aiohttp.ClientError:
            return FAILED
        if check.accepts(response.status):
            return None
        codes = f"Health checks failed with these codes: [{response.status}]"
        return TargetHealth("unhealthy", "Target.ResponseCodeMismatch", codes)
