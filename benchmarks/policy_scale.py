"""``python -m benchmarks.policy_scale``: what the policies cost.

By resource: the pack's own process is asked over gRPC as engines ask it, about what the program really declares, of
each resource twice (``Remediate``, ``Analyze``) and at the end of all together (``AnalyzeStack``), one after another.
Beside it stands what is left with every policy disabled, and what as many calls cost that ask for nothing: that much
is gRPC's, whatever a pack does. Both packs run at once and are asked in turns, so that a busy machine is busy for both.
What counts is the CPU time of the pack's process; wall time, which has the asking side and the wait for a core in it,
is told beside it.

By preview: the Pulumi CLI previews the same program with and without the pack, in turns. Its providers answer at once,
so no cloud hides the difference; program and pack fork from a process that has imported ahead, so no start-up does.

The last line is JSON: medians of milliseconds per resource by the number of resources, of CPU, of what of it empty
calls cost, and of wall time, and the ratio of the previews' medians at the largest number.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from benchmarks.program_scale import ROOT, SECRET_KEY, BenchmarkError, Timings, config, registrations
from rehearsal.binaries.build import binaries
from rehearsal.providers.plugin import MESSAGE_LIMIT_BYTES
from rehearsal.providers.values import from_struct, to_struct
from rehearsal.warm.launch import SOCKET_VARIABLE
from rehearsal.warm.server import warm_process
from rehearsal.world.executables import path_with, pulumi_home, write_executables, write_module

PACK: Final = ROOT / "policies"
SIZES: Final = (10, 100, 1000)
STACK: Final = "benchmark"
MESSAGE_LIMITS: Final = [(f"grpc.max_{way}_message_length", MESSAGE_LIMIT_BYTES) for way in ("receive", "send")]
_WARM_MODULES: Final = (
    "pulumi_aws.ec2",
    "pulumi_aws.eks",
    "pulumi_aws.iam",
    "pulumi_aws.lb",
    "pulumi_kubernetes.apps.v1",
)
_LEAST_PER_SERVICE: Final = 40
"""The program declares more than so many resources for each service."""


@dataclass
class Pack:
    """The pack's process, with what it was asked."""

    pid: int
    stub: Any
    policies: Sequence[str]
    timings: dict[int, Timings] = field(default_factory=dict[int, Timings])
    empty_calls: dict[int, Timings] = field(default_factory=dict[int, Timings])

    def ask(self, requests: "Requests") -> list[str]:
        """Ask once, note what a resource took, and return what the policies refuse."""
        cpu, start = cpu_seconds(self.pid), time.perf_counter()
        answers: list[Any] = []
        for request in requests.each:
            self.stub.Remediate(request)
            answers.append(self.stub.Analyze(request))
        answers.append(self.stub.AnalyzeStack(requests.whole))
        wall = time.perf_counter() - start
        count = len(requests.each)
        timings = self.timings.setdefault(count, Timings())
        timings.wall.append(wall / count)
        timings.cpu.append((cpu_seconds(self.pid) - cpu) / count)
        return [found.message for answer in answers for found in answer.diagnostics]

    def call(self, requests: "Requests") -> None:
        """Call as often as asking does, for nothing, and note what a resource took."""
        cpu, start = cpu_seconds(self.pid), time.perf_counter()
        for _ in range(2 * len(requests.each) + 1):
            self.stub.GetPluginInfo(empty_pb2.Empty())
        wall = time.perf_counter() - start
        count = len(requests.each)
        timings = self.empty_calls.setdefault(count, Timings())
        timings.wall.append(wall / count)
        timings.cpu.append((cpu_seconds(self.pid) - cpu) / count)


@dataclass
class Requests:
    """Resources as engines describe them: one by one, and all together."""

    each: list[Any]
    whole: Any


