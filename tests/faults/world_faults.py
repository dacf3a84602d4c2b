"""The faults in a rehearsal's world: stopped processes, AWS refusing calls, lost nodes, changed files."""

import os
import signal
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from rehearsal.kube.client import KubeClient, KubeError
from rehearsal.kubelet.nodes import LOST
from rehearsal.report.journal import of_kind
from rehearsal.world.checkout import SERVICE, STACK
from rollout.model.machine import Phase
from rollout.model.records import Kind
from tests.faults.cells import STEPS, Fault, Lasting, Moment, Outcome
from tests.faults.stage import CRASHING, RECORDS, SLOW, STALLING, WRONG, Stage, copy_checkout

Repair = Callable[[], list[str]]
"""Ends a fault, and returns the problems seen during it."""

_UP = ("pulumi", "up", "--yes", "--non-interactive", "--stack", STACK)
_REPAIR_TIMEOUT_SECONDS = 60.0
_OF_TRAFFIC = ("active_color", "green_weight", "keep_until", "rolling_out", "rollout_serial")
_ALL = tuple(Moment)


def _nothing() -> list[str]:
    return []


@dataclass(frozen=True, kw_only=True)
class WorldFault:
    """How a fault is injected into the world."""

    words: str
    """A regular expression for the messages about the fault. It must match if the fault changed the outcome."""
    strike: Callable[[Stage, str], Repair] = lambda _stage, _former_config: _nothing
    """Starts the fault, given the config file's content before the command, and returns how to end it."""
    lasts_seconds: float = 8.0
    moments: tuple[Moment, ...] = _ALL
    """The moments when the fault makes sense in a world."""
    sampled: Moment
    """The moment that the tests try."""
    release: str | None = None
    """The faulty release to ramp. None for a good one."""
    excuses_candidate: bool = False
    """Whether failed requests on the candidate do not count as lost."""
    step_phase: Phase = Phase.SHIFTING
    """The phase of a step in which the fault strikes."""
    lasting: Lasting = Lasting.A_WHILE
    """How long ``lasts_seconds`` counts for a rollout as short as a rehearsal's."""


def _aws(**faults: Any) -> Callable[[Stage, str], Repair]:
    def strike(stage: Stage, _: str) -> Repair:
        before = {name: value for name, value in stage.world.aws.faults().items() if name in faults}
        stage.world.aws.set_faults(**faults)

        def repair() -> list[str]:
            stage.world.aws.set_faults(**before)
            return []

        return repair

    return strike


def _killed(
    name: str, works: Callable[[Stage], bool], *, followers: tuple[str, ...] = ()
) -> Callable[[Stage, str], Repair]:
    """Kill a process. Its ``followers`` are restarted afterwards: they would retry only after minutes."""

    def strike(stage: Stage, _: str) -> Repair:
        process = stage.world.process(name)
        process.kill()

        def repair() -> list[str]:
            process.restart()
            process.wait_until(lambda: works(stage), timeout_seconds=_REPAIR_TIMEOUT_SECONDS)
            for follower in followers:
                stage.world.process(follower).kill()
                stage.world.process(follower).restart()
            return []

        return repair

    return strike


def _paused(name: str) -> Callable[[Stage, str], Repair]:
    def strike(stage: Stage, _: str) -> Repair:
        process = stage.world.process(name)
        process.send(signal.SIGSTOP)

        def repair() -> list[str]:
            process.send(signal.SIGCONT)
            return []

        return repair

    return strike


def _api_server_works(stage: Stage) -> bool:
    try:
        with KubeClient.from_kubeconfig(stage.world.kubeconfig) as kube:
            kube.request("GET", "/readyz")
    except (KubeError, httpx.HTTPError):
        return False
    return True


def _prometheus_works(stage: Stage) -> bool:
    try:
        return httpx.get(f"{stage.world.environment['PROMETHEUS_URL']}/-/ready", verify=False).is_success
    except httpx.HTTPError:
        return False


