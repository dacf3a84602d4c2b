"""The rules and the dashboard on the real Prometheus: they load, say what the gates say, and raise the right alerts."""

import math
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.config.sections.gate_settings import AbandonedSettings
from components.config.sections.rollout_settings import GateSettings
from components.domain.naming import COLORS, Color
from rehearsal.controlplane.prometheus import start_prometheus
from rehearsal.vllm.flags import parse
from rehearsal.vllm.metrics import FinishedRequest, Metrics
from rollout.adapters.prometheus import Prometheus
from rollout.monitoring.dashboard import dashboard
from rollout.monitoring.rules import rules_file
from rollout.monitoring.series import SeriesNames, recorded_series
from rollout.monitoring.subject import Monitored
from rollout.statistics.measurements import Counters, Sample, sample
from tests.rehearsal.world_parts import wait_for

EVERY = Monitored.every_service()
CHAT = replace(EVERY, service="chat", gates=GateSettings(abandoned=AbandonedSettings(limit_percent=20)))
LOST = replace(EVERY, service="lost")
GONE = replace(EVERY, service="gone")
NAMES = SeriesNames(EVERY.window_minutes)
HANDLER = "/v1/chat/completions"
DEPLOYMENTS = {
    "chat-blue": (3, 1),
    "chat-green": (2, 2),
    "lost-green": (1, 1),
    "lost-blue": (0, 0),
    "gone-blue": (2, 0),
    "gone-green": (0, 0),
    "shop-blue": (2, 1),
}
"""Declared and ready replicas. Another program owns the last one."""
OF_BLUE = {
    "VllmErrorsAboveLimit",
    "VllmTimeToFirstTokenAboveLimit",
    "VllmInterTokenTimeAboveLimit",
    "VllmEndToEndTimeAboveLimit",
    "VllmQueueAboveLimit",
    "VllmReplicasMissing",
}


class Pod:
    """A pod's metrics, to which each scrape adds the same requests."""

    def __init__(self, *, slow: bool, waiting: int, formerly: bool = False) -> None:
        self._metrics = Metrics(parse(["acme/tiny"]), 4096)
        self._metrics.waits(waiting)
        self._slow = slow
        self._formerly = formerly

    def __call__(self) -> str:
        ttft, inter_token, end_to_end = (5.0, 0.5, 200.0) if self._slow else (0.2, 0.03, 4.0)
        if self._formerly:
            inter_token = 0.15
        for _ in range(7):
            self._request(200, "stop", ttft, inter_token, end_to_end)
        if self._slow:
            self._request(500, "error", None, inter_token, end_to_end)
            self._request(200, "error", ttft, inter_token, end_to_end)  # after the stream had begun
            self._request(200, "abort", ttft, inter_token, end_to_end)
            for _ in range(2):  # abandoned
                self._request(200, None, ttft, inter_token, end_to_end)
        self._metrics.http("/v1/models", "GET", 500, 0.1)
        self._metrics.http("none", "POST", 404, 0.1)
        text = self._metrics.exposition().decode()
        names = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
        return text.replace(*names) if self._formerly else text

    def _request(
        self, status: int, reason: str | None, ttft: float | None, inter_token: float, end_to_end: float
    ) -> None:
        self._metrics.http(HANDLER, "POST", status, end_to_end)
        if ttft is not None:
            self._metrics.first_token(ttft)
            self._metrics.tokens(10, inter_token)
        if reason is not None:
            self._metrics.finished(
                FinishedRequest(
                    reason=reason,
                    prompt_tokens=10,
                    cached_tokens=0,
                    output_tokens=11,
                    max_tokens=20,
                    arrived=0.0,
                    scheduled=None,
                    first_token=None,
                    finished=end_to_end,
                )
            )


def kube_state_metrics() -> str:
    """What kube-state-metrics serves about the Deployments."""
    lines = [
        f'{metric}{{namespace="any",deployment="{name}"}} {figures[place]}'
        for name, figures in DEPLOYMENTS.items()
        for place, metric in enumerate(("kube_deployment_spec_replicas", "kube_deployment_status_replicas_ready"))
    ]
    return "\n".join((*lines, ""))


@dataclass(frozen=True)
class Running:
    """A Prometheus with rules that scrapes a service."""

    url: str
    http: httpx.Client
    """One for all questions: a client costs more than a question, because it loads certificates for HTTPS."""

    def get(self, path: str, **params: str) -> Any:
        answer = self.http.get(f"{self.url}/api/v1/{path}", params=params).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, query: str) -> dict[tuple[str, str], float]:
        """The values by service and colour."""
        found = self.get("query", query=query)["result"]
        return {
            (one["metric"].get("service", ""), one["metric"].get("color", "")): float(one["value"][1]) for one in found
        }

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def pending(self) -> set[tuple[str, str, str]]:
        """The alerts whose condition holds, by name, service and colour."""
        return {
            (rule["name"], alert["labels"]["service"], alert["labels"]["color"])
            for rule in self.rules()
            for alert in rule.get("alerts", [])
        }


