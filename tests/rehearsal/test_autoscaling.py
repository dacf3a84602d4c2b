"""Replicas follow the real Prometheus while a rollout moves traffic: it doubles in between, and no request is lost."""

import json
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from components.domain.naming import COLORS, pod_labels
from rehearsal.kube.client import KubeClient
from rehearsal.load.records import Record as Request
from rehearsal.report.journal import Record, of_kind
from rehearsal.system.processes import Process
from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.checkout import STACK
from rehearsal.world.leftovers import left_running
from rehearsal.world.releases import own_releases
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.stack_config import SERVICE
from tests.faults.stage import Stage, stage

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(2700)]

LEAST, MOST = 1, 4
_LONGEST_START_SECONDS = 60
STREAMS, REQUESTS_PER_SECOND = 30, 10.0
CONFIG = {
    # About 34 requests at once, so two replicas; twice as many need four.
    "autoscaling": {"min_replicas": LEAST, "max_replicas": MOST, "metric": "requests", "target": 22},
    # Longer than any stream on a slow machine: the autoscaler also ends replicas, which let their streams finish.
    "max_stream_seconds": 30,
    "rollout": {
        "steps": [{"candidate_percent": percent, "hold_seconds": 6} for percent in (25, 50, 100)],
        "soak_seconds": 3,
        "poll_seconds": 0.3,
        "keep_warm_seconds": 3,
        # This is about replicas, on a machine that may be slow, and not about how long a verdict takes.
        "ready_timeout_seconds": 240,
        "attestation": {"timeout_seconds": 240},
        "gates": {"max_hold_extension_seconds": 600},
    },
}
# A replica with more requests than these lets them wait, which the gates would see.
RELEASES = {
    letter: {**release, "engine_args": [*release["engine_args"], "--max-num-seqs=26"]}
    for letter, release in own_releases().items()
}
SETTINGS = RehearsalSettings(
    open_streams=STREAMS, requests_per_second=REQUESTS_PER_SECOND, config=CONFIG, releases=RELEASES
)


@pytest.fixture(scope="module")
def running(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    folder = tmp_path_factory.mktemp("autoscaling") / "world"
    with stage(folder, control_plane_binaries, lambda _: None, SETTINGS) as started:
        # `pulumi up` does not wait for the pods of a Deployment whose replicas are the autoscaler's.
        with KubeClient.from_kubeconfig(started.world.kubeconfig) as kube:
            for _ in range(_LONGEST_START_SECONDS):
                requests = started.new_requests()
                if requests and not any(one.failed for one in requests) and pods(kube)["blue"] > LEAST:
                    break
        yield started
    assert left_running(folder) == []


class MoreTraffic:
    """As much traffic again, from the first hold on."""

    def __init__(self, running: Stage) -> None:
        self._running = running
        self._log = running.world.folder / "more-requests.jsonl"
        self._process: Process | None = None

    def watch(self, record: Record) -> None:
        if self._process is None and record["kind"] == "phase" and record["phase"] == "holding":
            command = [
                *(sys.executable, "-m", "rehearsal.load", "--url", self._running.world.endpoint_url),
                *("--model", SERVICE, "--rate", str(REQUESTS_PER_SECOND), "--open-streams", str(STREAMS)),
                *("--out", str(self._log)),
            ]
            self._process = self._running.world.start("more-load", command, folder=PROJECT_FOLDER)

    def stop(self) -> list[Request]:
        """Let its open requests finish, and return all."""
        assert self._process is not None
        self._process.stop()
        return [Request(**json.loads(line)) for line in self._log.read_text().splitlines()]


def pods(kube: KubeClient) -> dict[str, int]:
    """Count each colour's pods."""
    labels = {
        color: ",".join(f"{key}={value}" for key, value in pod_labels(SERVICE, color).items()) for color in COLORS
    }
    return {color: len(kube.list("v1", "Pod", label_selector=selector)["items"]) for color, selector in labels.items()}


def test_traffic_that_doubles_in_the_middle_of_a_ramp_is_followed(running: Stage) -> None:
    more = MoreTraffic(running)
    with KubeClient.from_kubeconfig(running.world.kubeconfig) as kube:
        before = pods(kube)
        assert before["green"] == 0
        played = running.play("ramp", *running.release("b"), watch=more.watch, longest_seconds=2000)
        after = pods(kube)
        requests = [*more.stop(), *running.new_requests()]
        assert played.exit_code == 0, played.output
        assert [str(one) for one in requests if one.failed] == []
        assert len(requests) > 1000
        floors = [(one["color"], one["floor"]) for one in of_kind(played.records, "floor")]
        deployed = next(
            one["edits"] for one in of_kind(played.records, "update") if "green.release" in one.get("edits", {})
        )
        assert floors[0] == ("blue", deployed["green.floor_replicas"]), "the candidate begins with what serves"
        assert floors[0][1] > LEAST
        assert ("blue", MOST) in floors, "and the old colour can take everything back"
        assert floors[-1] == ("green", LEAST), "the autoscaler has it again"
        assert after["blue"] == MOST
        assert after["green"] > LEAST, "it follows the load by itself"
        assert not [one for one in of_kind(played.records, "verdict") if one["verdict"] == "fail"]
        # What the autoscaler does is no change of the program.
        running.world.run(
            "plain-preview", "pulumi", "preview", "--expect-no-changes", "--non-interactive", "--stack", STACK
        )
        assert running.play("reap").exit_code == 0
        assert pods(kube)["blue"] == 0
    assert running.disagreements() == []
