"""Runs ``python WORDS``: forked from a warm process if one is there, else in a new interpreter.

Usage: ``python -I -S launch.py -m MODULE …`` or ``… SCRIPT …``. REHEARSAL_WARM_SOCKET is the warm process's socket; it
must run the same interpreter. Either way the run has this process's folder, environment and standard streams. It
receives our SIGINT and SIGTERM, and we exit with its status. It ends with us, as we end with our parent.

This starts several times for every Pulumi command, so it imports only modules in C. `json`, `signal` and `socket` would
take three times as long as all the rest.
"""

import marshal
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
else:
    import _signal as signal
    import _socket as socket

SOCKET_VARIABLE = "REHEARSAL_WARM_SOCKET"
ACCEPTED = b"accepted\n"
LONGEST_REPLY = 64
LENGTH_BYTES = 4
"""A request begins with its length."""


def main(words: list[str]) -> int:
    """Run the words to their end. Return the exit status; a negative one is a signal's number."""
    parent = os.getppid()
    # A wake-up descriptor, so that signals interrupt the wait.
    signalled, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    run = _warm_run(words) or _ColdRun(words)
    try:
        parent_end = os.pidfd_open(parent)
    except ProcessLookupError:
        run.kill()
        return -signal.SIGKILL
    if os.getppid() != parent:
        run.kill()
        return -signal.SIGKILL
    while True:
        ready, _, _ = select.select([run.end, signalled, parent_end], [], [])
        if run.end in ready:
            return run.status()
        if parent_end in ready:
            run.kill()
            return -signal.SIGKILL
        for number in os.read(signalled, LONGEST_REPLY):
            run.signal(number)


class _WarmRun:
    """A run that the warm server has forked for us."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.end = connection.fileno()

    def signal(self, number: int) -> None:
        self._connection.sendall(b"%d\n" % number)

    def kill(self) -> None:
        self._connection.close()  # The server kills runs without a client.

    def status(self) -> int:
        return int(self._connection.recv(LONGEST_REPLY) or -signal.SIGKILL)


class _ColdRun:
    """A new interpreter."""

    def __init__(self, words: list[str]) -> None:
        self._pid = os.posix_spawn(sys.executable, [sys.executable, "-P", *words], os.environ)
        self.end = os.pidfd_open(self._pid)

    def signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def _warm_run(words: list[str]) -> "_WarmRun | None":
    """Start a warm run. Return None when no warm process serves this interpreter."""
    path = os.environ.get(SOCKET_VARIABLE)
    if not path:
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        text = request_for(words, os.getcwd(), dict(os.environ))  # noqa: PTH109 - pathlib is slow to import
        streams = b"".join(stream.to_bytes(4, sys.byteorder) for stream in (0, 1, 2))
        sent = connection.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        connection.sendall(text[sent:])
        if connection.recv(len(ACCEPTED), socket.MSG_WAITALL) == ACCEPTED:
            return _WarmRun(connection)
    except OSError:
        pass
    connection.close()
    return None


def request_for(words: list[str], folder: str, environment: dict[str, str]) -> bytes:
    """Return what asks a warm process for a run."""
    request = {"interpreter": interpreter_folder(), "words": words, "cwd": folder, "environment": environment}
    content = marshal.dumps(request)
    return len(content).to_bytes(LENGTH_BYTES, sys.byteorder) + content


def interpreter_folder() -> str:
    """Return the folder of the interpreter, without following links. It identifies the Python environment."""
    return os.path.dirname(os.path.abspath(sys.executable))  # noqa: PTH100, PTH120 - pathlib is slow to import


if __name__ == "__main__":
    status = main(sys.argv[1:])
    if status < 0:
        # End by the same signal, so that our parent sees what ended the run. SIGKILL has no handler to reset.
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)
