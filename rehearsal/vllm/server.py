"""The server process once the model is "loaded", from its first answer to its exit."""

import asyncio
import logging
import os
import signal
import socket

from aiohttp import web

from rehearsal.system.garbage import collect_rarely
from rehearsal.vllm.app import Server
from rehearsal.vllm.engine import Engine
from rehearsal.vllm.flags import ServeArguments
from rehearsal.vllm.hub import Behavior
from rehearsal.vllm.metrics import Metrics

KEEP_ALIVE_VARIABLE = "VLLM_HTTP_TIMEOUT_KEEP_ALIVE"
KEEP_ALIVE_DEFAULT_SECONDS = 5.0
# Once the engine is idle, only the last bytes of answers remain to be written.
HTTP_SHUTDOWN_SECONDS = 5.0

log = logging.getLogger("vllm")


async def serve(arguments: ServeArguments, behavior: Behavior, listener: socket.socket) -> None:
    """Answer on `listener` until SIGTERM or SIGINT, then stop within `--shutdown-timeout` and return."""
    collect_rarely()
    max_model_len_tokens = arguments.max_model_len_tokens or behavior.max_model_len_tokens
    metrics = Metrics(arguments, max_model_len_tokens)
    engine = Engine(
        behavior,
        metrics,
        max_concurrent=arguments.max_num_seqs or behavior.max_concurrent,
        prefix_caching=arguments.enable_prefix_caching,
    )
    runner = web.AppRunner(
        Server(arguments, engine, metrics, max_model_len_tokens).app(),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=float(os.environ.get(KEEP_ALIVE_VARIABLE, KEEP_ALIVE_DEFAULT_SECONDS)),
        shutdown_timeout=HTTP_SHUTDOWN_SECONDS,
    )
    await runner.setup()

    terminated = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, terminated.set)
    await web.SockSite(runner, listener, backlog=2048).start()
    log.info("Application startup complete.")
    if behavior.faults.crash_after_seconds is not None:
        loop.call_later(behavior.faults.crash_after_seconds, _crash)

    await terminated.wait()
    timeout = arguments.shutdown_timeout_seconds
    log.info(
        "Shutting down: %s (%d requests).", f"draining for {timeout} s" if timeout else "aborting", engine.requests
    )
    await engine.stop(timeout)
    await runner.cleanup()
    log.info("Application shutdown complete.")


def _crash() -> None:
    log.error("EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.")
    os._exit(1)
