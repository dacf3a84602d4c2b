"""``python -m benchmarks.policy_scale``: the time that the policies take.

Per resource: the benchmark calls the pack's process over gRPC as engines do, with the resources that the program really
declares. It calls ``Remediate`` and ``Analyze`` for each resource, then ``AnalyzeStack`` for all of them, one call
after another. For comparison it measures the pack with every policy disabled, and the same number of empty calls, which
is gRPC's share of the cost. Both packs run at once and take turns, so a busy machine affects both alike. The figure
that counts is the CPU time of the pack's process. Wall time, which includes the caller and the wait for a core, is
shown too.

Per preview: the Pulumi CLI previews the same program with and without the pack, in turns. Its providers answer at once,
and program and pack fork from a process that has imported in advance, so neither a cloud nor start-up hides the
difference.

The last line is JSON: by the number of resources, the median milliseconds per resource of CPU time, of the empty calls'
CPU time and of wall time; and the ratio of the previews' medians at the largest number.
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
"""The program declares more resources than this for each service."""


@dataclass
class Pack:
    """The pack's process with its timings."""

    pid: int
    stub: Any
    policies: Sequence[str]
    timings: dict[int, Timings] = field(default_factory=dict[int, Timings])
    empty_calls: dict[int, Timings] = field(default_factory=dict[int, Timings])

    def ask(self, requests: "Requests") -> list[str]:
        """Send the requests once, note the time per resource, and return the policies' violations."""
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
        """Send as many empty calls, and note the time per resource."""
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
    """Resources as engines send them: one by one, and all together."""

    each: list[Any]
    whole: Any


def requests_for(registered: Sequence[Mapping[str, Any]], count: int) -> Requests:
    """Return requests for ``count`` resources: whole services first, and some of every kind from the last one."""
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
    """Return the CPU seconds of a process's threads, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def pack(*, disabled: bool = False) -> Generator[Pack]:
    """Run the pack as engines do, with its default config or with every policy disabled."""
    environment = {"PULUMI_PROJECT": "vllm-blue-green", "PULUMI_STACK": STACK, "PULUMI_DRY_RUN": "true"}
    # There is no engine at this address; the pack does not need one.
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
    """Return the config that the engine sends to a pack without any user config."""
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
        BenchmarkError: a policy refuses a resource of the program, so the timing would not be of the usual case.
    """
    registered = registrations(services_for(sizes[-1]), folder)
    with pack() as enabled, pack(disabled=True) as idle:
        if refused := enabled.ask(requests_for(registered, len(registered))):
            raise BenchmarkError(f"the pack refuses the program's own resources: {refused[0]}")
        enabled.timings.clear()
        for size in sizes:
            requests = requests_for(registered, size)
            for repetition in range(repetitions + 1):
                for one in (enabled, idle):
                    one.ask(requests)
                    if repetition == 0:  # not timed: everything is cold
                        del one.timings[size]
                enabled.call(requests)
            row = (enabled.timings[size], idle.timings[size], enabled.empty_calls[size])
            figures = [*(1000 * one.cpu_seconds for one in row), *(1000 * one.seconds for one in row)]
            print(f"{size:>9}" + "".join(f"{figure:>11.3f}" for figure in figures), flush=True)
    return enabled, idle


def services_for(size: int) -> int:
    """Return how many services have at least this many resources."""
    return -(-size // _LEAST_PER_SERVICE)


def measure_previews(size: int, repetitions: int, folder: Path) -> tuple[Timings, Timings]:
    """Time previews with and without the pack, in turns."""
    with_pack, without = Timings(), Timings()
    socket = folder / "warm.sock"
    with warm_process(socket, _WARM_MODULES):
        project = Project(folder, services_for(size), socket)
        project.preview()  # not timed: everything is cold
        for _ in range(repetitions):
            project.preview(timings=without)
            project.preview("--policy-pack", str(PACK), timings=with_pack)
    return with_pack, without


class Project:
    """A stack of the program with providers that answer at once."""

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
        """Preview the new stack.

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
    print("milliseconds per resource: of the pack, with every policy disabled, and of empty calls")
    print("resources   cpu pack   disabled      empty  wall pack   disabled      empty")
    with tempfile.TemporaryDirectory() as folder:
        enabled, _ = measure_pack(sizes, arguments.repetitions, Path(folder))
        with_pack, without = measure_previews(sizes[-1], min(arguments.repetitions, 3), Path(folder))
    print(f"policies {len(enabled.policies)}, preview s {without.seconds:.2f}, with the pack {with_pack.seconds:.2f}")
    timings = enabled.timings
    result = {
        "milliseconds_per_resource": {str(size): round(1000 * timings[size].cpu_seconds, 3) for size in sizes},
        "empty_calls_milliseconds_per_resource": {
            str(size): round(1000 * enabled.empty_calls[size].cpu_seconds, 3) for size in sizes
        },
        "wall_milliseconds_per_resource": {str(size): round(1000 * timings[size].seconds, 3) for size in sizes},
        "preview_ratio": round(with_pack.seconds / without.seconds, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
