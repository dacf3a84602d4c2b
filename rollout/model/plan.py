"""The ramp as a plan: candidate shares translated into green weights, in either direction."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from components.config.sections.rollout_settings import GateSettings, RampStep, RolloutSettings
from components.domain.capacity.ladder import Ladder, SharedCapacity
from components.domain.naming import Color, other_color
from rollout.model.rule import Routing

FULL_PERCENT = 100

CHECKS = ("smoke", "eval", "warm_up", "shadow", "load")
"""The checks through the candidate route, in order. Warm-up comes before shadow and load: cold caches would distort
them. Load comes last: it costs most.
"""


@dataclass(frozen=True, kw_only=True)
class Skip:
    """Checks that a person chose to skip, and why."""

    checks: tuple[str, ...]
    because: str


def green_weight_for(candidate: Color, candidate_percent: int) -> int:
    """Return the green weight at which the candidate gets this share of new requests.

    Raises:
        ValueError: the share is not between 0 and 100 percent.
    """
    if not 0 <= candidate_percent <= FULL_PERCENT:
        raise ValueError(f"candidate_percent must be between 0 and 100, got {candidate_percent}")
    return candidate_percent if candidate == "green" else FULL_PERCENT - candidate_percent


def candidate_percent_of(candidate: Color, green_weight: int) -> int:
    """Return the candidate's share of new requests, in percent, at this green weight."""
    return green_weight_for(candidate, green_weight)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the ramp."""

    candidate_percent: int
    green_weight: int
    hold_seconds: float
    approval_timeout_seconds: float | None = None
    """How long the hold waits for an approval. None when the step needs no approval."""
    candidate_replicas: int | None = None
    """How many replicas the candidate runs. None for all of them, as in every headroom mode but ``surge``."""
    outgoing_replicas: int | None = None
    """How many the outgoing colour runs. None for all of them."""
    cohort: str = ""
    """The cohort that this step sends to the candidate. Empty for a step that moves the weight."""
    cohorts_on_candidate: tuple[str, ...] = ()
    """The cohorts that are on the candidate at this step, whatever the weight."""

    @property
    def name(self) -> str:
        """How people call this step."""
        return f"cohort {self.cohort}" if self.cohort else f"{self.candidate_percent} %"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one rollout will do: which colour takes over, in which steps, and how long each step is judged."""

    candidate: Color
    steps: tuple[Step, ...]
    soak_seconds: float
    max_hold_extension_seconds: float
    on_timeout: Literal["rollback", "pause"] = "rollback"
    checks: tuple[str, ...] = ("smoke",)
    """The checks of the phase ``verifying``, in order."""
    skip: Skip | None = None
    capacity: SharedCapacity | None = None
    """The places that both colours share. None when each has places for all of its replicas."""
    autoscaled: bool = False
    """Whether an autoscaler resizes the colours, so that their floors may have to rise before each step."""

    def resizes(self, step: int) -> bool:
        """Return whether the colours may run other numbers of replicas at a step than at the one before."""
        if self.autoscaled:
            return True
        now, before = self.steps[step], self.steps[max(step - 1, 0)]
        return (now.candidate_replicas, now.outgoing_replicas) != (before.candidate_replicas, before.outgoing_replicas)

    def extension_seconds(self, step: int | None) -> float:
        """Return how many seconds a hold may take beyond its set time. ``step`` is None for the soak."""
        approval = None if step is None else self.steps[step].approval_timeout_seconds
        if step is None or approval is None:
            return self.max_hold_extension_seconds
        return max(self.max_hold_extension_seconds, approval - self.steps[step].hold_seconds)

    @property
    def longest_seconds(self) -> float:
        """How long all holds and the soak can take together, with their extensions.

        Nodes, start-up, updates and the proof of each weight come on top: how long they take is not planned.
        """
        holds = sum(step.hold_seconds + self.extension_seconds(number) for number, step in enumerate(self.steps))
        return holds + self.soak_seconds + self.extension_seconds(None)

    @property
    def outgoing(self) -> Color:
        """The colour that serves before the rollout, and again after a rollback."""
        return other_color(self.candidate)

    @property
    def initial_routing(self) -> Routing:
        """Where requests go before the first step, and after a rollback: all to the outgoing colour."""
        return Routing(green_weight=self.initial_green_weight, active_color=self.outgoing)

    @property
    def promoted_routing(self) -> Routing:
        """Where requests go after the promotion: all to the candidate, which is the active colour then."""
        return Routing(green_weight=green_weight_for(self.candidate, FULL_PERCENT), active_color=self.candidate)

    def routing_of(self, step: int) -> Routing:
        """Return where requests go at a step. Below 0: before the first one."""
        if step < 0:
            return self.initial_routing
        taken = self.steps[step]
        return Routing(
            green_weight=taken.green_weight,
            active_color=self.outgoing,
            cohorts_on_candidate=frozenset(taken.cohorts_on_candidate),
        )

    @property
    def initial_green_weight(self) -> int:
        """The green weight before the first step, and after a rollback: all traffic on the outgoing colour."""
        return green_weight_for(self.candidate, 0)


