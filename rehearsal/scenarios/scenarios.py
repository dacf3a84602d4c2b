"""The scenarios of a rehearsal, in order. Every command is one that an engineer or a CI job runs."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime

from components.domain.naming import GPU_LABEL
from rehearsal.aws.node_groups import desired_nodes
from rehearsal.kube.client import KubeClient
from rehearsal.report.journal import JournalTail, of_kind
from rehearsal.report.result import Window
from rehearsal.report.view import LiveView
from rehearsal.scenarios.pod_watch import watched_pods
from rehearsal.world.checkout import CLUSTER, SERVICE, STACK, release_file
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.stack import create_stack
from rehearsal.world.traffic import start_load
from rehearsal.world.world import CommandError, World

# With the policy pack, which the scripts add by themselves.
_OPTIONS = ("--non-interactive", "--stack", STACK, "--policy-pack", "policies")
_UP = ("pulumi", "up", "--yes", "--skip-preview", *_OPTIONS)
_PREVIEW = ("pulumi", "preview", *_OPTIONS)
_TRAFFIC_BEFORE_SECONDS = 2.0
_TRAFFIC_AFTER_SECONDS = 1.0
_NODES_PATIENCE_SECONDS = 10.0
_EXIT_ROLLED_BACK = 1


class Scenarios:
    """The scenarios. Each leaves the world as the next one needs it."""

    def __init__(self, world: World, settings: RehearsalSettings, view: LiveView, journal: JournalTail) -> None:
        self._world = world
        self._settings = settings
        self._view = view
        self._journal = journal
        self.windows: dict[str, Window] = {}

    def run(self) -> None:
        """Run them all.

        Raises:
            CommandError: a command ended with an unexpected exit code.
        """
        self.first_release()
        with self.traffic():
            self.release()
            self._reap()
            self.bad_release()

    def first_release(self) -> None:
        """Deploy release A on blue, with the first `pulumi up` of a new stack."""
        self._view.phase("first release: A on blue, by `pulumi up`")
        create_stack(self._world)
        with watched_pods(self._world):
            self._world.run("first-up", *_UP)

    def release(self) -> None:
        """Swap to release B under traffic, and watch it. Afterwards a plain `pulumi up` would change nothing."""
        self._view.phase("release: B onto green, by `scripts.ramp`")
        with self._window("release"):
            self._ramp("b")
            self._world.script("watch", "--service", SERVICE, "--if-warm")
            self._world.run("plain-preview", *_PREVIEW, "--expect-no-changes")

    def _reap(self) -> None:
        self._view.phase("reap: blue's keep-warm window is over, `scripts.reap` releases its nodes")
        with self._window("reap"):
            self._journal.look()
            promoted = next(of_kind(reversed(self._journal.records), "promoted"))
            self._pause(datetime.fromisoformat(promoted["keep_until"]).timestamp() - time.time())
            self._world.script("reap", "--service", SERVICE)

    def bad_release(self) -> None:
        """Try release C under traffic. The ramp must roll it back."""
        self._view.phase("bad release: C onto blue, where requests queue")
        with self._window("bad_release"):
            self._ramp("c", expect=_EXIT_ROLLED_BACK)

    def _ramp(self, letter: str, expect: int = 0) -> None:
        release = release_file(self._world.checkout, letter)
        arguments = ("--service", SERVICE, "--release", str(release))
        with watched_pods(self._world):
            self._world.script("ramp", *arguments, expect=expect, name=f"ramp-{letter}")

    @contextmanager
    def traffic(self) -> Generator[None]:
        """Send live traffic for the length of the block. Every started request ends before the block does."""
        load = start_load(self._world, self._settings)
        try:
            self._view.say("live traffic starts")
            self._pause(_TRAFFIC_BEFORE_SECONDS)
            yield
            self._pause(_TRAFFIC_AFTER_SECONDS)
            load.terminate()
            if not load.wait(30.0) or load.exit_code != 0:
                raise CommandError(f"the load generator failed ({load.exit_code}); see {load.log}")
        finally:
            load.stop()

    @contextmanager
    def _window(self, name: str) -> Generator[None]:
        started_at, nodes_before = time.time(), self._gpu_nodes()
        yield
        self.windows[name] = Window(
            started_at=started_at, ended_at=time.time(), nodes_before=nodes_before, nodes_after=self._gpu_nodes()
        )

    def _gpu_nodes(self) -> int:
        """Count the nodes once the node groups have their size: a node comes and goes a moment after its group's
        change."""
        wanted = desired_nodes(self._world.environment["AWS_ENDPOINT_URL"], CLUSTER)
        deadline = time.monotonic() + _NODES_PATIENCE_SECONDS
        with KubeClient.from_kubeconfig(self._world.kubeconfig) as kube:
            while True:
                nodes = kube.list("v1", "Node", label_selector=f"{GPU_LABEL}=true")
                if len(nodes["items"]) == wanted or time.monotonic() > deadline:
                    return len(nodes["items"])
                self._pause(0.2)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for tick in self._world.on_tick:
                tick()
            time.sleep(0.1)
