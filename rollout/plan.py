"""The ramp as a plan: candidate shares translated into green weights, in either direction."""

from dataclasses import dataclass
from typing import Literal

from components.naming import Color, other_color
from components.rollout_settings import RolloutSettings

FULL_PERCENT = 100


def green_weight_for(candidate: Color, candidate_percent: int) -> int:
    """Return the green weight that gives the candidate this share of new requests.

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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one rollout will do: which colour takes over, in which steps, and for how long each is judged."""

    candidate: Color
    steps: tuple[Step, ...]
    soak_seconds: float
    max_hold_extension_seconds: float
    on_timeout: Literal["rollback", "pause"] = "rollback"

    @property
    def outgoing(self) -> Color:
        """The colour that serves before the rollout, and again after a rollback."""
        return other_color(self.candidate)

    @property
    def initial_green_weight(self) -> int:
        """The green weight before the first step, and after a rollback: all traffic on the outgoing colour."""
        return green_weight_for(self.candidate, 0)


def make_plan(candidate: Color, settings: RolloutSettings) -> Plan:
    """Translate the settings into the plan of a rollout onto ``candidate``."""
    return Plan(
        candidate=candidate,
        steps=tuple(
            Step(
                candidate_percent=step.candidate_percent,
                green_weight=green_weight_for(candidate, step.candidate_percent),
                hold_seconds=step.hold_seconds,
            )
            for step in settings.steps
        ),
        soak_seconds=settings.soak_seconds,
        max_hold_extension_seconds=settings.gates.max_hold_extension_seconds,
        on_timeout=settings.gates.on_timeout,
    )
