"""Runs one AWS account: API, data plane, CloudWatch publisher and admin port in one process."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator

from aiohttp import web
from moto.cloudwatch.models import cloudwatch_backends

from rehearsal.aws import launches
from rehearsal.aws.admin import create_admin
from rehearsal.aws.balancer.access_log import AccessLog
from rehearsal.aws.balancer.metrics import Metrics, publish_forever
from rehearsal.aws.balancer.plane import DataPlane
from rehearsal.aws.balancer.proxy import Proxy
from rehearsal.aws.events import EventLog
from rehearsal.aws.faults import Faults
from rehearsal.aws.moto import moto_network, moto_patches
from rehearsal.aws.moto.api_server import start_api_server
from rehearsal.aws.settings import ACCOUNT_ID, AwsSettings
from rehearsal.system.garbage import collect_rarely

SWITCH_INTERVAL_SECONDS = 0.0005
"""moto's handlers keep the interpreter busy for milliseconds; the data plane must not wait that long for its turn."""


async def serve(settings: AwsSettings) -> None:
    """Run until SIGTERM or SIGINT, then cut open requests."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    collect_rarely()  # With moto's many objects, each full collection would also pause the data plane.
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _account(settings):
        await stop.wait()


@contextlib.asynccontextmanager
async def _account(settings: AwsSettings) -> AsyncGenerator[None]:
    faults = Faults(
        weight_lag_seconds=settings.weight_lag_seconds,
        deregistration_propagation_seconds=settings.deregistration_propagation_seconds,
        request_counted_at=settings.request_counted_at,
        publication_delay_seconds=settings.publication_delay_seconds,
    )
    metrics, log = Metrics(settings.cloudwatch_period_seconds), AccessLog(settings.access_log)
    plane = DataPlane(settings, faults, EventLog())
    moto_patches.install(plane, settings.region)
    moto_network.install()
    launches.install(faults)
    proxy = Proxy(plane, metrics, log)
    cloudwatch = cloudwatch_backends[ACCOUNT_ID][settings.region]
    publisher = asyncio.create_task(publish_forever(metrics, plane, cloudwatch, settings.cloudwatch_period_seconds))
    # A client that disconnects cancels its handler, and with it the request to the target.
    data_plane = web.ServerRunner(
        web.Server(proxy.handle, handler_cancellation=True, auto_decompress=False), shutdown_timeout=0.1
    )
    admin = web.AppRunner(create_admin(plane, metrics), access_log=None, shutdown_timeout=0.1)
    for runner, port in ((data_plane, settings.alb_port), (admin, settings.admin_port)):
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    start_api_server(settings.api_port, faults)
    try:
        yield
    finally:
        publisher.cancel()
        await admin.cleanup()
        await data_plane.cleanup()
        await proxy.close()
        await plane.close()
        log.close()