def requests_for(registered: Sequence[Mapping[str, Any]], count: int) -> Requests:
    """Describe so many of the resources: whole services first, and of the last one some of every kind."""
    services: dict[str, list[Mapping[str, Any]]] = {}
    for one in registered:
        services.setdefault(one["name"].partition("-")[0], []).append(one)
    chosen: list[Mapping[str, Any]] = []
    for members in services.values():
        fitting = min(count - len(chosen), len(members))
        chosen += [members[number * len(members) // fitting] for number in range(fitting)]
    requests = Requests([], analyzer_pb2.AnalyzeStackRequest())
    for one in chosen:
        described: dict[str, Any] = {
            "type": one["type"],
            "name": one["name"],
            "urn": f"urn:pulumi:{STACK}::vllm-blue-green::{one['type']}::{one['name']}",
            "properties": to_struct(one["inputs"]),
            "options": analyzer_pb2.AnalyzerResourceOptions(protect=one["protect"]),
        }
        requests.each.append(analyzer_pb2.AnalyzeRequest(**described))
        requests.whole.resources.append(analyzer_pb2.AnalyzerResource(**described))
    return requests


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process's threads, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def pack(*, disabled: bool = False) -> Generator[Pack]:
    """Run the pack as engines do, configured with its defaults, or with every policy disabled."""
    environment = {"PULUMI_PROJECT": "vllm-blue-green", "PULUMI_STACK": STACK, "PULUMI_DRY_RUN": "true"}
    # There is no engine at that address; the pack has nothing to tell it.
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(PACK)]
    with subprocess.Popen(
        command, cwd=PACK, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            channel = grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}", options=MESSAGE_LIMITS)
            with channel:
                stub: Any = analyzer_pb2_grpc.AnalyzerStub(channel)
                info = stub.GetAnalyzerInfo(empty_pb2.Empty())
                stub.Configure(configured(info, disabled=disabled))
                yield Pack(process.pid, stub, [policy.name for policy in info.policies])
        finally:
            process.kill()


def configured(info: Any, *, disabled: bool) -> Any:
    """Return the config that the engine gives a pack for which nobody has configured anything."""
    request = analyzer_pb2.ConfigureAnalyzerRequest()
    for policy in info.policies:
        schemas = from_struct(policy.configSchema.properties)
        defaults = {key: schema["default"] for key, schema in schemas.items() if "default" in schema}
        one = request.policyConfig[policy.name]
        one.enforcementLevel = analyzer_pb2.DISABLED if disabled else policy.enforcementLevel
        one.properties.CopyFrom(to_struct(defaults))
    return request


def measure_pack(sizes: Sequence[int], repetitions: int, folder: Path) -> tuple[Pack, Pack]:
    """Time the pack with its policies and with all disabled, in turns.

    Raises:
        BenchmarkError: a policy refuses what the program declares, so it is not the usual that would be timed.
    """
    registered = registrations(services_for(sizes[-1]), folder)
    with pack() as judging, pack(disabled=True) as idle:
        if refused := judging.ask(requests_for(registered, len(registered))):
            raise BenchmarkError(f"the pack refuses the program's own resources: {refused[0]}")
        judging.timings.clear()
        for size in sizes:
            requests = requests_for(registered, size)
            for repetition in range(repetitions + 1):
                for one in (judging, idle):
                    one.ask(requests)
                    if repetition == 0:  # not timed: the first finds everything cold
                        del one.timings[size]
                judging.call(requests)
            row = (judging.timings[size], idle.timings[size], judging.empty_calls[size])
            figures = [*(1000 * one.cpu_seconds for one in row), *(1000 * one.seconds for one in row)]
            print(f"{size:>9}" + "".join(f"{figure:>11.3f}" for figure in figures), flush=True)
    return judging, idle


def services_for(size: int) -> int:
    """Return how many services have so many resources, at least."""
    return -(-size // _LEAST_PER_SERVICE)


def measure_previews(size: int, repetitions: int, folder: Path) -> tuple[Timings, Timings]:
    """Time previews with and without the pack, in turns."""
    with_pack, without = Timings(), Timings()
    socket = folder / "warm.sock"
    with warm_process(socket, _WARM_MODULES):
        project = Project(folder, services_for(size), socket)
        project.preview()  # not timed: it finds everything cold
        for _ in range(repetitions):
            project.preview(timings=without)
            project.preview("--policy-pack", str(PACK), timings=with_pack)
    return with_pack, without


class Project:
    """A stack of the program, with providers that answer at once."""

    def __init__(self, folder: Path, services: int, warm_socket: Path) -> None:
        self._folder = folder / "project"
        state = folder / "state"
        for path in (self._folder, state):
            path.mkdir()
        write_executables(folder, binaries()["pulumi"])
        for plugin in pulumi_home(folder).glob("plugins/*/pulumi-resource-*"):
            write_module(plugin, "benchmarks.instant_provider")
        definition = (ROOT / "Pulumi.yaml").read_text(encoding="utf-8")
        (self._folder / "Pulumi.yaml").write_text(f"main: {ROOT}\n{definition}", encoding="utf-8")
        self._environment = {
            "PATH": path_with(folder / "bin"),
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "benchmark",
            "PULUMI_HOME": str(pulumi_home(folder)),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            SOCKET_VARIABLE: str(warm_socket),
            "PULUMI_STACK": STACK,
        }
        self._run(["stack", "init", STACK, "--no-select"])
        values = config(services)
        words = [f"--plaintext={key}={value}" for key, value in values.items() if key != SECRET_KEY]
        self._run(["config", "set-all", *words, f"--secret={SECRET_KEY}={values[SECRET_KEY]}"])

    def preview(self, *flags: str, timings: Timings | None = None) -> None:
        """Preview the stack, which is new.

        Raises:
            BenchmarkError: the preview failed.
        """
        start = time.perf_counter()
        self._run(["preview", "--non-interactive", *flags])
        if timings is not None:
            timings.wall.append(time.perf_counter() - start)

    def _run(self, words: Sequence[str]) -> None:
        answer = subprocess.run(
            ["pulumi", *words],
            cwd=self._folder,
            env={**os.environ, **self._environment},
            check=False,
            capture_output=True,
            text=True,
        )
        if answer.returncode:
            raise BenchmarkError(f"pulumi {words[0]} ended with {answer.returncode}:\n{answer.stdout}{answer.stderr}")


def main() -> None:
    """Measure at every number of resources and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, help="timed pairs of runs (at most 3 of previews)")
    parser.add_argument("--resources", type=int, nargs="+", default=list(SIZES), help="numbers of resources")
    arguments = parser.parse_args()
    sizes: list[int] = sorted(arguments.resources)
    print("milliseconds per resource: of the pack, with every policy disabled, and of calls that ask for nothing")
    print("resources   cpu pack   disabled      empty  wall pack   disabled      empty")
    with tempfile.TemporaryDirectory() as folder:
        judging, _ = measure_pack(sizes, arguments.repetitions, Path(folder))
        with_pack, without = measure_previews(sizes[-1], min(arguments.repetitions, 3), Path(folder))
    print(f"policies {len(judging.policies)}, preview s {without.seconds:.2f}, with the pack {with_pack.seconds:.2f}")
    timings = judging.timings
    result = {
        "milliseconds_per_resource": {str(size): round(1000 * timings[size].cpu_seconds, 3) for size in sizes},
        "empty_calls_milliseconds_per_resource": {
            str(size): round(1000 * judging.empty_calls[size].cpu_seconds, 3) for size in sizes
        },
        "wall_milliseconds_per_resource": {str(size): round(1000 * timings[size].seconds, 3) for size in sizes},
        "preview_ratio": round(with_pack.seconds / without.seconds, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
