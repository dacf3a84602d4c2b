"""A person's decision on a step that waits for approval."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One decision: approved or denied."""

    approved: bool
    by: str
    because: str
    at: datetime
    """When it was decided."""

    def __str__(self) -> str:
        """Return who decided what, and why."""
        return f"{'approved' if self.approved else 'denied'} by {self.by}: {self.because}"