def _nothing_to_scrape(stage: Stage, _: str) -> Repair:
    """Give Prometheus an empty list of targets, so that every series ends."""
    targets = stage.world.folder / "targets" / "vllm.json"
    before = targets.read_bytes()
    targets.write_bytes(b"[]")

    def repair() -> list[str]:
        if targets.read_bytes() == b"[]":
            targets.write_bytes(before)
        return []

    return repair


def _node_of_candidate_lost(stage: Stage, _: str) -> Repair:
    with KubeClient.from_kubeconfig(stage.world.kubeconfig) as kube:
        pods = kube.list("v1", "Pod", SERVICE, label_selector=f"vllm-blue-green/color={stage.idle}")["items"]
        node = next((pod["spec"].get("nodeName") for pod in pods if pod["spec"].get("nodeName")), None)
        if node is not None:
            kube.patch("v1", "Node", None, node, {"metadata": {"annotations": {LOST: "true"}}})
    return _nothing


def _second_ramp(stage: Stage, _: str) -> Repair:
    second = stage.begin("ramp", *stage.release("a"))

    def repair() -> list[str]:
        second.wait(_REPAIR_TIMEOUT_SECONDS)
        output = second.log.read_text(errors="replace")
        code, explained = second.exit_code, "is in use by" in output and ", since" in output
        second.kill()
        return [] if code == 2 and explained else [f"the second ramp exited with {code}: {output[-300:]}"]

    return repair


def _engineers_up(stage: Stage, former_config: str) -> Repair:
    """Run a plain `pulumi up` from a checkout from before the rollout. The guards must refuse it."""
    checkout = copy_checkout(stage, "engineer")
    (checkout / stage.config_file.name).write_text(former_config)
    up = stage.world.start("engineers-up", _UP, folder=checkout)

    def repair() -> list[str]:
        up.wait(_REPAIR_TIMEOUT_SECONDS)
        code, output = up.exit_code, up.log.read_text(errors="replace")
        up.kill()
        up.log.unlink()
        if code == 0 and "unchanged" not in output:
            return [f"the engineer's `pulumi up` with a config from before the rollout succeeded: {output[-600:]}"]
        return []

    return repair


def _stale_config(stage: Stage, former_config: str) -> Repair:
    """Reset the config file to its content before the command, as by `git checkout`. Afterwards restore it, with the
    traffic as the command has left it. A command that reached its end has left the newest file."""
    struck, seen = stage.config_file.read_text(), len(stage.journal.records)
    if struck == former_config:  # nothing has been written yet, so nothing can be lost
        return _nothing
    stage.config_file.write_text(former_config)

    def repair() -> list[str]:
        stage.journal.look()
        ended = next(of_kind(reversed(stage.journal.records[seen:]), Kind.FINISHED), {"outcome": ""})
        if ended["outcome"] in (Outcome.ROLLED_BACK, Outcome.PROMOTED):
            return []
        content, left = yaml.safe_load(struck), stage.config()
        for key in content["config"]:
            if (name := key.rpartition(":")[2]) in _OF_TRAFFIC and name in left:
                content["config"][key] = left[name]
        stage.config_file.write_text(yaml.safe_dump(content, sort_keys=False))
        return []

    return repair


@contextmanager
def small_disk(stage: Stage) -> Generator[bool]:
    """Put the stack's records on a small separate disk, and yield whether this process may mount one."""
    folder = stage.world.checkout / RECORDS
    folder.mkdir(parents=True, exist_ok=True)
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "records", str(folder)]
    may = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        for path, content in kept.items() if may else ():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield may
    finally:
        if may:
            kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=True)
            for path, content in kept.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


def _disk_full(stage: Stage, _: str) -> Repair:
    ballast = stage.world.checkout / RECORDS / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass  # full

    def repair() -> list[str]:
        ballast.unlink()
        return []

    return repair


_DURING = (Moment.DEPLOYING, *STEPS, Moment.PROMOTING, Moment.SOAKING)


def _bad_release(release: str, *, words: str) -> WorldFault:
    """Return a fault of the candidate itself, from its deploy on and for good."""
    return WorldFault(
        release=release,
        excuses_candidate=True,
        lasting=Lasting.FOR_GOOD,
        moments=(Moment.DEPLOYING,),
        sampled=Moment.DEPLOYING,
        words=words,
    )