def planned_checks(gates: GateSettings, skip: Skip | None = None) -> tuple[str, ...]:
    """Return the checks of a rollout, in order.

    Smoke and eval always run. Warm-up and shadow need recorded prompts, load its settings. Skipped checks are left
    out.
    """
    recorded = bool(gates.recorded_prompts)
    on = {
        "smoke": True,
        "eval": True,
        "warm_up": recorded and gates.warm_up.max_seconds > 0,
        "shadow": recorded,
        "load": gates.load is not None,
    }
    off = () if skip is None else skip.checks
    return tuple(check for check in CHECKS if on[check] and check not in off)


def make_plan(
    candidate: Color,
    settings: RolloutSettings,
    skip: Skip | None = None,
    ladder: Ladder | None = None,
    *,
    autoscaled: bool = False,
) -> Plan:
    """Translate the settings into the plan of a rollout onto ``candidate``.

    Args:
        candidate: the colour that takes over.
        settings: how the rollout behaves.
        skip: the checks that a person chose to skip.
        ladder: the rungs, where both colours share places. None when each has places for all of its replicas.
        autoscaled: whether an autoscaler resizes the colours.
    """
    return Plan(
        candidate=candidate,
        steps=tuple(_steps(candidate, settings, ladder)),
        capacity=None if ladder is None else ladder.capacity,
        soak_seconds=settings.soak_seconds,
        max_hold_extension_seconds=settings.gates.max_hold_extension_seconds,
        on_timeout=settings.gates.on_timeout,
        checks=planned_checks(settings.gates, skip),
        skip=skip,
        autoscaled=autoscaled,
    )


def _steps(candidate: Color, settings: RolloutSettings, ladder: Ladder | None) -> Iterator[Step]:
    if ladder is None:
        percent, cohorts = 0, list[str]()
        for step in settings.steps:
            percent = percent if step.candidate_percent is None else step.candidate_percent
            cohorts += [] if step.cohort is None else [step.cohort]
            yield _step(candidate, settings, step, percent, tuple(cohorts))
        return
    for rung in ladder.rungs:
        # A rung between two steps is held for as long as the step that it leads to. No cohort shares places.
        leads_to = next(step for step in settings.steps if (step.candidate_percent or 0) >= rung.candidate_percent)
        yield replace(
            _step(candidate, settings, leads_to, rung.candidate_percent),
            candidate_replicas=rung.candidate_replicas,
            outgoing_replicas=rung.outgoing_replicas,
        )


def _step(
    candidate: Color, settings: RolloutSettings, step: RampStep, percent: int, cohorts: tuple[str, ...] = ()
) -> Step:
    manual = settings.gates.manual
    return Step(
        candidate_percent=percent,
        green_weight=green_weight_for(candidate, percent),
        hold_seconds=step.hold_seconds,
        approval_timeout_seconds=manual.timeout_seconds if step.candidate_percent in manual.at_percents else None,
        cohort=step.cohort or "",
        cohorts_on_candidate=cohorts,
    )


def full_weight_of(color: Color) -> int:
    """Return the green weight at which this colour has all traffic."""
    return green_weight_for(color, 100)
