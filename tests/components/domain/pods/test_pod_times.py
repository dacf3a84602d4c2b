"""The times of a pod's life: a slow start gets time, a busy engine is not restarted, a dead one is."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from components.domain.pods.drain_chain import drain_chain
from components.domain.pods.pod_times import LIVENESS_TIMEOUT_SECONDS, PodTimes, pod_times
from rehearsal.kubelet.probes import ProbeTarget, verdicts

SECONDS = st.integers(1, 86_400)
PERIODS = st.integers(1, 300)


def _times(
    cold_start: int = 600, node_start: int = 900, period: int = 10, threshold: int = 20, interval: int = 10
) -> PodTimes:
    return pod_times(
        cold_start_seconds=cold_start,
        node_start_seconds=node_start,
        probe_period_seconds=period,
        readiness_threshold_seconds=threshold,
        health_check_interval_seconds=interval,
        drain_chain=drain_chain(120, 30),
    )


def test_the_defaults() -> None:
    assert _times() == PodTimes(
        period_seconds=10,
        startup_failures=90,
        readiness_timeout_seconds=23,
        liveness_failures=6,
        dead_grace_period_seconds=40,
        progress_deadline_seconds=900 + 900 + 43 + 160,
        deletion_seconds=220,
    )
    assert _times().startup_seconds == 900
    assert _times().silence_seconds == 180


@given(cold_start=SECONDS, period=PERIODS)
def test_a_start_may_take_half_as_long_again_as_declared_and_hardly_more(cold_start: int, period: int) -> None:
    times = _times(cold_start=cold_start, period=period)
    assert cold_start * 1.5 <= times.startup_seconds < cold_start * 1.5 + period


@given(period=PERIODS)
def test_an_engine_may_be_silent_for_three_minutes_whatever_the_period(period: int) -> None:
    times = _times(period=period)
    assert times.silence_seconds >= 180
    assert times.liveness_failures >= 3
    # An engine that reports its death is restarted no later than one that does not answer.
    assert times.liveness_failures * period <= times.silence_seconds


@given(cold_start=SECONDS, node_start=SECONDS, period=PERIODS, threshold=PERIODS, interval=st.integers(5, 300))
def test_kubernetes_and_pulumi_wait_for_the_longest_start_that_the_probes_allow(
    cold_start: int, node_start: int, period: int, threshold: int, interval: int
) -> None:
    times = _times(cold_start, node_start, period, threshold, interval)
    assert times.readiness_timeout_seconds > threshold
    until_ready = period + times.readiness_timeout_seconds + interval
    assert times.progress_deadline_seconds >= node_start + times.startup_seconds + until_ready + 160
    assert times.update_seconds(1) == times.progress_deadline_seconds
    assert times.update_seconds(7) == 7 * times.progress_deadline_seconds


@given(longest=st.integers(1, 800), propagation=st.integers(1, 80))
def test_what_is_dead_still_leaves_the_load_balancer_first_but_drains_nothing(longest: int, propagation: int) -> None:
    chain = drain_chain(longest, propagation)
    times = pod_times(
        cold_start_seconds=1,
        node_start_seconds=1,
        probe_period_seconds=1,
        readiness_threshold_seconds=1,
        health_check_interval_seconds=5,
        drain_chain=chain,
    )
    assert chain.pre_stop_seconds < times.dead_grace_period_seconds < chain.grace_period_seconds
    assert times.deletion_seconds > chain.grace_period_seconds


_SCALE = 200
"""How many times faster than real probes these are."""


@asynccontextmanager
async def _health(silent_seconds: float, status: int) -> AsyncGenerator[int]:
    """Serve ``/health`` without an answer for a while, then with this status."""
    since = asyncio.get_running_loop().time()

    async def health(_request: web.Request) -> web.Response:
        left = silent_seconds - (asyncio.get_running_loop().time() - since)
        await asyncio.sleep(max(left, 0))
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        yield listener.getsockname()[1]
        await runner.cleanup()


async def _verdict(period: int, *, silent_seconds: float, status: int) -> tuple[bool, float]:
    """Return the first verdict of the liveness probe, and when it fell, in the probe's own seconds."""
    probe = {
        "httpGet": {"path": "/health", "port": "http"},
        "periodSeconds": period / _SCALE,
        "timeoutSeconds": LIVENESS_TIMEOUT_SECONDS / _SCALE,
        "failureThreshold": _times(period=period).liveness_failures,
    }
    loop = asyncio.get_running_loop()

    async def unused(_command: list[str]) -> int:
        raise AssertionError("the liveness probe runs no command")

    async with _health(silent_seconds / _SCALE, status) as port, aiohttp.ClientSession() as http:
        target = ProbeTarget(address="127.0.0.1", ports={"http": port}, run=unused, http=http)
        since = loop.time()
        async for verdict in verdicts(probe, target, since=since):
            return verdict, (loop.time() - since) * _SCALE
    raise AssertionError("the probe gave up")


@pytest.mark.parametrize("period", [2, 10, 60])
def test_an_engine_too_busy_to_answer_for_two_minutes_is_left_alone(period: int) -> None:
    alive, _ = asyncio.run(_verdict(period, silent_seconds=120, status=200))
    assert alive


@pytest.mark.parametrize("period", [2, 10, 60])
def test_an_engine_that_never_answers_again_is_started_anew(period: int) -> None:
    alive, after_seconds = asyncio.run(_verdict(period, silent_seconds=10_000, status=200))
    assert not alive
    assert after_seconds >= 150


def test_an_engine_that_says_that_it_is_dead_is_started_anew_without_waiting_for_silence() -> None:
    alive, after_seconds = asyncio.run(_verdict(10, silent_seconds=0, status=503))
    assert not alive
    assert after_seconds <= 120
