"""A person's decision on a step that waits for approval."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One decision: approved or denied."""

    approved: bool
    by: str
    because: str
    at: str
    """The time of the decision, in RFC 3339."""

    def __str__(self) -> str:
        """Return who decided what, and why."""
        return f"{'approved' if self.approved else 'denied'} by {self.by}: {self.because}"
