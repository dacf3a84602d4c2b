"""``python -m benchmarks.program_scale``: the time that our components add to bare SDK resources.

Each timing is a whole process as the language host runs it: interpreter start, imports, config, every registration, and
the end. The bare program creates the same custom resources with the same inputs, but without components. They are
recorded from the program itself, so the count follows the code. Both programs use the same monitor, a separate process
that answers at once. An engine and its providers would add the same work to both sides and hide the difference. The two
programs run in turns, so a busy machine affects both alike.

The last line is JSON: median seconds by the number of services, and the ratio of the medians at the largest number.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import bare_program

ROOT: Final = Path(__file__).parent.parent
RUNNER: Final = ROOT / "rehearsal" / "language_host" / "program.py"
PROGRAM: Final = ROOT
BARE_PROGRAM: Final = ROOT / "benchmarks" / "bare_program.py"
SERVICES: Final = (1, 10, 100)
SECRET_KEY: Final = "vllm-blue-green:candidate_route_secret"
# The CLI's default.
_PARALLEL: Final = 16


class BenchmarkError(Exception):
    """A process of the benchmark failed. The message is its output."""


@dataclass
class Timings:
    """Wall and CPU seconds of each run."""

    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])

    @property
    def seconds(self) -> float:
        """The median wall time."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """The median CPU time of the process, without the monitor's."""
        return statistics.median(self.cpu)


def config(services: int) -> dict[str, str]:
    """Return a stack's config with this many services, where every colour has its own release."""
    values: dict[str, Any] = {
        "cluster_name": "main",
        "cluster_security_group_id": "sg-0c",
        "vpc_id": "vpc-0a",
        "node_subnet_ids": ["subnet-1", "subnet-2"],
        "load_balancer_subnet_ids": ["subnet-3", "subnet-4"],
        "candidate_route_secret": "a-secret-of-the-benchmark",
        "instance_type": "g6e.2xlarge",
        "services": {
            f"s{number:03}": {"blue": _color(number, 0), "green": _color(number, 1)} for number in range(services)
        },
    }
    return {
        f"vllm-blue-green:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }


def _color(service: int, color: int) -> dict[str, Any]:
    release = {
        "model": f"org/model-{service}",
        "model_revision": f"{2 * service + color:040x}",
        "image": f"vllm/vllm-openai@sha256:{'a' * 64}",
        "engine_args": ["--max-model-len=16384"],
        "prompts": {"system.txt": "You are a helpful assistant."},
        "sampling": {"temperature": 0.7},
    }
    return {"replicas": 2, "release": release}


@contextmanager
def monitor(record: Path | None = None) -> Generator[str]:
    """Run a monitor in its own process, and yield its address."""
    command = [sys.executable, "-m", "benchmarks.instant_monitor"]
    command += [] if record is None else ["--record", str(record)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def run(program: Path, address: str, environment: Mapping[str, str], timings: Timings | None = None) -> None:
    """Run a program to its end against a monitor.

    Raises:
        BenchmarkError: the program failed.
    """
    settings = {
        "monitor": address,
        "engine": address,
        "project": "vllm-blue-green",
        "stack": "benchmark",
        "parallel": _PARALLEL,
        "dry_run": False,
        "organization": "organization",
        "root_directory": str(ROOT),
    }
    command = [sys.executable, "-P", str(RUNNER), json.dumps(settings), str(program)]
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise BenchmarkError(f"{program.name} ended with {process.returncode}:\n{output.read().decode()}")
    if timings is not None:
        timings.wall.append(wall)
        timings.cpu.append(usage.ru_utime + usage.ru_stime)


def program_environment(services: int) -> dict[str, str]:
    """Return the variables with which the language host passes the config."""
    return {"PULUMI_CONFIG": json.dumps(config(services)), "PULUMI_CONFIG_SECRET_KEYS": json.dumps([SECRET_KEY])}


def registrations(services: int, folder: Path) -> list[dict[str, Any]]:
    """Run the program once and return all its registrations."""
    record = folder / f"registrations-{services}.jsonl"
    with monitor(record) as address:
        run(PROGRAM, address, program_environment(services))
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]


def bare_resources(registered: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the custom resources in the bare program's form, with secrets as plain values."""
    return [
        {"type": one["type"], "name": one["name"], "inputs": _arguments(one["type"], one["inputs"])}
        for one in registered
        if one["custom"]
    ]


def _arguments(token: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    _, names = bare_program.resource_class(token)
    return {name: _plain(value) for name, value in inputs.items() if name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if "4dabf18193072939515e22adb298388d" in value:  # the SDK's mark of a secret and of an output
            return _plain(value.get("value"))
        return {key: _plain(item) for key, item in value.items()}
    return value


def measure(services: int, repetitions: int, folder: Path) -> tuple[Timings, Timings]:
    """Time the bare program and ours, in turns."""
    registered = registrations(services, folder)
    bare = bare_resources(registered)
    resources = folder / f"bare-{services}.json"
    resources.write_text(json.dumps(bare), encoding="utf-8")
    bare_environment = {bare_program.VARIABLE: str(resources), "PULUMI_CONFIG": "{}"}
    ours, theirs = Timings(), Timings()
    # No run is cold: the one that recorded the resources, and the look at their classes, have read the same modules.
    with monitor() as address:
        for _ in range(repetitions):
            run(BARE_PROGRAM, address, bare_environment, theirs)
            run(PROGRAM, address, program_environment(services), ours)
    print(
        f"{services:>8} {len(bare):>9} {len(registered) - len(bare):>10} {theirs.seconds:>8.2f} {ours.seconds:>10.2f} "
        f"{ours.seconds / theirs.seconds:>6.2f} {theirs.cpu_seconds:>8.2f} {ours.cpu_seconds:>12.2f}",
        flush=True,
    )
    return theirs, ours


def main() -> None:
    """Measure at every number of services and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, help="timed pairs of runs (at most 3 at 100 services)")
    parser.add_argument("--services", type=int, nargs="+", default=list(SERVICES), help="numbers of services")
    arguments = parser.parse_args()
    sizes: list[int] = sorted(arguments.services)
    print("services resources components   bare s  program s  ratio bare cpu s program cpu s")
    with tempfile.TemporaryDirectory() as folder:
        measured = {
            size: measure(size, min(arguments.repetitions, 3) if size >= 100 else arguments.repetitions, Path(folder))
            for size in sizes
        }
    bare, ours = measured[sizes[-1]]
    result = {
        "bare_seconds": {str(size): round(pair[0].seconds, 3) for size, pair in measured.items()},
        "program_seconds": {str(size): round(pair[1].seconds, 3) for size, pair in measured.items()},
        f"ratio_at_{sizes[-1]}": round(ours.seconds / bare.seconds, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
