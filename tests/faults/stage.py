"""One world for many cells: a service under live traffic, whose scripts run while faults strike the world.

Each ramp goes onto the idle colour, so a promotion need not be undone before the next ramp.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any

import yaml
from rich.console import Console

from components.domain.naming import PROJECT, Color, other_color
from rehearsal.load.records import Record as Request
from rehearsal.load.records import with_colors
from rehearsal.report.journal import JournalTail, Record, of_kind
from rehearsal.report.rule import weights_asked
from rehearsal.report.view import LiveView
from rehearsal.scenarios.scenarios import Scenarios
from rehearsal.system.processes import Process
from rehearsal.world.checkout import SERVICE, STACK, release_file
from rehearsal.world.releases import commit_of, own_releases
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.traffic import start_load
from rehearsal.world.world import World, world

RECORDS = Path(".rollout") / STACK
JOURNAL = RECORDS / f"{SERVICE}.jsonl"
CRASHING, SLOW, WRONG, STALLING = ("d", "e", "f", "ad")
"""Releases with one fault each (``rehearsal/vllm/hub.yaml``)."""
_LONGEST_COMMAND_SECONDS = 400.0
# Three times the longest answer: only a candidate that stalls keeps clients waiting for so long. Later, the load
# balancer would end a silent request, and count an error of its own.
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.05
# The load generator writes its records once a second.
_RECORDS_SECONDS = 1.2
_TRAFFIC_BEFORE_SECONDS = 3.0

Watch = Callable[[Record], None]
Tick = Callable[[], None]


def stage_settings() -> RehearsalSettings:
    """Return the settings of a rehearsal with rollouts of a few seconds and with faulty releases."""
    releases = own_releases()
    releases |= {
        letter: {**releases["a"], "model_revision": commit_of(letter)} for letter in (CRASHING, SLOW, WRONG, STALLING)
    }
    steps = [{"candidate_percent": percent, "hold_seconds": 2} for percent in (10, 50, 100)]
    config: dict[str, Any] = {
        # These determine how long an update waits for pods that do not come up.
        "node_start_seconds": 10,
        "cold_start_seconds": 10,
        "rollout": {
            "steps": steps,
            # Longer than Prometheus takes to forget targets that are gone: a fault of the soak must show in it.
            "soak_seconds": 8,
            "keep_warm_seconds": 1,
            "poll_seconds": 0.3,
            "ready_timeout_seconds": 40,
            "gates": {"max_hold_extension_seconds": 12},
        },
    }
    return RehearsalSettings(
        open_streams=40, requests_per_second=30, patience_seconds=_PATIENCE_SECONDS, releases=releases, config=config
    )


@dataclass(frozen=True, kw_only=True)
class Played:
    """The result of a command."""

    exit_code: int | None
    """None when it did not end and had to be killed. Negative when a signal ended it."""
    records: list[Record]
    output: str
    seconds: float

    @property
    def story(self) -> str:
        """Everything that it wrote to the journal and the terminal."""
        return f"{json.dumps(self.records)}\n{self.output}"


@dataclass(kw_only=True)
class Stage:
    """A running world with live traffic, and readers for both."""

    world: World
    settings: RehearsalSettings
    journal: JournalTail
    _offset: int = 0
    _seen: int = 0
    _commands: int = field(default=0)

    # The product's commands

    def play(
        self,
        *arguments: str,
        watch: Watch = lambda _: None,
        tick: Tick = lambda: None,
        signal_at: Callable[[Record], Signals | None] = lambda _: None,
        grace_seconds: float = _LONGEST_COMMAND_SECONDS,
        longest_seconds: float = _LONGEST_COMMAND_SECONDS,
    ) -> Played:
        """Run one of the product's scripts to its end.

        Args:
            arguments: the script and its options.
            watch: called with each new record of the journal.
            tick: called every few hundredths of a second.
            signal_at: returns, for a record, the signal to send to the script.
            grace_seconds: how long the script may take after a signal before it is killed.
            longest_seconds: how long it may take without one.
        """
        process = self.begin(*arguments)
        started_at, first = time.monotonic(), len(self.journal.records)
        deadline = started_at + longest_seconds
        seen, killed = first, False

        def look(record: Record) -> None:
            nonlocal deadline
            watch(record)
            if number := signal_at(record):
                process.send(number)
                deadline = time.monotonic() + grace_seconds

        try:
            while not process.wait(_POLL_SECONDS):
                seen = self._look(seen, look)
                tick()
                if time.monotonic() > deadline:
                    killed = True
                    process.kill()
        finally:
            process.kill()
        self._look(seen, watch)
        return Played(
            exit_code=None if killed else process.exit_code,
            records=self.journal.records[first:],
            output=process.log.read_text(errors="replace"),
            seconds=time.monotonic() - started_at,
        )

    def begin(self, script: str, *arguments: str) -> Process:
        """Start one of the product's scripts."""
        self._commands += 1
        name = f"{self._commands}-{script}"
        return self.world.start(
            name, [sys.executable, "-m", f"scripts.{script}", "--stack", STACK, "--service", SERVICE, *arguments]
        )

    def release(self, letter: str) -> tuple[str, str]:
        """Return the option that names a release."""
        return "--release", str(release_file(self.world.checkout, letter))

    def _look(self, seen: int, watch: Watch) -> int:
        self.journal.look()
        for record in self.journal.records[seen:]:
            watch(record)
        return len(self.journal.records)

    # The stack's config and traffic

    @property
    def config_file(self) -> Path:
        """The stack's config."""
        return self.world.checkout / f"Pulumi.{STACK}.yaml"

    def config(self) -> Mapping[str, Any]:
        """Read the stack's config. Keys are without the project's name."""
        content = yaml.safe_load(self.config_file.read_text())
        return {key.rpartition(":")[2]: value for key, value in content["config"].items()}

    def set_notifications(self, targets: list[dict[str, Any]]) -> None:
        """Write the targets of notifications into the config, which is otherwise as the scripts left it."""
        content = yaml.safe_load(self.config_file.read_text())
        content["config"][f"{PROJECT}:rollout"]["notifications"] = targets
        self.config_file.write_text(yaml.safe_dump(content, sort_keys=False))

    @property
    def idle(self) -> Color:
        """The colour that a ramp would go onto now."""
        active: Color = self.config()["active_color"]
        return other_color(active)

    @property
    def has_way_back(self) -> bool:
        """Whether the idle colour still runs its release from before the promotion."""
        idle = self.config().get(self.idle, {})
        return bool(idle.get("release")) and not idle.get("parked", False)

    def next_good_release(self) -> str:
        """Return the release, A or B, that does not serve now."""
        active: Color = self.config()["active_color"]
        return "b" if self.config()[active]["release"]["model_revision"] == commit_of("a") else "a"

    def green_weight(self) -> int:
        """Return the green weight according to the API."""
        return weights_asked(self.world.aws)["green"]

    def disagreements(self) -> list[str]:
        """Return how rule and config disagree, and whether traffic is split without a rollout."""
        configured, live = int(self.config()["green_weight"]), self.green_weight()
        home = 100 if self.config()["active_color"] == "green" else 0
        found = [] if configured == live else [f"the config says green_weight {configured}, the rule {live}"]
        return found + (
            [] if live == home else [f"green_weight is {live}, but {home} would be all on the active colour"]
        )

    # Requests

    def new_requests(self) -> list[Request]:
        """Return the requests that ended since the last call, with their colours."""
        time.sleep(_RECORDS_SECONDS)
        with self.world.requests_log.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        requests = [Request(**json.loads(line)) for line in complete.splitlines()]
        return with_colors(requests, self._colors() if any(one.failed for one in requests) else {})

    def _colors(self) -> dict[str, str]:
        lines = self.world.access_log.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return {entry["request_id"]: entry["color"] for entry in entries if entry["request_id"] and entry["color"]}

    # Between cells

    def restore(self) -> list[str]:
        """Roll back a rollout that did not end well, as its operator would, and return the problems."""
        self.journal.look()
        bounds = [record["kind"] for record in self.journal.records if record["kind"] in ("started", "finished")]
        last = next(of_kind(reversed(self.journal.records), "finished"), {"outcome": ""})
        if bounds[-1:] != ["started"] and last["outcome"] != "failed" and not self.disagreements():
            return []
        played = self.play("rollback", "--because", "restore after a fault")
        if played.exit_code != 0 and "nothing to roll back" not in played.output:
            return [f"scripts.rollback afterwards exited with {played.exit_code}: {played.output[-600:]}"]
        return []


