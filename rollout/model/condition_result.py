"""What one condition of a rollout was found to be."""

from dataclasses import dataclass
from enum import StrEnum


class ConditionStatus(StrEnum):
    """Whether a condition is met."""

    OK = "ok"
    MISSING = "missing"
    UNCHECKED = "unchecked"
    """It could not be checked."""


@dataclass(frozen=True, kw_only=True)
class ConditionResult:
    """What was found about one condition."""

    condition: str
    """Its name."""
    missing: tuple[str, ...] = ()
    """What is not as it must be, each with its fix."""
    unanswered: tuple[str, ...] = ()
    """Why it could not be checked, wholly or in part."""
    notes: tuple[str, ...] = ()
    """What a person should know, but what does not stop a rollout."""

    @property
    def status(self) -> ConditionStatus:
        """Whether the condition is met. Missing data is never a pass."""
        if self.missing:
            return ConditionStatus.MISSING
        return ConditionStatus.UNCHECKED if self.unanswered else ConditionStatus.OK
