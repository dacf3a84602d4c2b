"""Probes: our own requests to both colours, for when clients send too few for a verdict within the hold."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.config.sections.rollout_settings import RolloutSettings
from components.domain.naming import Color
from rollout.model.plan import Plan
from rollout.model.records import Note
from rollout.ports import Ports

# The rate of clients is known after this many periods of the load balancer's metrics: the last two or three are not
# complete yet.
KNOWN_AFTER_PERIODS = 5
WORKERS = 8

# Different lengths, and none is a prefix of another: answers from a cache would say little.
QUESTIONS = (
    "Name three rivers in Europe.",
    "In one sentence: why is the sea salty?",
    "Write a short thank-you note to a colleague who helped you move house last weekend.",
    "What is 17 times 23?",
    "Translate to French: the train leaves at noon from the northern station.",
)


class Probes:
    """Fills up to the minimum of requests in one window, if enabled and if clients send too few."""

    def __init__(self, ports: Ports, plan: Plan, settings: RolloutSettings, *, deadline_seconds: float) -> None:
        """Send nothing yet. The minimum must be reached ``deadline_seconds`` into the window."""
        self._ports = ports
        self._plan = plan
        self._settings = settings.gates.probes
        self._minimum = settings.gates.minimum_requests
        self._known_after_seconds = KNOWN_AFTER_PERIODS * settings.cloudwatch_period_seconds
        self._deadline_seconds = deadline_seconds
        self._since_seconds: float | None = None
        self.sent = 0
        """How many probes each colour got."""

    def fill(self, clients: int, elapsed_seconds: float) -> None:
        """Send the probes that are due since the last call, if clients' rate so far will not reach the minimum."""
        missing = self._minimum - clients - self.sent
        if not self._settings.enabled or missing <= 0 or elapsed_seconds < self._known_after_seconds:
            return
        expected = clients * self._deadline_seconds / elapsed_seconds
        if self._since_seconds is None:
            if expected >= self._minimum:
                return
            self._since_seconds = elapsed_seconds
            text = (
                f"clients would send about {expected:.0f} of {self._minimum} requests within the hold; "
                "probes to both colours add the rest"
            )
            self._ports.journal.write(Note(text=text))
        due = int((elapsed_seconds - self._since_seconds) * self._settings.requests_per_second) - self.sent
        self._send(max(1, min(due, missing)))

    def _send(self, count: int) -> None:
        colors: tuple[Color, Color] = (self._plan.candidate, self._plan.outgoing)
        numbers = range(self.sent, self.sent + count)
        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            # Errors need no extra count: the metrics of the pods and the load balancer contain them.
            for color in colors:
                pool.map(self._ask, [color] * count, numbers)
        self.sent += count

    def _ask(self, color: Color, number: int) -> None:
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"}],
            "max_tokens": self._settings.max_tokens,
        }
        self._ports.route.ask(color, body, stream=number % 2 == 0)
