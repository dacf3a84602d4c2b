"""The service through which the Pulumi CLI runs Python programs and policy packs.

The CLI usually comes with its own language host; a CLI built from the Go module proxy does not. This host implements
only what running needs: no type checker, no debugger, no installation, no code generation. A policy pack gets its stack
from ``ConfigureStack`` only, not from environment variables.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict

from rehearsal.language_host.program import FAILED_AND_SAID_SO
from rehearsal.providers.protocol import language_pb2, language_pb2_grpc, plugin_pb2
from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.warm import launch

_PROGRAM: Final = Path(__file__).with_name("program.py")
_PACK: Final = Path(__file__).with_name("pack.py")
_GRACE_SECONDS: Final = 5.0
"""Time between asking a program to end and killing it, as in Pulumi's own host."""
_CHUNK_BYTES: Final = 2**16


class HostError(Exception):
    """The requested program cannot run. The message is one line for the person at the terminal."""


def interpreter(root: Path, options: Mapping[str, Any]) -> str:
    """Return the Python of the declared virtual environment, else the one on PATH, as Pulumi's own host does.

    Raises:
        HostError: there is no Python, or the options ask for a toolchain other than pip.
    """
    if (toolchain := str(options.get("toolchain") or "pip")) != "pip":
        raise HostError(
            f"runtime.options.toolchain={toolchain}: the rehearsal's language host supports only pip; put Pulumi's own "
            "pulumi-language-python on PATH"
        )
    if declared := options.get("virtualenv"):
        python = root / str(declared) / "bin" / "python"
        if not python.exists():
            raise HostError(
                f"runtime.options.virtualenv={declared}: {root / str(declared)} is not a virtual environment; create "
                f"it with `python3 -m venv {root / str(declared)}`"
            )
        return str(python)
    names = [os.environ["PULUMI_PYTHON_CMD"]] if os.environ.get("PULUMI_PYTHON_CMD") else ["python3", "python"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise HostError(f"there is no {' or '.join(names)} on PATH; install Python 3.11 or newer")
    return found


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """One host serves one run of the CLI."""

    def __init__(self, engine_address: str) -> None:
        self._engine_address = engine_address
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._engine_address = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version="1.0.0")

    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:
        # The CLI finds plugins when resources need them.
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request: Any, context: grpc.ServicerContext) -> Any:
        return language_pb2.GetRequiredPluginsResponse()

    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with _reporting_to_the_cli(context):
            interpreter(Path(request.info.root_directory), MessageToDict(request.info.options))
        yield language_pb2.InstallDependenciesResponse(
            stdout=b"The rehearsal's language host installs nothing; it uses the environment as it is.\n"
        )

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _reporting_to_the_cli(context):
            python = interpreter(Path(request.info.root_directory or "."), MessageToDict(request.info.options))
        version = "{}.{}.{}".format(*sys.version_info[:3])
        return language_pb2.AboutResponse(executable=python, version=version, metadata={"host": "rehearsal"})

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        settings = {
            "monitor": request.monitor_address,
            "engine": self._engine_address,
            "project": request.project,
            "stack": request.stack,
            "parallel": request.parallel,
            "dry_run": request.dryRun,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
        }
        environment = {
            **_own_environment(),
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
            "PYTHONUNBUFFERED": "1",
        }
        words = [str(_PROGRAM), json.dumps(settings), request.info.entry_point, *request.args]
        with _reporting_to_the_cli(context):
            python = interpreter(Path(request.info.root_directory), MessageToDict(request.info.options))
            # It inherits the host's output, which the CLI reads.
            process = self._start(python, words, request.pwd, environment, context)
        status = self._wait(process)
        if status == FAILED_AND_SAID_SO:
            return language_pb2.RunResponse(bail=True)
        error = "" if status == 0 else f"program exited with non-zero exit code: {status if status > 0 else -1}"
        return language_pb2.RunResponse(error=error)

    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        folder = request.info.program_directory
        given = dict(entry.partition("=")[::2] for entry in request.env)
        is_pack = request.kind == "analyzer"
        words = [str(_PACK), *request.args, folder] if is_pack else [folder, *request.args]
        with _reporting_to_the_cli(context):
            python = interpreter(Path(request.info.root_directory), MessageToDict(request.info.options))
            process = self._start(
                python,
                words,
                folder if is_pack else request.pwd,
                {**_own_environment(given), "PYTHONUNBUFFERED": "1"},
                context,
                output=subprocess.PIPE,
            )
        assert process.stdout is not None
        assert process.stderr is not None
        chunks = _chunks(process.stdout, process.stderr)
        with _reporting_to_the_cli(context, lambda: self._end(process)):
            if is_pack:
                chunks = _after_the_port(chunks)
            for is_stdout, chunk in chunks:
                response = language_pb2.RunPluginResponse
                yield response(stdout=chunk) if is_stdout else response(stderr=chunk)
        yield language_pb2.RunPluginResponse(exitcode=self._wait(process))

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Empty:
        self.stop()
        return Empty()

    def stop(self) -> None:
        """Ask all running processes to end, and kill them after the grace period."""
        with self._lock:
            running = list(self._running)
        for process in running:
            self._end(process)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """Ask a process to end, and kill it after the grace period. Further calls have no effect."""
        with self._lock:
            if process not in self._running:
                return
            self._running.discard(process)
        process.send_signal(signal.SIGINT)
        killer = threading.Timer(_GRACE_SECONDS, process.kill)
        killer.daemon = True
        killer.start()

    def _start(
        self,
        python: str,
        words: Sequence[str],
        folder: str,
        environment: Mapping[str, str],
        context: grpc.ServicerContext,
        output: int | None = None,
    ) -> "subprocess.Popen[bytes]":
        command = [python, "-I", "-S", launch.__file__, *words]
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        except OSError as error:
            raise HostError(f"cannot run {python}: {error.strerror}") from error
        with self._lock:
            self._running.add(process)
        if not context.add_callback(lambda: self._end(process)):  # The CLI gave up meanwhile.
            self._end(process)
        return process

    def _wait(self, process: "subprocess.Popen[bytes]") -> int:
        status = process.wait()
        with self._lock:
            self._running.discard(process)
        return status


