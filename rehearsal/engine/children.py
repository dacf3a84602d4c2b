"""Child processes of an update: the program, provider plugins and policy packs, started with their output watched."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from rehearsal.engine import warm

OnLine = Callable[[str], None]
"""Takes one line of a child's output, without its end."""


class Process(Protocol):
    """What is needed of a process that runs."""

    def send_signal(self, number: int, /) -> None:
        """Send TERM or KILL."""
        ...

    async def wait(self) -> int:
        """Wait for the exit status."""
        ...


class Child:
    """One running process and the tasks that read its output."""

    def __init__(self, process: Process, readers: list[asyncio.Task[None]]) -> None:
        self._ended = asyncio.ensure_future(process.wait())
        self._process = process
        self._readers = readers

    async def wait(self) -> int:
        """Wait for the end of the process and of its output; returns the exit status."""
        await asyncio.gather(*self._readers)
        return await asyncio.shield(self._ended)

    async def stop(self, grace_seconds: float = 2.0) -> None:
        """End the process: ask it to, then insist."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._ended.done():
                break
            self._process.send_signal(number)
            await asyncio.wait({self._ended}, timeout=grace_seconds)
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
    outputs = [os.pipe(), os.pipe()]
    full = {**os.environ, **environment}
    try:
        process = await _fork_warm(command, cwd, full, outputs[0][1], outputs[1][1])
        if process is None:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=cwd,
                env=full,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=outputs[0][1],
                stderr=outputs[1][1],
                # An interrupt at the terminal is for the engine, which then ends its children in order.
                start_new_session=True,
                preexec_fn=partial(warm.end_with_parent, os.getpid()),
            )
    finally:
        for _, write_end in outputs:
            os.close(write_end)
    readers = [
        asyncio.create_task(_read(read_end, on_line))
        for (read_end, _), on_line in zip(outputs, (on_stdout, on_stderr), strict=True)
    ]
    return Child(process, readers)


class _WarmProcess:
    """A run of the fork server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send_signal(self, number: int) -> None:
        """Send TERM or KILL."""
        self._writer.write(b"TERM\n" if number == signal.SIGTERM else b"KILL\n")

    async def wait(self) -> int:
        """Wait for the exit status."""
        line = await self._reader.readline()
        self._writer.close()
        return int(line) if line else -signal.SIGKILL


async def _fork_warm(
    command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str], stdout: int, stderr: int
) -> _WarmProcess | None:
    """Let the fork server run a Python command; None when there is no server or it is not for this Python."""
    path = os.environ.get(warm.VARIABLE)
    arguments, extra = _python_arguments([str(word) for word in command]) if path else (None, {})
    if not path or arguments is None:
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    request = {"arguments": arguments, "cwd": str(cwd), "environment": {**environment, **extra}}
    nothing = os.open(os.devnull, os.O_RDONLY)
    text = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(connection, [text], [nothing, stdout, stderr])
    os.close(nothing)
    connection.sendall(text[sent:])
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    return _WarmProcess(reader, writer)


_WRAPPER = re.compile(
    r"#!/bin/sh\n(?:PYTHONPATH=([^\s$]+)(?:\$\{PYTHONPATH:\+:\$PYTHONPATH\})? )?"
    r'exec (\S+)(?: -[A-Z])* -m (\S+) "\$@"\n'
)


def _python_arguments(command: list[str]) -> tuple[list[str] | None, dict[str, str]]:
    """What this Python would be given to run a command; wrapper scripts that start a module are seen through."""
    if command[0] == sys.executable:
        return [word for word in command[1:] if word not in ("-u", "-P")], {}
    try:
        with Path(command[0]).open("rb") as file:
            text = file.read(4096).decode("utf-8", "replace")
    except OSError:
        return None, {}
    wrapper = _WRAPPER.fullmatch(text)
    if wrapper is None or wrapper[2] != sys.executable:
        return None, {}
    return ["-m", wrapper[3], *command[1:]], {"PYTHONPATH": wrapper[1]} if wrapper[1] else {}


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


async def _read(descriptor: int, on_line: OnLine) -> None:
    stream = asyncio.StreamReader(limit=2**24)
    protocol = asyncio.StreamReaderProtocol(stream)
    pipe = os.fdopen(descriptor, "rb")
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    try:
        while line := await stream.readline():
            on_line(line.decode("utf-8", "replace").rstrip("\n"))
    finally:
        transport.close()
