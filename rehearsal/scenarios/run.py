"""The rehearsal: builds a world, runs every scenario in it under live traffic, and checks the counts."""

import json
import platform
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rehearsal.binaries.build import binaries
from rehearsal.kube.client import KubeClient
from rehearsal.live.frames import Camera
from rehearsal.live.server import served, write_recording
from rehearsal.report.journal import JournalTail
from rehearsal.report.report import product_reports, write_report
from rehearsal.report.result import Evidence, problems, read_requests, scenario_results
from rehearsal.report.rule import rule_changes
from rehearsal.report.view import LiveView
from rehearsal.scenarios.pod_watch import killed_pods
from rehearsal.scenarios.scenarios import Scenarios
from rehearsal.world.checkout import SERVICE, STACK
from rehearsal.world.executables import kubernetes_provider, language_host
from rehearsal.world.hold import empty_and_held
from rehearsal.world.leftovers import left_running
from rehearsal.world.preflight import preflight
from rehearsal.world.settings import OUT_FOLDER, RehearsalSettings
from rehearsal.world.world import CommandError, World, world

_PACKAGES = ("pulumi", "pulumi-aws", "pulumi-kubernetes", "moto", "aiohttp")


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """The outcome of a rehearsal. ``problems`` is empty when it passed."""

    result: dict[str, Any]
    problems: list[str]


def rehearse(settings: RehearsalSettings, console: Console, out: Path = OUT_FOLDER) -> Rehearsal:
    """Run the whole rehearsal and write ``result.json`` to ``out``.

    Raises:
        BuildError, ExecutableError, OutFolderError, ProcessError, OSError: the world could not be built.
    """
    preflight(settings, out)
    built = binaries(console)
    started_at = time.monotonic()
    folder = out / "world"
    broken: list[str] = []
    with empty_and_held(folder), LiveView(console) as view:
        view.phase("building the world")
        with world(folder, settings, built, lambda what: view.say(f"  {what}")) as running:
            journal = JournalTail(running.checkout / ".rollout" / STACK / f"{SERVICE}.jsonl")
            view.follow(running, journal)
            scenarios = Scenarios(running, settings, view, journal)
            with _filmed(running, journal, view, out / "live.html"):
                try:
                    scenarios.run()
                except CommandError as error:
                    broken.append(str(error))
            broken += killed_pods(running.logs / "kubelet.log")
            evidence = _evidence(running, scenarios, journal)
            view.phase("taking the world down")
        leftovers = left_running(folder)
    results = scenario_results(evidence)
    result: dict[str, Any] = {
        "engine": running.engine,
        "language_host": language_host(running.folder),
        "kubernetes_provider": kubernetes_provider(running.folder),
        "load_balancer_controller": running.load_balancer_controller,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "wall_seconds": round(time.monotonic() - started_at, 1),
        "scenarios": results,
    }
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    found = [*broken, *problems(results), *(f"left running: {process}" for process in leftovers)]
    write_report(out / "report.html", result, found, evidence, product_reports(evidence.journal), STACK)
    _summarize(console, result, found, out)
    return Rehearsal(result=result, problems=found)


@contextmanager
def _filmed(running: World, journal: JournalTail, view: LiveView, recording: Path) -> Generator[None]:
    """Serve the live page for the length of the block, and keep it as a recording."""
    with KubeClient.from_kubeconfig(running.kubeconfig) as kube:
        camera = Camera(running, journal, kube, lambda: view.scene)
        running.on_tick.append(camera.tick)
        try:
            with served(camera.frames) as address:
                view.say(f"watch it live: [link={address}]{address}[/link]")
                yield
        finally:
            running.on_tick.remove(camera.tick)
            write_recording(recording, camera.frames)


def _evidence(running: World, scenarios: Scenarios, journal: JournalTail) -> Evidence:
    journal.look()
    return Evidence(
        requests=read_requests(running.requests_log, running.access_log),
        rule_changes=rule_changes(running.aws),
        journal=journal.records,
        windows=scenarios.windows,
    )


def _summarize(console: Console, result: dict[str, Any], found: list[str], out: Path) -> None:
    console.print(
        f"Rehearsal, {result['wall_seconds']:.0f} s. Pulumi: {result['engine']}, language host:"
        f" {result['language_host']}, Kubernetes provider: {result['kubernetes_provider']}, load balancer controller:"
        f" {result['load_balancer_controller']}",
        soft_wrap=True,
        highlight=False,
    )
    table = Table()
    for heading in ("scenario", "outcome", "requests", "lost", "streams broken", "what was seen"):
        table.add_column(heading, justify="left" if heading in ("scenario", "outcome", "what was seen") else "right")
    for name, scenario in result["scenarios"].items():
        requests = scenario["requests"]
        lost = requests["failed"] if "failed" in requests else requests["failed_elsewhere"]
        broken = str(requests["streams_broken"])
        table.add_row(name, scenario["outcome"], str(requests["total"]), str(lost), broken, _seen(name, scenario))
    console.print(table)
    files = f"Report: {out / 'report.html'}  Recording: {out / 'live.html'}  Result: {out / 'result.json'}"
    console.print(files, soft_wrap=True, highlight=False)
    for problem in found:
        console.print(f"[red]problem:[/red] {problem}", soft_wrap=True, highlight=False)


def _seen(name: str, scenario: dict[str, Any]) -> str:
    match name:
        case "release":
            return "green " + ", ".join(
                f"{step['green_weight']} % asked {step['observed_green_percent']} % seen" for step in scenario["steps"]
            )
        case "reap":
            return f"{scenario['nodes_before']} GPU nodes before, {scenario['nodes_after']} after"
        case _:
            seconds = scenario.get("rollback_seconds", {})
            failed = scenario["requests"]["failed_on_candidate"]
            return (
                f"caught at green_weight {scenario['caught_at_green_weight']}, {failed} failed on the candidate;"
                f" rule back in {seconds.get('decision_to_rule')} s,"
                f" last candidate request after {seconds.get('decision_to_last_candidate_request')} s"
            )