@contextmanager
def _reporting_to_the_cli(context: grpc.ServicerContext, end: Callable[[], None] = lambda: None) -> Generator[None]:
    """Report a HostError to the CLI as the call's status, after calling ``end``."""
    try:
        yield
    except HostError as error:
        end()
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


def _own_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the CLI's environment without the search path with which this host was started."""
    path = [entry for entry in given.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", str(PROJECT_FOLDER))]
    kept = {name: value for name, value in given.items() if name != "PYTHONPATH"}
    return kept | ({"PYTHONPATH": os.pathsep.join(path)} if path else {})


def _chunks(stdout: IO[bytes], stderr: IO[bytes]) -> Iterator[tuple[bool, bytes]]:
    """Yield the chunks of both streams as they arrive, until both have ended; True marks standard output."""
    found: queue.SimpleQueue[tuple[bool, bytes]] = queue.SimpleQueue()

    def read(stream: IO[bytes], is_stdout: bool) -> None:
        while chunk := os.read(stream.fileno(), _CHUNK_BYTES):
            found.put((is_stdout, chunk))
        found.put((is_stdout, b""))

    for stream in (stdout, stderr):
        threading.Thread(target=read, args=(stream, stream is stdout), daemon=True).start()
    ended = 0
    while ended < 2:
        is_stdout, chunk = found.get()
        if chunk:
            yield is_stdout, chunk
        else:
            ended += 1


def _after_the_port(chunks: Iterator[tuple[bool, bytes]]) -> Iterator[tuple[bool, bytes]]:
    """Yield the same chunks, but check that a pack's standard output begins with its port.

    If a pack prints anything else first, the CLI stops reading and waits for ever. This raises HostError instead.
    """
    line = b""
    for is_stdout, chunk in chunks:
        if is_stdout:
            line += chunk
            if b"\n" not in line:
                continue
            first = line.partition(b"\n")[0]
            if not first.strip().isdigit():
                raise HostError(
                    f"the policy pack printed {first.decode(errors='replace')!r} where its port was expected: "
                    "print to standard error while it loads"
                )
            yield True, line
            yield from chunks
            return
        yield is_stdout, chunk
