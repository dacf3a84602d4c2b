"""The live page: frames of a world, served as they come, and a recording that plays without a server."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from components.domain.naming import COLOR_KEY
from rehearsal.kube.client import KubeClient
from rehearsal.live import frames as frames_module
from rehearsal.live.frames import Camera
from rehearsal.live.page import live_page, recorded_frames
from rehearsal.live.server import served
from rehearsal.report.journal import JournalTail
from rehearsal.world.world import World as RehearsalWorld
from tests.rollout.fakes import World
from tests.rollout.report.test_read import ramp


@dataclass
class FakeKube:
    """An API server with these pods and nodes."""

    pods: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    down: bool = False

    def list(self, _version: str, kind: str, _namespace: str | None = None, **_: Any) -> dict[str, Any]:
        if self.down:
            raise httpx.ConnectError("down")
        nodes = [{"metadata": {"labels": {COLOR_KEY: color}}} for color in ("blue", "blue", "green")]
        return {"items": self.pods if kind == "Pod" else nodes}


def pod(color: str, *, ready: bool, leaving: bool = False) -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(ready)}]
    metadata = {"labels": {COLOR_KEY: color}, **({"deletionTimestamp": "now"} if leaving else {})}
    return {"metadata": metadata, "status": {"conditions": conditions}}


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Camera:
    weights = {"blue": 75, "green": 25}

    def weights_asked(_: object) -> dict[str, int]:
        return weights

    monkeypatch.setattr(frames_module, "weights_asked", weights_asked)
    monkeypatch.setattr(frames_module, "_SECONDS", 0.0)
    (tmp_path / "load.log").write_text(
        'starting\n{"finished": 7, "failed": 1, "open_streams": 3, "by_color": {"blue": {"rate": 2.5, "failed": 1}}}\n'
        '{"finished": 8, "fai'
    )
    world = World()
    ramp(world)
    journal = tmp_path / "chat.jsonl"
    journal.write_text("".join(json.dumps(one.as_json()) + "\n" for one in world.journal.kept))
    fake = SimpleNamespace(logs=tmp_path, aws=None)
    kube = FakeKube([pod("blue", ready=True), pod("green", ready=False), pod("green", ready=True, leaving=True)])
    return Camera(cast(RehearsalWorld, fake), JournalTail(journal), cast(KubeClient, kube), lambda: "release")


def taken(camera: Camera) -> dict[str, Any]:
    camera.tick()
    return json.loads(camera.frames[-1])


def test_a_frame_has_traffic_weights_pods_and_what_is_new_in_the_journal(camera: Camera) -> None:
    first = taken(camera)
    assert (first["scene"], first["finished"], first["failed"], first["open_streams"]) == ("release", 7, 1, 3)
    blue, green = first["colors"]["blue"], first["colors"]["green"]
    assert (blue["weight"], blue["rate"], blue["pods"], blue["nodes"]) == (75, 2.5, ["ready"], 2)
    assert (green["weight"], green["rate"], green["pods"], green["nodes"]) == (25, 0.0, ["draining", "starting"], 1)
    assert any("promoted" in line["head"] for line in first["lines"])
    assert first["gates"]["error_rate"]["verdict"] == "pass"
    second = taken(camera)
    assert second["lines"] == []
    assert second["gates"] is None


def test_an_api_server_that_is_down_leaves_pods_out(camera: Camera) -> None:
    cast(FakeKube, camera.kube).down = True
    frame = taken(camera)
    assert frame["colors"]["blue"]["pods"] == []
    assert frame["finished"] == 7


def test_a_load_balancer_that_does_not_answer_leaves_a_frame_out(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_busy(_: object) -> dict[str, int]:
        raise httpx.ReadTimeout("timed out")

    with monkeypatch.context() as busy:
        busy.setattr(frames_module, "weights_asked", too_busy)
        camera.tick()
    assert camera.frames == []
    assert any("promoted" in line["head"] for line in taken(camera)["lines"]), "no news are lost"


def read_events(address: str, wanted: int, **headers: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    with httpx.stream("GET", f"{address}frames", headers=headers, timeout=10) as response:
        number = ""
        for line in response.iter_lines():
            if line.startswith("id: "):
                number = line[4:]
            elif line.startswith("data: ") and number:
                found.append((number, json.loads(line[6:])))
                if len(found) == wanted:
                    return found
    return found


def test_frames_are_sent_as_they_come_and_from_where_a_browser_left() -> None:
    frames: list[str] = ['{"n":0}', '{"n":1}']
    with served(frames) as address:
        assert address.startswith("http://127.0.0.1:")
        assert "<title>A model swap under live traffic</title>" in httpx.get(address).text
        threading.Timer(0.3, frames.append, ['{"n":2}']).start()
        assert [body["n"] for _, body in read_events(address, 3)] == [0, 1, 2]
        assert read_events(address, 1, **{"Last-Event-ID": "1"}) == [("2", {"n": 2})]


def test_the_server_ends_with_its_block_even_while_somebody_watches() -> None:
    frames: list[str] = ['{"n":0}']
    ended = threading.Event()

    def watch(address: str) -> None:
        read_events(address, 99)
        ended.set()

    with served(frames) as address:
        threading.Thread(target=watch, args=[address], daemon=True).start()
        time.sleep(0.5)
    assert ended.wait(5)
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_a_recording_has_its_frames_inside_and_no_markup_of_theirs() -> None:
    text = live_page(['{"scene":"</script><script>alert(1)"}'])
    assert "<script>alert" not in text
    assert "connect-src 'self'" in text


def test_the_recording_in_the_docs_is_of_a_whole_rehearsal_and_of_this_page() -> None:
    text = (Path(__file__).parents[3] / "docs" / "live.html").read_text(encoding="utf-8")
    frames = recorded_frames(text)
    assert text == live_page(frames), "run `python -m rehearsal.live docs/live.html`"
    shown = [json.loads(frame) for frame in frames]
    heads = [line["head"] for frame in shown for line in frame["lines"]]
    assert [head for head in heads if head in ("promoted", "reaped", "rolled_back")] == [
        "promoted",
        "reaped",
        "rolled_back",
    ]
    assert {frame["colors"]["green"]["weight"] for frame in shown} >= {0, 1, 25, 75, 100}


def test_a_page_without_frames_is_no_recording() -> None:
    with pytest.raises(ValueError, match="has no frames"):
        recorded_frames(live_page(None))


def frames_of_a_swap() -> Sequence[str]:
    def frame(second: int) -> str:
        green = min(100, second * 5)
        color = {"ttft_p95_seconds": 0.2, "failed": 0, "pods": ["ready", "ready"], "nodes": 2}
        lines = [{"at": "08:00:00", "head": "", "text": f"line {second}", "tone": "plain", "detail": True}]
        gate = {"verdict": "pass", "reason": "0 of 9 failed", "share": 0.25}
        colors = {
            "blue": {**color, "weight": 100 - green, "rate": (100 - green) / 4},
            "green": {**color, "weight": green, "rate": green / 4},
        }
        return json.dumps(
            {
                "seconds": second,
                "scene": "release: B onto green",
                "finished": 25 * second,
                "failed": 0,
                "open_streams": 24,
                "colors": colors,
                "lines": lines,
                "gates": {"error_rate": gate} if second == 3 else None,
            }
        )

    return [frame(second) for second in range(30)]