@contextmanager
def serving(pages: Mapping[str, Callable[[], str]]) -> Generator[str]:
    """Serve pages on 127.0.0.1, and yield the address."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages[self.path]().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def monitored(folder: Path, binary: Path, *subjects: Monitored) -> Generator[Running]:
    """Run Prometheus with the rules of some subjects on a service with a bad blue and a good green."""
    pods: dict[str, tuple[Color, Pod]] = {
        "/b1": ("blue", Pod(slow=True, waiting=30)),
        "/g1": ("green", Pod(slow=False, waiting=0)),
        "/g2": ("green", Pod(slow=False, waiting=4, formerly=True)),
    }
    rules = folder / "rules"
    rules.mkdir()
    for subject in subjects:
        (rules / f"{subject.service or 'every'}.yaml").write_text(rules_file(subject))
    with serving({**{path: pod for path, (_, pod) in pods.items()}, "/kube": kube_state_metrics}) as address:
        entries: list[dict[str, Any]] = [
            {
                "targets": [address],
                "labels": {"__metrics_path__": path, "service": "chat", "color": color, "pod": f"chat-{path[1:]}"},
            }
            for path, (color, _) in pods.items()
        ]
        entries.append({"targets": [address], "labels": {"__metrics_path__": "/kube", "service": "kube-state-metrics"}})
        targets = folder / "targets"
        targets.mkdir()
        (targets / "all.json").write_text(dumps(entries))
        prometheus = start_prometheus(
            folder / "prometheus",
            binary,
            targets_folder=targets,
            scrape_interval_seconds=0.5,
            rules_file=rules / "*.yaml",
        )
        try:
            with httpx.Client(trust_env=False) as http:
                yield Running(prometheus.url, http)
        finally:
            prometheus.stop()


@pytest.fixture(scope="module")
def one_service(
    control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Running]:
    """The rules of three services: the pods of one are not scraped, and one has no pods."""
    folder = tmp_path_factory.mktemp("one")
    with monitored(folder, control_plane_binaries["prometheus"], CHAT, LOST, GONE) as running:
        yield running


@pytest.fixture(scope="module")
def every_service(
    control_plane_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Running]:
    """The rules for every service."""
    with monitored(tmp_path_factory.mktemp("every"), control_plane_binaries["prometheus"], EVERY) as running:
        yield running


def all_evaluated(running: Running) -> None:
    """Wait until every series has data of both colours, and then every rule was evaluated, none with an error."""
    both = {("chat", color) for color in COLORS}
    for one in recorded_series(EVERY):
        wait_for(lambda name=one.name: running.query(f'{name}{{service="chat"}}').keys() == both, one.name)
    now = datetime.now(UTC)
    wait_for(lambda: all(evaluated(rule) > now for rule in running.rules()), "evaluated rules")
    assert not [rule for rule in running.rules() if rule["health"] != "ok"]


def evaluated(rule: dict[str, Any]) -> datetime:
    """When a rule was last evaluated."""
    return datetime.fromisoformat(rule["lastEvaluation"])


def test_one_service_raises_the_alerts_of_its_bad_colour_alone(one_service: Running) -> None:
    wanted = {(name, "chat", "blue") for name in OF_BLUE | {"VllmAbandonedAboveLimit"}}
    wanted |= {("VllmNoData", "lost", "green"), ("VllmReplicasMissing", "gone", "blue")}
    all_evaluated(one_service)
    assert one_service.pending() == wanted


def test_a_colour_without_pods_has_no_data_once_it_had_time_to_start(one_service: Running) -> None:
    all_evaluated(one_service)
    (rule,) = (one for one in one_service.rules() if one["name"] == "VllmNoData" and '"gone"' in one["query"])
    assert one_service.query(rule["query"]) == {}
    hurried = rule["query"].replace("1h", "2s")
    found = wait_for(lambda: one_service.query(hurried), "the colour that declares replicas")
    assert found.keys() == {("gone", "blue")}  # the other one is parked


def test_every_service_is_known_by_its_pods(every_service: Running) -> None:
    wanted = {(name, "chat", "blue") for name in OF_BLUE}  # by default, clients may abandon most requests
    all_evaluated(every_service)
    assert every_service.pending() == wanted
    assert every_service.query(NAMES.replicas_declared) == {("chat", "blue"): 3, ("chat", "green"): 2}


def test_every_panel_shows_both_colours(one_service: Running) -> None:
    model = dashboard(CHAT)
    for panel in model["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$service", "chat")
            values = wait_for(lambda asked=expression: one_service.query(asked), panel["title"])
            assert values.keys() == {("chat", color) for color in COLORS}, panel["title"]
            assert all(math.isfinite(value) for value in values.values()), panel["title"]
    listed = model["templating"]["list"][1]["definition"].removeprefix("label_values(").removesuffix(", service)")
    assert one_service.get("label/service/values", **{"match[]": listed}) == ["chat"]


@pytest.mark.parametrize("color", COLORS)
def test_the_recorded_figures_are_those_of_the_gates(every_service: Running, color: Color) -> None:
    gates = Prometheus(every_service.url, "chat")

    def counters() -> Counters:
        return gates.counters(datetime.now(UTC))[color]

    def begun() -> Counters | None:
        found = counters()
        return found if found.inter_token_buckets else None

    start = wait_for(begun, "data")
    assert start is not None

    def seen() -> Sample | None:
        found = sample(start, counters())
        return found if found is not None and found.requests >= 100 else None

    gated = wait_for(seen, "requests")
    assert gated is not None
    assert gated.abandoned is not None
    wanted = {
        NAMES.failed_share: gated.failed / gated.requests,
        NAMES.abandoned_share: gated.abandoned / gated.begun,
        NAMES.ttft_p95: gated.ttft.quantile(0.95),
        NAMES.inter_token_p95: gated.inter_token.quantile(0.95),
        NAMES.end_to_end_p95: gated.end_to_end.quantile(0.95),
        NAMES.waiting: counters().waiting_per_replica,
    }
    recorded = {name: every_service.query(name)["chat", color] for name in wanted}
    assert recorded == {name: pytest.approx(value, rel=0.01) for name, value in wanted.items()}
    assert (wanted[NAMES.failed_share] == 0) == (color == "green")
