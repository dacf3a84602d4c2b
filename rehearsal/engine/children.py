"""Child processes of an update: the program, provider plugins and policy packs, started with their output watched."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

OnLine = Callable[[str], None]
"""Takes one line of a child's output, without its end."""


class Child:
    """One running process and the tasks that read its output."""

    def __init__(self, process: asyncio.subprocess.Process, readers: list[asyncio.Task[None]]) -> None:
        self._process = process
        self._readers = readers

    async def wait(self) -> int:
        """Wait for the end of the process and of its output; returns the exit status."""
        await asyncio.gather(*self._readers)
        return await self._process.wait()

    async def stop(self, grace_seconds: float = 2.0) -> None:
        """End the process: ask it to, then insist."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is not None:
                break
            self._process.send_signal(number)
            try:
                await asyncio.wait_for(self._process.wait(), grace_seconds)
            except TimeoutError:
                continue
        for reader in self._readers:
            reader.cancel()


async def start(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    on_stdout: OnLine,
    on_stderr: OnLine,
) -> Child:
    """Start a process; each line that it prints goes to a function."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**24,
        # An interrupt at the terminal is for the engine, which then ends its children in order.
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        asyncio.create_task(_read(process.stdout, on_stdout)),
        asyncio.create_task(_read(process.stderr, on_stderr)),
    ]
    return Child(process, readers)


async def start_server(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    on_line: OnLine,
    timeout_seconds: float = 60.0,
) -> tuple[Child, int]:
    """Start a process that prints the port of its gRPC server as its first line; raises OSError if it does not."""
    loop = asyncio.get_running_loop()
    announced: asyncio.Future[int] = loop.create_future()

    def on_stdout(line: str) -> None:
        if announced.done():
            on_line(line)
        elif line.strip().isdigit():
            announced.set_result(int(line))
        else:
            announced.set_exception(OSError(f"expected a port number, got {line!r}"))

    child = await start(command, cwd=cwd, environment=environment, on_stdout=on_stdout, on_stderr=on_line)
    ended = asyncio.ensure_future(child.wait())
    done, _ = await asyncio.wait({announced, ended}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    if announced in done:
        return child, announced.result()
    announced.cancel()
    if ended in done:
        raise OSError(f"it ended with status {ended.result()} before it printed a port")
    await child.stop()
    raise OSError(f"it printed no port within {timeout_seconds:.0f} seconds")


async def _read(stream: asyncio.StreamReader, on_line: OnLine) -> None:
    while line := await stream.readline():
        on_line(line.decode("utf-8", "replace").rstrip("\n"))
