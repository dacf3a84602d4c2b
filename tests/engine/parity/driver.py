"""Drives one stack through a scenario, command by command, and writes down all that the engine said and recorded."""

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.engine import children, warm
from tests.engine.conftest import REPOSITORY, World

URN = "urn:pulumi:dev::probe::"
_NEW_STACK: dict[str, dict[str, bytes]] = {}
"""The files of a stack that was just created, by engine: made once, since a passphrase's proof takes its time."""
_TAGS = re.compile(r"<\{%.*?%\}>")


@dataclass
class Outcome:
    """What one command has led to. `changes` counts by operation, without what stayed the same."""

    command: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    begun: float = 0.0
    events: list[dict[str, Any]] = field(default_factory=list)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The contents of all events of a kind."""
        return [event[kind] for event in self.events if kind in event]

    @property
    def changes(self) -> dict[str, int]:
        """The summary's counts."""
        counts: Counter[str] = Counter()
        for summary in self.of("summaryEvent"):
            counts.update(summary["resourceChanges"])
        return {op: count for op, count in counts.items() if op != "same"}

    @property
    def steps(self) -> set[tuple[str, str]]:
        """The operations announced, as (operation, resource name), without what stays the same."""
        steps = [content["metadata"] for content in self.of("resourcePreEvent")]
        return {(step["op"], step["urn"].rsplit("::", 1)[-1]) for step in steps if step["op"] != "same"}

    def messages(self, severity: str) -> list[str]:
        """The messages of one severity: error, warning, info or info#err."""
        found = [each for each in self.of("diagnosticEvent") if each["severity"] == severity]
        return [_TAGS.sub("", each["message"]).strip() for each in found]

    @property
    def errors(self) -> str:
        """Everything that was said to be wrong, violated policies too."""
        refusals = [each["message"] for each in self.of("policyEvent") if each["enforcementLevel"] == "mandatory"]
        said = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return "\n".join([*self.messages("error"), *refusals, *said])


