"""One container of a pod as a local process: start, probes, restarts with back-off, orderly stop."""

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx

from rehearsal.kube.client import Json, KubeError
from rehearsal.kube.time import timestamp
from rehearsal.kubelet.grace import Grace
from rehearsal.kubelet.probes import ProbeTarget, act, verdicts
from rehearsal.kubelet.sandbox import ConfigError, Sandbox, base_environment, expanded
from rehearsal.kubelet.settings import KubeletSettings
from rehearsal.system.processes import die_with
from rehearsal.warm.command import run_warm, script_of
from rehearsal.warm.launch import SOCKET_VARIABLE

_LOG = logging.getLogger(__name__)
# https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
_MAX_MESSAGE_BYTES = 2048
_LONGEST_BACKOFF_SECONDS = 300.0
_BACKOFF_FORGOTTEN_SECONDS = 600.0
_LEAST_GRACE_AFTER_HOOK_SECONDS = 2.0
_CONFIG_RETRY_SECONDS = 1.0


class Container:
    """Runs one container until it needs no restart or is stopped. Calls ``on_change`` on each new status."""

    def __init__(
        self,
        spec: Json,
        sandbox: Sandbox,
        *,
        restart_policy: str,
        previous_restarts: int,
        settings: KubeletSettings,
        log: Path,
        http: aiohttp.ClientSession,
        on_change: Callable[[], None],
    ) -> None:
        self.name: str = spec["name"]
        self._spec = spec
        self._sandbox = sandbox
        self._restart_policy = restart_policy
        self._settings = settings
        self._log = log
        self._http = http
        self._on_change = on_change
        self._state: Json = {"waiting": {"reason": "ContainerCreating"}}
        self._last_state: Json = {}
        self._restarts = previous_restarts
        self._started = False
        self._ready = False
        self._stopping = False
        self._process: asyncio.subprocess.Process | None = None
        self._environment: dict[str, str] = {}

    @property
    def _pod_name(self) -> str:
        return self._sandbox.pod["metadata"]["name"]

    @property
    def running(self) -> bool:
        return "running" in self._state

    @property
    def status(self) -> Json:
        """The container's entry in the pod's status."""
        image = self._spec["image"]
        return {
            "name": self.name,
            "image": image,
            "imageID": image,
            "containerID": f"rehearsal://{self._process.pid}" if self._process else "",
            "ready": self._ready,
            "started": self._started,
            "restartCount": self._restarts,
            "state": self._state,
            "lastState": self._last_state,
        }

    async def run(self) -> None:
        """Run it and restart it by the restart policy. After a cancellation no process of it is left."""
        backoff = 0.0
        while True:
            started_at = asyncio.get_running_loop().time()
            exit_code = await self._run_once()
            if self._stopping or self._restart_policy == "Never":
                return
            if self._restart_policy == "OnFailure" and exit_code == 0:
                return
            if asyncio.get_running_loop().time() - started_at > _BACKOFF_FORGOTTEN_SECONDS:
                backoff = 0.0
            if backoff:
                message = f"back-off {backoff:g}s restarting failed container={self.name}"
                self._wait_as("CrashLoopBackOff", message)
                await asyncio.sleep(backoff)
            # The first restart is immediate.
            backoff = min(backoff * 2 or self._settings.restart_backoff_seconds, _LONGEST_BACKOFF_SECONDS)
            self._restarts += 1

    async def stop(self, grace: Grace) -> None:
        """Run the preStop hook, send SIGTERM, and send SIGKILL when the grace period is over."""
        self._stopping = True
        await self._end(grace)

    async def _run_once(self) -> int:
        process = await self._start()
        exited = asyncio.ensure_future(process.wait())
        failed = asyncio.ensure_future(self._probe())
        try:
            await asyncio.wait({exited, failed}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done() and not self._stopping:
                await self._end(Grace(failed.result()))
            await exited
        finally:
            failed.cancel()
            _signal_group(process, signal.SIGKILL)  # The process's own children end with the container.
            await process.wait()
        exit_code = process.returncode if process.returncode is not None else 0
        self._note_exit(exit_code if exit_code >= 0 else 128 - exit_code)
        return exit_code

    async def _start(self) -> asyncio.subprocess.Process:
        while True:
            try:
                command = await self._prepare()
                break
            except (ConfigError, KubeError, httpx.HTTPError) as error:
                self._wait_as("CreateContainerConfigError", str(error))
                await asyncio.sleep(_CONFIG_RETRY_SECONDS)
        self._process = await self._spawn(command)
        self._become({"running": {"startedAt": timestamp()}})
        self._started = "startupProbe" not in self._spec
        self._ready = self._started and "readinessProbe" not in self._spec
        self._on_change()
        return self._process

    async def _prepare(self) -> list[str]:
        declared = await self._sandbox.environment(self._spec)
        self._environment = base_environment(self._sandbox.pod) | self._settings.pod_environment | declared
        if not self._spec.get("command"):
            raise ConfigError("no image is pulled, so there is no default command; the container must declare one")
        command, arguments = self._words("command"), self._words("args")
        if command[:2] == ["vllm", "serve"]:
            stand_in = shlex.split(self._settings.pod_command)
            return [*stand_in, *command[2:], *arguments, "--host", self._sandbox.loopback]
        return _with_our_python([*command, *arguments])

    def _words(self, key: str) -> list[str]:
        words: list[str] = self._spec.get(key, [])
        return [self._sandbox.local(expanded(word, self._environment), self._spec) for word in words]

    async def _spawn(self, command: list[str]) -> asyncio.subprocess.Process:
        with self._log.open("ab") as output:
            try:
                return await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self._environment,
                    cwd=self._sandbox.folder,
                    start_new_session=True,
                    preexec_fn=die_with(os.getpid()),
                )
            except OSError as error:
                # As in a container runtime, a command that cannot start is a container that ended at once.
                output.write(f"{error}\n".encode())
        return await asyncio.create_subprocess_exec("sh", "-c", "exit 127")

    async def _probe(self) -> float:
        """Wait until a probe requires a restart. Return the grace period in seconds."""
        since = asyncio.get_running_loop().time()
        target = self._probe_target()
        startup, liveness = self._spec.get("startupProbe"), self._spec.get("livenessProbe")
        if startup:
            async for succeeded in verdicts(startup, target, since=since):
                if not succeeded:
                    return self._probe_failed("startup", startup)
                break
            self._started = True
            self._ready = "readinessProbe" not in self._spec
            self._on_change()
        following = asyncio.ensure_future(self._follow_readiness(target, since))
        try:
            if liveness:
                async for succeeded in verdicts(liveness, target, since=since):
                    if not succeeded:
                        return self._probe_failed("liveness", liveness)
            await following
        finally:
            following.cancel()
        return 0.0

    async def _follow_readiness(self, target: ProbeTarget, since: float) -> None:
        if readiness := self._spec.get("readinessProbe"):
            async for ready in verdicts(readiness, target, since=since):
                _LOG.info("%s: container %s is %sready", self._pod_name, self.name, "" if ready else "not ")
                self._ready = ready
                self._on_change()
        else:
            await asyncio.get_running_loop().create_future()

    def _probe_failed(self, kind: str, probe: Json) -> float:
        _LOG.info("%s: container %s failed its %s probe", self._pod_name, self.name, kind)
        of_pod = self._sandbox.pod["spec"].get("terminationGracePeriodSeconds", 30)
        return probe.get("terminationGracePeriodSeconds", of_pod)

    def _probe_target(self) -> ProbeTarget:
        ports = {port["name"]: port["containerPort"] for port in self._spec.get("ports", []) if "name" in port}
        return ProbeTarget(address=self._sandbox.loopback, ports=ports, run=self._run_inside, http=self._http)

    async def _run_inside(self, command: list[str]) -> int:
        words = _with_our_python([self._sandbox.local(word, self._spec) for word in command])
        with self._log.open("ab") as log:  # No event reports why a probe fails.
            if (status := await self._run_warm(words, log.fileno())) is not None:
                return status
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                env=self._environment,
                cwd=self._sandbox.folder,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),
            )
        try:
            return await process.wait()
        finally:
            _signal_group(process, signal.SIGKILL)

    async def _run_warm(self, words: list[str], errors: int) -> int | None:
        """Run a Python script as a fork of the warm process. Return None when there is none, or for another command.

        Each pod's readiness probe is a script that runs every few seconds.
        """
        path, script = os.environ.get(SOCKET_VARIABLE), script_of(words)
        if not path or script is None:
            return None
        return await run_warm(path, script, folder=self._sandbox.folder, environment=self._environment, errors=errors)

    async def _end(self, grace: Grace) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if hook := self._spec.get("lifecycle", {}).get("preStop"):
            await grace.wait(act(hook, self._probe_target()))
            grace.extend(_LEAST_GRACE_AFTER_HOOK_SECONDS)
        _signal_group(process, signal.SIGTERM)
        if not await grace.wait(process.wait()):
            _LOG.warning("pod %s did not end within its grace period and was killed", self._pod_name)
            _signal_group(process, signal.SIGKILL)
            await process.wait()

    def _wait_as(self, reason: str, message: str) -> None:
        self._become({"waiting": {"reason": reason, "message": message}})
        self._on_change()

    def _note_exit(self, exit_code: int) -> None:
        terminated = {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "startedAt": self._state.get("running", {}).get("startedAt"),
            "finishedAt": timestamp(),
        }
        if exit_code and self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            terminated["message"] = self._log_end()
        self._become({"terminated": terminated})
        self._started = self._ready = False
        self._on_change()

    def _log_end(self) -> str:
        """Return the end of the log, as long as a kubelet keeps it."""
        with self._log.open("rb") as log:
            log.seek(max(self._log.stat().st_size - _MAX_MESSAGE_BYTES, 0))
            return log.read().decode(errors="replace")

    def _become(self, state: Json) -> None:
        if "terminated" in self._state:
            self._last_state = self._state
        self._state = state


def _with_our_python(command: list[str]) -> list[str]:
    return [sys.executable, *command[1:]] if command[0] in ("python", "python3") else command


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