@contextmanager
def stage(
    folder: Path,
    binaries: Mapping[str, Path],
    log: Callable[[str], None],
    settings: RehearsalSettings | None = None,
    *,
    with_policies: bool = False,
) -> Generator[Stage]:
    """Provide a stage during a ``with`` block: release A serves on blue, under live traffic.

    Args:
        folder: the world's folder.
        binaries: the control plane's programs.
        log: called with what is done.
        settings: the rehearsal's settings. None for those of the fault cells.
        with_policies: whether the scripts run the policies. The rehearsal does so on every update, and most tests of a
            stage would only take twice the time.
    """
    settings = settings or stage_settings()
    with world(folder, settings, binaries, log) as running:
        journal = JournalTail(running.checkout / JOURNAL)
        log("first release")
        Scenarios(running, settings, LiveView(Console(quiet=True)), journal).first_release()
        if not with_policies:
            (running.checkout / "policies" / "PulumiPolicy.yaml").unlink()
        load = start_load(running, settings)
        try:
            time.sleep(_TRAFFIC_BEFORE_SECONDS)
            yield Stage(world=running, settings=settings, journal=journal)
        finally:
            load.stop()


def copy_checkout(stage: Stage, name: str) -> Path:
    """Copy the checkout as it is now, like an engineer's on another machine, and return the copy."""
    copy = stage.world.folder / name
    with suppress(FileNotFoundError):
        shutil.rmtree(copy)
    shutil.copytree(stage.world.checkout, copy, ignore=shutil.ignore_patterns(".rollout", "__pycache__"))
    return copy
