"""Runs Kubernetes probes and lifecycle hooks against a local process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from rehearsal.kube.client import Json

RunCommand = Callable[[list[str]], Awaitable[int]]
"""Runs a command inside a container and returns its exit code. A cancellation ends the command."""


@dataclass(frozen=True, kw_only=True)
class ProbeTarget:
    """The target of one container's probes."""

    address: str
    """The address on which the process listens."""
    ports: dict[str, int]
    """The container's named ports."""
    run: RunCommand
    http: aiohttp.ClientSession

    def port(self, port: int | str) -> int:
        return port if isinstance(port, int) else self.ports[port]


async def act(action: Json, target: ProbeTarget) -> bool:
    """Run one probe or hook action (httpGet, tcpSocket, exec, sleep) and return whether it succeeded."""
    try:
        if "httpGet" in action:
            return await _http_get(action["httpGet"], target)
        if "tcpSocket" in action:
            return await _connect(action["tcpSocket"], target)
        if "exec" in action:
            return await target.run(action["exec"]["command"]) == 0
        if "sleep" in action:
            await asyncio.sleep(action["sleep"]["seconds"])
            return True
    except (OSError, aiohttp.ClientError, KeyError):
        return False
    return False


async def _http_get(spec: Json, target: ProbeTarget) -> bool:
    scheme = spec.get("scheme", "HTTP").lower()
    path = "/" + spec.get("path", "/").lstrip("/")
    url = f"{scheme}://{spec.get('host') or target.address}:{target.port(spec['port'])}{path}"
    headers = {header["name"]: header["value"] for header in spec.get("httpHeaders", [])}
    async with target.http.get(url, headers=headers, ssl=False, allow_redirects=False) as answer:
        return 200 <= answer.status < 400


async def _connect(spec: Json, target: ProbeTarget) -> bool:
    host = spec.get("host") or target.address
    _, writer = await asyncio.open_connection(host, target.port(spec["port"]))
    writer.close()
    return True


async def verdicts(probe: Json, target: ProbeTarget, *, since: float) -> AsyncIterator[bool]:
    """Probe for ever. Yield each verdict that differs from the one before, by the probe's thresholds.

    The first probe is ``initialDelaySeconds`` after ``since``, a time of the event loop's clock.
    """
    loop = asyncio.get_running_loop()
    next_at = since + probe.get("initialDelaySeconds", 0)
    last: bool | None = None
    verdict: bool | None = None
    in_a_row = 0
    while True:
        next_at = max(next_at, loop.time())
        await asyncio.sleep(next_at - loop.time())
        result = await _once(probe, target)
        in_a_row = in_a_row + 1 if result == last else 1
        last = result
        needed = probe.get("successThreshold", 1) if result else probe.get("failureThreshold", 3)
        if in_a_row >= needed and result != verdict:
            verdict = result
            yield verdict
        next_at += probe.get("periodSeconds", 10)


async def _once(probe: Json, target: ProbeTarget) -> bool:
    try:
        return await asyncio.wait_for(act(probe, target), probe.get("timeoutSeconds", 1))
    except TimeoutError:
        return False
