"""Runs a Python command as a fork of the warm process, for a caller in an event loop that starts many of them."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from rehearsal.warm.launch import ACCEPTED, LONGEST_REPLY, request_for


async def run_warm(
    path: str, words: Sequence[str], *, folder: Path, environment: Mapping[str, str], errors: int
) -> int | None:
    """Run ``python WORDS`` to its end and return its exit status; a negative one is a signal's number.

    A cancellation ends the run.

    Args:
        path: the warm process's socket.
        words: ``-m MODULE …`` or ``SCRIPT …``.
        folder: the working directory.
        environment: all of the run's variables.
        errors: the descriptor of its standard error. It has no input, and its output is thrown away.

    Returns:
        None when no warm process serves this interpreter.
    """
    loop = asyncio.get_running_loop()
    text = request_for(list(words), str(folder), dict(environment))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection, _null_device() as nothing:
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, path)
            sent = socket.send_fds(connection, [text], [nothing, nothing, errors])
            await loop.sock_sendall(connection, text[sent:])
            if await loop.sock_recv(connection, len(ACCEPTED)) != ACCEPTED:
                return None
        except OSError:
            return None
        # The server kills a run whose client closes the connection.
        return int(await loop.sock_recv(connection, LONGEST_REPLY) or -signal.SIGKILL)


@contextlib.contextmanager
def _null_device() -> Generator[int]:
    descriptor = os.open(os.devnull, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def script_of(command: Sequence[str]) -> Sequence[str] | None:
    """Return the words of a command that runs a script with this Python. None for any other command."""
    interpreter, *words = command
    # The warm process has imported no module from the search path that `-I` leaves out.
    words = words[1:] if words[:1] == ["-I"] else words
    return words if interpreter == sys.executable and words and words[0].endswith(".py") else None
