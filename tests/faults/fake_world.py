"""The fake world with faults: every call of a port passes through the current fault, and lost requests are counted."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

from components.domain.naming import COLORS, Color
from rollout.model.nodes import Pod
from rollout.model.records import PhaseBegun
from rollout.model.verdict import TargetHealth
from rollout.ports import Ports
from tests.rollout.fakes import World

Ask: TypeAlias = Callable[[], Any]

_NOT_A_PORT = frozenset({"rule_changed_at", "start_seconds", "shield"})


@dataclass(slots=True, kw_only=True)  # not frozen: a frozen one takes three times as long to make, and there are many
class Call:
    """A call of a port's method that has not been made yet."""

    port: str
    method: str
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    ask: Ask
    """Makes the call."""


class Through:
    """A port that passes every call to ``hand``, which decides whether to make it."""

    def __init__(self, name: str, port: object, hand: Callable[[Call], Any]) -> None:
        self.__dict__.update(_name=name, _port=port, _hand=hand)

    def __getattr__(self, method: str) -> Any:
        value = getattr(self._port, method)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            return self._hand(
                Call(
                    port=self._name,
                    method=method,
                    arguments=arguments,
                    named=named,
                    ask=partial(value, *arguments, **named),
                )
            )

        return call

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._port, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Through":
        return Through(self._name, copy.deepcopy(self._port, memo), copy.deepcopy(self._hand, memo))


@dataclass(kw_only=True)
class Breakage:
    """A fault, as hooks. The base class breaks nothing."""

    words: str
    """A regular expression for the journal's messages about the fault."""
    excused: frozenset[Color] = frozenset()
    """Colours that fail themselves: requests to them do not count as lost."""
    needs_a_person: bool = False
    """Whether only a person can fix the result, even after a short fault."""
    hits: int = field(default=0, init=False)
    """How many calls the fault affected."""

    def begin(self, world: "FaultyWorld") -> None:
        """Start the fault."""

    def end(self, world: "FaultyWorld") -> None:
        """End the fault."""

    def call(self, world: "FaultyWorld", call: Call) -> Any:
        """Handle a call during the fault."""
        del world
        return call.ask()