WORLD_FAULTS: dict[Fault, WorldFault] = {
    Fault.AWS_THROTTLING: WorldFault(
        strike=_aws(api_throttle_fraction=0.5),
        lasts_seconds=20,
        words="Throttling|Rate exceeded",
        sampled=Moment.STEP_1,
    ),
    Fault.AWS_5XX: WorldFault(
        strike=_aws(api_error_fraction=1.0),
        lasts_seconds=6,
        words="InternalFailure|Injected fault",
        sampled=Moment.ROLLING_BACK,
    ),
    Fault.AWS_TIMEOUTS: WorldFault(
        strike=_aws(api_latency_seconds=20.0), lasts_seconds=6, words="does not answer|timed out", sampled=Moment.STEP_2
    ),
    Fault.API_SERVER_DOWN: WorldFault(
        strike=_killed("kube-apiserver", _api_server_works, followers=("kube-controller-manager", "kube-scheduler")),
        words="unreachable|refused|does not answer",
        sampled=Moment.STEP_3,
    ),
    Fault.PROMETHEUS_DOWN: WorldFault(
        strike=_killed("prometheus", _prometheus_works), words="Prometheus|refused", sampled=Moment.STEP_1
    ),
    Fault.PROMETHEUS_EMPTY: WorldFault(
        strike=_nothing_to_scrape,
        lasts_seconds=60,
        lasting=Lasting.FOR_GOOD,
        words="no data|requests seen|no answer|not be asked",
        sampled=Moment.STEP_2,
    ),
    Fault.CRASH_LOOP: _bad_release(CRASHING, words="CrashLoopBackOff|not ready"),
    Fault.SLOW: _bad_release(SLOW, words="ttft|latency|shadow|warm"),
    Fault.STALLS: _bad_release(STALLING, words="requests were abandoned [^:]*: above"),
    Fault.WRONG_ANSWERS: _bad_release(WRONG, words="smoke|eval|shadow"),
    Fault.NODE_LOST: WorldFault(
        strike=_node_of_candidate_lost,
        excuses_candidate=True,
        moments=_DURING[1:],
        sampled=Moment.STEP_2,
        words="targets healthy|ready",
    ),
    Fault.NO_CAPACITY: WorldFault(
        strike=_aws(launch_error_code="InsufficientInstanceCapacity"),
        lasts_seconds=60,
        lasting=Lasting.FOR_GOOD,
        moments=(Moment.DEPLOYING,),
        sampled=Moment.DEPLOYING,
        words="InsufficientInstanceCapacity",
    ),
    Fault.BINDER_STOPPED: WorldFault(
        strike=_paused("load-balancer-controller"), words="targets healthy", sampled=Moment.DEPLOYING, lasts_seconds=15
    ),
    Fault.ALB_LAG: WorldFault(
        strike=_aws(weight_lag_seconds=5.0),
        lasts_seconds=60,
        words="attest|requests",
        sampled=Moment.DEPLOYING,
        moments=(*_DURING, Moment.ROLLING_BACK),
    ),
    Fault.SECOND_RAMP: WorldFault(strike=_second_ramp, lasts_seconds=3, words="", sampled=Moment.STEP_1),
    Fault.ENGINEERS_UP: WorldFault(
        strike=_engineers_up, lasts_seconds=4, words="currently locked|other changes", sampled=Moment.STEP_2
    ),
    Fault.STALE_CONFIG: WorldFault(
        # Not while the script itself is writing the file: it would overwrite the stale content.
        step_phase=Phase.HOLDING,
        strike=_stale_config,
        lasts_seconds=float("inf"),
        words="config|serial|splits|stale",
        sampled=Moment.STEP_2,
        moments=_DURING,
    ),
    # Long enough that the space left in the journal's last block is not enough.
    Fault.DISK_FULL: WorldFault(strike=_disk_full, lasts_seconds=40, words="No space left", sampled=Moment.STEP_3),
}
"""Every fault that a world can have. Only the fakes test a jump of the clock: the processes of a world share the
machine's clock, and no time namespace moves the wall clock."""
