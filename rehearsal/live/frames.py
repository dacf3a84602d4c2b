"""Frames: what the page shows, one for each second of a rehearsal."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import httpx

from components.domain.naming import COLOR_KEY, COLORS, GPU_LABEL
from rehearsal.kube.client import Json, KubeClient, KubeError
from rehearsal.load.live import last_snapshot
from rehearsal.report.journal import JournalTail
from rehearsal.report.rule import weights_asked
from rehearsal.world.stack_config import SERVICE
from rehearsal.world.world import World
from rollout.model.machine import Phase
from rollout.model.records import Decision, PhaseBegun, VerdictGiven, read_record
from rollout.report.explanation import evidence_share
from rollout.report.lines import News, line_of

_SECONDS: Final = 1.0

PodState = Literal["pending", "starting", "ready", "draining"]


@dataclass(frozen=True, kw_only=True)
class ColorFrame:
    """One colour at one moment."""

    weight: int
    rate: float
    """Finished requests per second."""
    ttft_p95_seconds: float | None
    failed: int
    pods: tuple[PodState, ...]
    nodes: int


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One second of a rehearsal. What did not change since the last frame may be left out."""

    seconds: float
    """Since the rehearsal began."""
    scene: str
    """What the rehearsal does."""
    finished: int
    failed: int
    open_streams: int
    colors: Mapping[str, ColorFrame]
    lines: tuple[Mapping[str, Any], ...] = ()
    """The journal's new lines."""
    gates: Mapping[str, Mapping[str, Any]] | None = None
    """The gates' latest verdicts. None when they are as before."""


@dataclass
class Camera:
    """Takes frames of a world. Each look costs two small calls to the API server."""

    world: World
    journal: JournalTail
    kube: KubeClient
    scene: Callable[[], str]
    """Returns what the rehearsal does now."""
    began: float = field(default_factory=time.monotonic)
    frames: list[str] = field(default_factory=list)
    """All frames so far, as JSON."""
    _looked_at: float = 0.0
    _read: int = 0
    _news: News = field(default_factory=News)
    _gates: dict[str, dict[str, Any]] = field(default_factory=dict)

    def tick(self) -> None:
        """Take a frame once a second. More frequent calls are cheap."""
        now = time.monotonic()
        if now - self._looked_at >= _SECONDS:
            self._looked_at = now
            with suppress(httpx.HTTPError):  # A world that is too busy to answer goes on; the next frame asks again.
                self.frames.append(json.dumps(asdict(self._frame(now)), separators=(",", ":")))

    def _frame(self, now: float) -> Frame:
        traffic, weights = last_snapshot(self.world.logs / "load.log"), weights_asked(self.world.aws)
        pods, nodes = self._pods(), self._nodes()
        lines, changed = self._lines()
        by_color = traffic.get("by_color", {})
        return Frame(
            seconds=round(now - self.began, 1),
            scene=self.scene(),
            finished=traffic.get("finished", 0),
            failed=traffic.get("failed", 0),
            open_streams=traffic.get("open_streams", 0),
            colors={
                color: ColorFrame(
                    weight=weights.get(color, 0),
                    rate=by_color.get(color, {}).get("rate", 0.0),
                    ttft_p95_seconds=by_color.get(color, {}).get("ttft_p95_seconds"),
                    failed=by_color.get(color, {}).get("failed", 0),
                    pods=tuple(pods.get(color, ())),
                    nodes=nodes.get(color, 0),
                )
                for color in COLORS
            },
            lines=tuple(lines),
            gates={name: dict(one) for name, one in self._gates.items()} if changed else None,
        )

    def _lines(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the journal's new lines, and whether a gate's verdict is new."""
        self.journal.look()
        lines: list[dict[str, Any]] = []
        changed = False
        for fields in self.journal.records[self._read :]:
            record = read_record(fields)
            if isinstance(record.body, VerdictGiven):
                one = record.body
                share = evidence_share(one.evidence)
                self._gates[one.gate] = {
                    "verdict": one.verdict,
                    "reason": one.reason,
                    "share": None if share is None else round(min(share, 1.0), 3),
                }
                changed = True
            elif isinstance(record.body, PhaseBegun | Decision) and record.phase in (Phase.SHIFTING, Phase.PREFLIGHT):
                self._gates.clear()
                changed = True
            for shown in self._news.of(record):
                line = line_of(shown)
                if line is not None:
                    lines.append(
                        {
                            "at": f"{shown.at:%H:%M:%S}",
                            "head": line.head,
                            "text": line.text,
                            "tone": line.tone,
                            "detail": line.detail,
                        }
                    )
        self._read = len(self.journal.records)
        return lines, changed

    def _pods(self) -> dict[str, list[PodState]]:
        found: dict[str, list[PodState]] = {}
        for pod in self._list("Pod", SERVICE):
            color = pod["metadata"].get("labels", {}).get(COLOR_KEY, "")
            found.setdefault(color, []).append(_state(pod))
        return {color: sorted(states) for color, states in found.items()}

    def _nodes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for node in self._list("Node", None, f"{GPU_LABEL}=true"):
            color = node["metadata"].get("labels", {}).get(COLOR_KEY, "")
            found[color] = found.get(color, 0) + 1
        return found

    def _list(self, kind: str, namespace: str | None, selector: str | None = None) -> list[Json]:
        with suppress(KubeError, httpx.HTTPError):  # the next frame asks again
            return self.kube.list("v1", kind, namespace, label_selector=selector)["items"]
        return []


def _state(pod: Json) -> PodState:
    if "deletionTimestamp" in pod["metadata"]:
        return "draining"
    conditions = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", [])}
    if conditions.get("Ready") == "True":
        return "ready"
    return "starting" if conditions.get("PodScheduled") == "True" else "pending"