class FaultyWorld(World):
    """A world in which one fault strikes when a phase is entered, for some seconds or for good."""

    def __init__(self, **overrides: Any) -> None:
        self.lost = 0.0
        """Requests to a colour without a healthy target, except to an excused colour."""
        self.wrong_totals: list[dict[Color, int]] = []
        """Weights that did not add up to 100."""
        self.not_ready: dict[Color, tuple[int, str]] = {}
        """How many of a colour's pods are not ready, and why."""
        self.registered: dict[Color, int] | None = None
        """How many targets each group keeps while nothing registers or deregisters pods."""
        self.wall_clock_offset_seconds = 0.0
        self._breakage: Breakage | None = None
        self._strikes: Callable[[str, int], bool] = lambda _phase, _step: False
        self._lasts_seconds: float | None = None
        self._since: float | None = None
        self._broken = False
        self._followed: list[tuple[float, dict[Color, int]]] = []
        super().__init__(**overrides)
        # Each hold is judged three times. More looks would cost time and find nothing else.
        self.poll_every(20)
        self.former = self.config.values
        """The config before the rollout."""

    def fail_at(self, color: Color, weight: int) -> None:
        """Let a colour fail requests from the first look on at which it has this weight."""
        self.clock.on_sleep = partial(self._fail_if_at, color, weight, self.clock.on_sleep)

    def _fail_if_at(self, color: Color, weight: int, count: Callable[[], None]) -> None:
        count()
        if self.weights[color] == weight:
            self.error_rate[color] = 0.35

    def break_at(self, breakage: Breakage, strikes: Callable[[str, int], bool], *, lasts_seconds: float | None) -> None:
        """Start the fault when ``strikes`` returns true for an entered phase and step. Without a time it never ends."""
        self._breakage, self._strikes, self._lasts_seconds = breakage, strikes, lasts_seconds

    @property
    def has_broken(self) -> bool:
        """Whether the fault has struck."""
        return self._since is not None

    def ports(self, rule_changed_at: datetime | None = None) -> Ports:
        plain = super().ports(rule_changed_at)
        wrapped: dict[str, Any] = {}
        for name in plain.__dataclass_fields__:
            port = getattr(plain, name)
            if isinstance(port, Mapping):
                wrapped[name] = {key: Through(name, each, self._hand) for key, each in port.items()}
            elif name not in _NOT_A_PORT:
                wrapped[name] = Through(name, port, self._hand)
        return replace(plain, **wrapped)

    def pass_time(self, seconds: float) -> None:
        """Let time pass inside a call that cannot be interrupted."""
        self.count_requests()
        self.clock.elapsed += seconds
        self.count_requests()

    def move_traffic(self, green_weight: int) -> None:
        """Change the rule on behalf of somebody else."""
        self._set_weights(green_weight)

    def _hand(self, call: Call) -> Any:
        if call.port == "clock":
            offset = timedelta(seconds=self.wall_clock_offset_seconds)
            return call.ask() + offset if call.method == "now" else call.ask()
        if call.port == "journal" and call.arguments and isinstance(begun := call.arguments[0], PhaseBegun):
            self._perhaps_break(str(self.journal.phase), begun.step)
        self.count_requests()
        self._perhaps_repair()
        try:
            return self._breakage.call(self, call) if self._broken and self._breakage is not None else call.ask()
        finally:
            self.count_requests()

    def _perhaps_break(self, phase: str, step: int) -> None:
        if self._breakage is not None and self._since is None and self._strikes(phase, step):
            self._since, self._broken = self.clock.elapsed, True
            self._breakage.begin(self)

    def _perhaps_repair(self) -> None:
        if not self._broken or self._lasts_seconds is None or self._since is None or self._breakage is None:
            return
        if self.clock.elapsed >= self._since + self._lasts_seconds:
            self._broken = False
            self._breakage.end(self)

    # Traffic

    def count_requests(self) -> None:
        begin, now = self._last_count, self.clock.elapsed
        self._last_count = now
        if not self._followed:
            self._followed.append((begin, dict(self.weights)))
        elif self._followed[-1][1] != self.weights:
            self._followed.append((now + self.weight_lag_seconds, dict(self.weights)))
            if sum(self.weights.values()) != 100:
                self.wrong_totals.append(dict(self.weights))
        if begin == now and self._history:
            return
        cuts = [begin, *sorted(at for at, _ in self._followed if begin < at < now), now]
        excused = frozenset[Color]() if self._breakage is None else self._breakage.excused
        for start, end in pairwise(cuts):
            weights = self._weights_followed(start)
            for color in COLORS:
                requests = (end - start) * self.requests_per_second * weights[color] / 100
                self.counted[color] += requests
                if requests and color not in excused and not self.health(color).healthy:
                    self.lost += requests
        self._note_counted()
        self._perhaps_repair()

    @property
    def served(self) -> dict[Color, int]:
        return self._weights_followed(self.clock.elapsed)

    def _weights_followed(self, at: float) -> dict[Color, int]:
        return [weights for since, weights in self._followed if since <= at][-1]

    # Pods and targets

    def pods(self, color: Color) -> tuple[Pod, ...]:
        pods = super().pods(color)
        if color not in self.not_ready:
            return pods
        count, reason = self.not_ready[color]
        return tuple(
            replace(pod, ready=False, waiting_reason=reason, restarts=5) if number < count else pod
            for number, pod in enumerate(pods)
        )

    def health(self, color: Color) -> TargetHealth:
        pods = self.pods(color)
        ready = sum(pod.ready for pod in pods)
        if (healthy := self.healthy[color]) is not None:
            ready = min(ready, healthy)
        if self.registered is None:
            return TargetHealth(healthy=ready, total=len(pods))
        return TargetHealth(healthy=min(ready, self.registered[color]), total=self.registered[color])
