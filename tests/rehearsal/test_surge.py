"""Four replicas on five GPUs: up the ladder and back from its last rung, and no request is lost."""

import time
from collections.abc import Generator, Sequence
from pathlib import Path
from signal import SIGTERM, Signals

import pytest

from components.domain.capacity.ladder import SharedCapacity
from components.domain.naming import COLORS, pod_labels
from rehearsal.kube.client import Json, KubeClient
from rehearsal.report.journal import Record, of_kind
from rehearsal.world.leftovers import left_running
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.stack_config import SERVICE
from scripts.console import EXIT_ROLLED_BACK
from tests.faults.stage import Played, Stage, stage

pytestmark = [pytest.mark.long_world, pytest.mark.timeout(1500)]

CAPACITY = SharedCapacity(replicas=4, surge=1, max_utilization_percent=105)
CONFIG = {
    "headroom_mode": "surge",
    "node_groups": "shared",
    "surge_replicas": 1,
    "max_rollback_seconds": 600,
    "blue": {"replicas": 4},
    "green": {"replicas": 4},
    "rollout": {
        "steps": [{"candidate_percent": percent, "hold_seconds": 2} for percent in (25, 100)],
        "soak_seconds": 2,
        "poll_seconds": 0.3,
    },
}
SETTINGS = RehearsalSettings(open_streams=40, requests_per_second=30, config=CONFIG)
_LAST_RUNG = 3
_LOOK_SECONDS = 0.5


class Places:
    """Looks at the pods while a command runs, and collects what must not be."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self._looked_at = 0.0
        self.most = 0
        """The most pods of both colours at once, those that are ending included."""
        self.before = {event["metadata"]["uid"] for event in self._events()}

    def look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self.most = max(self.most, sum(len(self.pods(color)) for color in COLORS))

    def pods(self, color: str) -> Sequence[Json]:
        labels = ",".join(f"{key}={value}" for key, value in pod_labels(SERVICE, color).items())  # pyright: ignore[reportArgumentType]
        return self._kube.list("v1", "Pod", label_selector=labels)["items"]

    def refused(self) -> list[str]:
        """Return the new events of a scheduler that found no place for a pod, or ended one to make a place."""
        return [
            f"{event['reason']}: {event.get('message') or event.get('note')}"
            for event in self._events()
            if event["metadata"]["uid"] not in self.before
            and event.get("reason")
            in ("FailedScheduling", "Preempted", "Preempting", "Evicted", "TaintManagerEviction")
        ]

    def _events(self) -> Sequence[Json]:
        return self._kube.list("v1", "Event")["items"]


@pytest.fixture(scope="module")
def running(control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    folder = tmp_path_factory.mktemp("surge") / "world"
    with stage(folder, control_plane_binaries, lambda _: None, SETTINGS, with_policies=True) as started:
        yield started
    assert left_running(folder) == []


def stopped_at_the_last_rung(running: Stage, places: Places) -> Played:
    def signal_at(record: Record) -> Signals | None:
        at_the_top = record["kind"] == "phase" and record["phase"] == "holding" and record["step"] == _LAST_RUNG
        return SIGTERM if at_the_top else None

    release = running.release(running.next_good_release())
    return running.play("ramp", *release, signal_at=signal_at, tick=places.look, longest_seconds=900)


def test_a_rollout_goes_up_to_the_last_rung_and_back_within_five_places(running: Stage) -> None:
    with KubeClient.from_kubeconfig(running.world.kubeconfig) as kube:
        places = Places(kube)
        running.new_requests()
        played = stopped_at_the_last_rung(running, places)
        assert played.exit_code == EXIT_ROLLED_BACK, played.output
        requests = running.new_requests()
        assert [str(one) for one in requests if one.failed] == []
        assert len(requests) > 1000
        assert places.refused() == []
        assert places.most == CAPACITY.places
        assert (len(places.pods("blue")), len(places.pods("green"))) == (4, 0)
    resized = [(one["color"], one["replicas"]) for one in of_kind(played.records, "resized")]
    up = [("blue", 3), ("green", 2), ("blue", 2), ("green", 3), ("blue", 1), ("green", 4)]
    assert resized == [*up, ("green", 3), ("blue", 2), ("green", 2), ("blue", 3), ("green", 1), ("blue", 4)]
    weights = [one["green_weight"] for one in of_kind(played.records, "rule")]
    assert [weight for weight, before in zip(weights, [-1, *weights], strict=False) if weight != before] == [
        *(25, 50, 75, 100),
        *(74, 48, 22, 0),
    ]
    assert running.disagreements() == []
    assert "3 waves of" in played.output
