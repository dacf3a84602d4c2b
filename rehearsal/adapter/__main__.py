"""``python3 -m rehearsal.adapter SERVER [WORDS] -- MODEL [flags of vllm serve]``: serves like vLLM."""

import asyncio
import os
import signal
import sys

import aiohttp
from aiohttp import web

from rehearsal.adapter.arguments import Arguments, ArgumentsError, read_arguments
from rehearsal.adapter.proxy import Proxy
from rehearsal.system.processes import die_with

_POLL_SECONDS = 0.1


def main() -> None:
    """Exit with 0 after a drain, 1 when the server ends by itself, 2 on an invalid command line."""
    try:
        arguments = read_arguments(sys.argv[1:])
    except ArgumentsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if arguments.left_out:
        print(f"left out, unknown to {arguments.server[0]}: {', '.join(arguments.left_out)}", file=sys.stderr)
    try:
        sys.exit(asyncio.run(serve(arguments)))
    except OSError as error:
        place = f"--host {arguments.host} --port {arguments.port}"
        print(f"error: cannot listen on {place}: {error.strerror}; choose another", file=sys.stderr)
        sys.exit(2)


async def serve(arguments: Arguments) -> int:
    """Run the server until it ends or SIGTERM comes. Open requests then have the shutdown timeout to finish.

    Returns:
        The exit status.
    """
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    # In its own session: a signal to the container's processes must not end it before its requests are done.
    server = await asyncio.create_subprocess_exec(
        *arguments.server, start_new_session=True, preexec_fn=die_with(os.getpid())
    )
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        proxy = Proxy(session, f"http://127.0.0.1:{arguments.server_port}", arguments.fingerprint)
        ended = asyncio.ensure_future(server.wait())
        ending = {ended, asyncio.ensure_future(terminated.wait())}
        # Listen only once the server is ready: until then connections are refused, as with vLLM.
        while not await proxy.healthy():
            if (await asyncio.wait(ending, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED))[0]:
                break
        else:
            runner = await _listen(proxy, arguments)
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            await runner.cleanup()
    if ended.done():
        print(f"{arguments.server[0]} ended with code {server.returncode}", file=sys.stderr)
        return 1
    server.terminate()
    await ended
    return 0


async def _listen(proxy: Proxy, arguments: Arguments) -> web.AppRunner:
    runner = web.AppRunner(
        proxy.app(),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=float(os.environ.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "5")),
        shutdown_timeout=arguments.shutdown_timeout_seconds,
    )
    await runner.setup()
    await web.TCPSite(runner, arguments.host, arguments.port, backlog=2048).start()
    return runner


if __name__ == "__main__":
    main()