class Driver:
    """One stack on one engine. Every command is checked for its exit status and kept in `transcript`."""

    def __init__(self, root: Path, engine: str) -> None:
        self.world = World(root, engine)
        self.world.environment["PULUMI_DEBUG_COMMANDS"] = "true"  # without it the CLI has no --event-log
        if engine == "real" and warm.VARIABLE in os.environ:
            self._use_fork_server(os.environ[warm.VARIABLE])
        self.world.environment["PULUMI_STACK"] = "dev"
        self.transcript: list[Outcome] = []
        self._create_stack()

    # -- what a scenario does

    def program(self, text: str) -> None:
        """Write the program; see World.program."""
        self.world.program(text)

    def config(self, *, secret: dict[str, str] | None = None, **plain: object) -> None:
        """Set keys of the project's config."""
        words = [f"--plaintext={key}={value}" for key, value in plain.items()]
        words += [f"--secret={key}={value}" for key, value in (secret or {}).items()]
        self.command("config", "set-all", *words)

    def preview(self, *flags: str, fails: str = "") -> Outcome:
        """`pulumi preview`; `fails` is a pattern that its errors must match, and then it must fail."""
        return self._operate("preview", flags, fails)

    def up(self, *flags: str, fails: str = "") -> Outcome:
        """`pulumi up` without its preview."""
        return self._operate("up", ("--yes", "--skip-preview", *flags), fails)

    def refresh(self, *flags: str, fails: str = "") -> Outcome:
        """`pulumi refresh` without its preview."""
        chosen = () if "--preview-only" in flags else ("--yes", "--skip-preview")
        return self._operate("refresh", (*chosen, *flags), fails)

    def destroy(self, *flags: str, fails: str = "") -> Outcome:
        """`pulumi destroy` without its preview."""
        return self._operate("destroy", ("--yes", "--skip-preview", *flags), fails)

    def command(self, *words: str, fails: str = "") -> Outcome:
        """Any other command; it is not part of what is compared, except by its exit status."""
        outcome = self._run(words)
        _check(outcome, fails)
        return outcome

    # -- what a scenario may look at

    def calls(self, *operations: str) -> list[tuple[str, str]]:
        """What the plugin was asked to do since the last time this was asked, in order."""
        calls = self.world.calls(*operations)
        self.world.forget_calls()
        return calls

    def in_cloud(self) -> set[str]:
        """Ids of the resources that exist in the cloud."""
        return {path.stem for path in self.world.cloud.glob("*.json")}

    def cloud(self, identity: str) -> Path:
        """The file of one resource in the cloud."""
        return self.world.cloud / f"{identity}.json"

    def state(self, name: str) -> dict[str, Any]:
        """The recorded resource of a name."""
        return next(each for each in self.recorded() if each["urn"].endswith(f"::{name}") and not each.get("delete"))

    def recorded(self) -> list[dict[str, Any]]:
        """Everything that is recorded, in order."""
        return (self._checkpoint().get("latest") or {}).get("resources") or []

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs as recorded."""
        return self.state("probe-dev").get("outputs") or {}

    # -- how

    def _create_stack(self) -> None:
        root, engine = self.world.root, self.world.engine
        if engine not in _NEW_STACK:
            self.command("stack", "init", "dev", "--no-select")
            files = [root / "project" / "Pulumi.dev.yaml", *(root / "state").rglob("*")]
            _NEW_STACK[engine] = {str(each.relative_to(root)): each.read_bytes() for each in files if each.is_file()}
        for name, content in _NEW_STACK[engine].items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)

    def _use_fork_server(self, socket: str) -> None:
        """Let programs and plugins of the real CLI run in forks too; the language host takes its Python from PATH."""
        forked = f"exec {sys.executable} -I -S {Path(__file__).with_name('forked.py')} {socket}"
        lines = {
            "pulumi-resource-test": f'PYTHONPATH={REPOSITORY} {forked} -m tests.engine.provider "$@"',
            "python3": f'case "$1" in *pulumi-language-python-exec) {forked} "$@";; esac\nexec {sys.executable} "$@"',
        }
        for name, line in lines.items():
            path = self.world.root / "bin" / name
            path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            path.chmod(0o755)

    def _operate(self, command: str, flags: tuple[str, ...], fails: str) -> Outcome:
        log = self.world.root / f"events-{len(self.transcript)}.jsonl"
        outcome = self._run((command, *flags), "--event-log", str(log))
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        outcome.events = [json.loads(line) for line in lines]
        outcome.checkpoint = self._checkpoint()
        outcome.history = self._history()
        self.transcript.append(outcome)
        _check(outcome, fails)
        return outcome

    def _run(self, words: tuple[str, ...], *hidden: str) -> Outcome:
        begun = time.time()
        status, stdout, stderr = asyncio.run(self._execute([*words, *hidden]))
        return Outcome(words, status, stdout, stderr, begun)

    async def _execute(self, words: list[str]) -> tuple[int, str, str]:
        # The engine's own way of starting children: with a fork server, if there is one for this Python.
        stdout: list[str] = []
        stderr: list[str] = []
        own = self.world.root / "bin" / "pulumi"
        command = own if own.exists() else Path(self.world.environment["PATH"].split(os.pathsep)[0]) / "pulumi"
        child = await children.start(
            [command, *words],
            cwd=self.world.project,
            environment=self.world.environment,
            on_stdout=stdout.append,
            on_stderr=stderr.append,
        )
        return await child.wait(), "\n".join(stdout), "\n".join(stderr)

    def _checkpoint(self) -> dict[str, Any]:
        path = self.world.root / "state" / ".pulumi" / "stacks" / "probe" / "dev.json"
        return json.loads(path.read_text(encoding="utf-8"))["checkpoint"] if path.exists() else {}

    def _history(self) -> dict[str, Any]:
        folder = self.world.root / "state" / ".pulumi" / "history" / "probe" / "dev"
        entries = sorted(folder.glob("*.history.json"), key=lambda path: path.name)
        return json.loads(entries[-1].read_text(encoding="utf-8")) if entries else {}


def _check(outcome: Outcome, fails: str) -> None:
    shown = f"{' '.join(outcome.command)}: status {outcome.status}\n{outcome.stdout}\n{outcome.stderr}"
    if fails:
        assert outcome.status != 0, shown
        assert re.search(fails, outcome.errors), f"{outcome.errors}\n---\n{shown}"
    else:
        assert outcome.status == 0, shown
