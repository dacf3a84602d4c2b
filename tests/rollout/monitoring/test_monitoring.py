"""The rules and the dashboard as files: reproducible, with the gates' limits, each series recorded before its use."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from components.config.sections.gate_settings import PodErrorRateSettings, TtftSettings
from components.config.sections.rollout_settings import GateSettings
from rollout.model import pod_metrics
from rollout.monitoring.dashboard import dashboard
from rollout.monitoring.figures import figures
from rollout.monitoring.rules import rules
from rollout.monitoring.series import recorded_series
from rollout.monitoring.subject import Monitored
from scripts import console, monitoring
from tests.rollout.adapters.test_config_file import FLAT, SEVERAL
from tests.scripts.test_scripts import call

EVERY = Monitored.every_service()
CHAT = Monitored(
    service="chat",
    gates=GateSettings(error_rate=PodErrorRateSettings(limit_percent=0.7), ttft_p95=TtftSettings(limit_seconds=3.5)),
    start_seconds=1500,
    window_minutes=5,
)
each_subject = pytest.mark.parametrize("subject", [EVERY, CHAT], ids=["every service", "one service"])
RECORDED = re.compile(r"service_color:\w+:\w+")


def project(folder: Path, config: str, more: str = "") -> Path:
    (folder / "Pulumi.yaml").write_text("name: vllm-blue-green\nruntime: python\n")
    (folder / "Pulumi.prod.yaml").write_text(config + more)
    return folder


def alerts(subject: Monitored) -> dict[str, dict[str, Any]]:
    return {one["alert"]: one for one in rules(subject)["groups"][1]["rules"]}


def test_the_files_are_reproducible(tmp_path: Path) -> None:
    for place in ("one", "other"):
        result = call(monitoring.main, "--out", str(tmp_path / place))
        assert result.exit_code == console.EXIT_DONE, result.output
    written = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()}
    assert YAML(typ="safe").load(written["rules.yaml"]) == rules(EVERY)
    assert json.loads(written["dashboard.json"]) == dashboard(EVERY)


@each_subject
def test_each_series_is_recorded_once_and_before_its_use(subject: Monitored) -> None:
    known: set[str] = set()
    for one in recorded_series(subject):
        assert set(RECORDED.findall(one.expression)) <= known
        assert one.name not in known
        assert RECORDED.fullmatch(one.name)
        known.add(one.name)
    used = [alert["expr"] for alert in alerts(subject).values()]
    used += [target["expr"] for panel in dashboard(subject)["panels"] for target in panel["targets"]]
    assert set(RECORDED.findall(" ".join(used))) <= known


@each_subject
def test_the_series_are_made_of_all_metrics_of_the_gates(subject: Monitored) -> None:
    expressions = " ".join(one.expression for one in recorded_series(subject))
    for name in (
        *(pod_metrics.RESPONSES, pod_metrics.FINISHED, pod_metrics.TTFT, pod_metrics.INTER_TOKEN),
        *(pod_metrics.INTER_TOKEN_FORMERLY, pod_metrics.END_TO_END, pod_metrics.WAITING),
    ):
        assert f'__name__=~"{name}"' in expressions
        assert name in pod_metrics.ALL


def test_alerts_and_thresholds_are_at_the_limits_of_the_gates() -> None:
    found = alerts(CHAT)
    assert found["VllmErrorsAboveLimit"]["expr"].endswith('{service="chat"} > 0.7')
    assert found["VllmTimeToFirstTokenAboveLimit"]["expr"].endswith('{service="chat"} > 3.5')
    assert found["VllmReplicasMissing"]["for"] == "25m"
    panels = {panel["title"]: panel for panel in dashboard(CHAT)["panels"]}
    for figure in figures(CHAT):
        defaults = panels[figure.title]["fieldConfig"]["defaults"]
        thresholds = [step["value"] for step in defaults["thresholds"]["steps"]]
        assert thresholds == [None] if figure.limit is None else [None, figure.limit]
        assert (defaults["custom"]["thresholdsStyle"]["mode"] == "line") == (figure.limit is not None)
        assert (figure.alert in found) == (figure.limit is not None)


def test_every_gate_on_the_pods_metrics_has_an_alert() -> None:
    limits = [figure.limit for figure in figures(EVERY) if figure.alert]
    gates = EVERY.gates
    assert limits == [
        gates.error_rate.limit_percent,
        gates.abandoned.limit_percent,
        gates.ttft_p95.limit_seconds,
        gates.inter_token_p95.limit_seconds,
        gates.end_to_end_p95.limit_seconds,
        gates.queue_depth.limit_per_replica,
    ]


@each_subject
def test_no_burst_alone_lasts_as_long_as_an_alert_waits(subject: Monitored) -> None:
    for name, alert in alerts(subject).items():
        minutes = int(alert["for"].removesuffix("m"))
        assert minutes > subject.window_minutes or name == "VllmNoData"


@each_subject
def test_the_panels_are_core_ones_and_do_not_overlap(subject: Monitored) -> None:
    model = dashboard(subject)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in model["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {panel["type"] for panel in model["panels"]} == {"timeseries"}
    assert len({panel["id"] for panel in model["panels"]}) == len(model["panels"])
    assert [variable["name"] for variable in model["templating"]["list"]] == ["datasource", "service"]
    assert len(model["uid"]) <= 40


def test_a_stack_gives_its_limits_and_its_service(tmp_path: Path) -> None:
    folder = project(
        tmp_path,
        FLAT,
        "  vllm-blue-green:cold_start_seconds: 1200\n"
        "  vllm-blue-green:pods: {scrape_interval_seconds: 300}\n"
        "  vllm-blue-green:rollout: {gates: {queue_depth: {limit_per_replica: 3}}}\n",
    )
    out = tmp_path / "out"
    result = call(monitoring.main, "--stack", "prod", "--work-dir", str(folder), "--out", str(out))
    assert result.exit_code == console.EXIT_DONE, result.output
    text = (out / "rules.yaml").read_text()
    assert 'service_color:vllm_requests_waiting_per_replica:avg{service="chat"} > 3' in text
    assert "for: 35m" in text
    assert "[20m]" in text
    assert "(chat)-(blue|green)" in text
    assert 'service!=""' not in text


def test_a_service_of_several_must_be_named(tmp_path: Path) -> None:
    folder, out = project(tmp_path, SEVERAL), tmp_path / "out"
    result = call(monitoring.main, "--stack", "prod", "--work-dir", str(folder), "--out", str(out))
    assert result.exit_code == console.EXIT_REFUSED
    assert "--service" in result.stderr
    assert not out.exists()


def test_a_service_needs_a_stack(tmp_path: Path) -> None:
    result = call(monitoring.main, "--service", "chat", "--out", str(tmp_path / "out"))
    assert result.exit_code == console.EXIT_REFUSED
    assert "--stack" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    result = call(monitoring.main, "--out", str(tmp_path / "out"))
    assert result.exit_code == console.EXIT_REFUSED
    assert result.stderr.count("error:") == 1
    assert f"--out {tmp_path / 'out'}" in result.stderr
