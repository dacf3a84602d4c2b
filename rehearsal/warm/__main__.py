"""A fork server that saves Python programs and plugins their start-up time.

``python -m rehearsal.warm --socket PATH MODULE …`` imports the named third-party modules. With ``--project FOLDER`` and
``--own MODULE`` it also imports modules of one project, for the runs in that folder. Then it forks for each run that
`rehearsal.warm.launch` requests on its socket. It has no threads and opens no gRPC channel, so forking is safe.

One connection is one run. The client sends a request {"interpreter", "words", "cwd", "environment"} with its standard
streams attached, and the server answers ``accepted``. The client may then send signal numbers, one per line, and
receives the exit status. When the client disconnects, the server kills the run.
"""

import argparse
import atexit
import contextlib
import ctypes
import gc
import importlib
import marshal
import os
import random
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rehearsal.warm.launch import ACCEPTED, LENGTH_BYTES, interpreter_folder
from rehearsal.warm.project import Project

_MAX_REQUEST_BYTES = 2**20
_LONGEST_LINE = 64
_PR_SET_PDEATHSIG = 1


@dataclass
class _Run:
    """A forked process and the client that waits for it."""

    client: socket.socket
    pid: int


class Server:
    """Accepts runs. `serve` returns a request only in a forked child, which must then run it."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)

    def serve(self) -> dict[str, Any]:
        """Accept and supervise runs until a child is forked, and return the request in that child."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    request = self._accept()
                    if request is not None:
                        return request
                elif isinstance(key.fileobj, int):
                    self._finish(key.fileobj, key.data)
                else:
                    self._obey(key.data)

    def _accept(self) -> dict[str, Any] | None:
        client, _ = self._listener.accept()
        descriptors: list[int] = []
        try:
            content, descriptors, _, _ = socket.recv_fds(client, _MAX_REQUEST_BYTES, 3)
            while len(content) < LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], sys.byteorder):
                more = client.recv(_MAX_REQUEST_BYTES)
                if not more:
                    raise ValueError("the client has gone away")
                content += more
            request = marshal.loads(content[LENGTH_BYTES:])
            if request["interpreter"] != interpreter_folder():
                raise ValueError("a run for another interpreter")
            client.sendall(ACCEPTED)
        except (OSError, ValueError, KeyError, EOFError, TypeError):
            for descriptor in descriptors:
                os.close(descriptor)
            client.close()
            return None
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(1)
            self._become(descriptors)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        run = _Run(client, pid)
        self._selector.register(client, selectors.EVENT_READ, run)
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, run)
        return None

    def _become(self, descriptors: Sequence[int]) -> None:
        """In the child: leave the server behind and take the client's standard streams."""
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        os.setsid()
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
            os.close(descriptor)

    def _obey(self, run: _Run) -> None:
        if run.client.fileno() < 0:  # The run has ended since the select call.
            return
        try:
            words = run.client.recv(_LONGEST_LINE).split()
        except OSError:
            words = []
        for word in words or [b"%d" % signal.SIGKILL]:
            os.kill(run.pid, int(word))
        if not words:
            self._selector.unregister(run.client)

    def _finish(self, pidfd: int, run: _Run) -> None:
        _, status = os.waitpid(run.pid, 0)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        if run.client.fileno() in self._selector.get_map():
            self._selector.unregister(run.client)
        with contextlib.suppress(OSError):
            run.client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        run.client.close()


def _carry_out(request: dict[str, Any], project: Project | None) -> None:
    """Run what a request names, as ``python -P WORDS`` would."""
    os.chdir(request["cwd"])
    if project is not None and _is_of(project, request):
        project.put_back()
    os.environ.clear()
    os.environ.update(request["environment"])
    # Two runs must not draw the same random numbers.
    random.seed()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
    known = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:0] = [entry for entry in known if entry not in sys.path]
    words = list(request["words"])
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def _is_of(project: Project, request: dict[str, Any]) -> bool:
    """Return whether a run imports its modules from the project's folder. The rehearsal's own come with theirs."""
    folder, words = Path(request["cwd"]), request["words"]
    ours = words[0] == "-m" and words[1].partition(".")[0] == "rehearsal"
    return folder.is_relative_to(project.folder) and not ours


def _run_and_exit(request: dict[str, Any], project: Project | None) -> NoReturn:
    """Run what a request names, then exit as Python would, but leave all objects as they are.

    To take the interpreter apart would write to almost every page that the run shares with the server. The kernel would
    copy them all: 80 MB, and a third of the CPU time of an average run.
    """
    status = 1
    interrupted = False
    try:
        _carry_out(request, project)
        status = 0
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            status = ended.code or 0
        else:
            print(ended.code, file=sys.stderr)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        interrupted = isinstance(error, KeyboardInterrupt)
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # The reader is gone, or the run has closed it.
            stream.flush()
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status & 0xFF)


def main() -> None:
    """Import, then serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--project", metavar="FOLDER", help="a project whose programs and scripts run in this folder")
    parser.add_argument("--own", metavar="MODULE", action="append", default=[], help="a module of the project's own")
    parser.add_argument("modules", nargs="*", help="third-party modules to import before the first fork")
    options = parser.parse_args()
    # Before the imports, so that an early run waits for them. They take less time than a start without them.
    server = Server(options.socket)
    gc.disable()  # Almost all that is imported stays. To go through it again and again would take a third of the time.
    for name in options.modules:
        # Pulumi's packages load submodules on first use, not on import.
        getattr(importlib.import_module(name), "__all__", None)
    project = None
    try:
        project = Project.imported(options.project, options.own) if options.project else None
    except Exception:  # Every run in the folder imports them itself, and reports it.
        traceback.print_exc()
    if threading.active_count() > 1:
        sys.exit("a preloaded module has started a thread; forking would not be safe")
    # The programs bring their own search path and must not see this server's.
    own = {str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    sys.path[:] = [entry for entry in sys.path if entry not in own]
    for name in [name for name in sys.modules if name == "rehearsal" or name.startswith("rehearsal.")]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()
    gc.enable()
    _run_and_exit(server.serve(), project)


if __name__ == "__main__":
    main()
