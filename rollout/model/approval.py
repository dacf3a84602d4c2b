"""What a person has said to a step that waits for it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One decision."""

    approved: bool
    by: str
    because: str
    at: str
    """When, in RFC 3339."""

    def __str__(self) -> str:
        """Say who decided what, and why."""
        return f"{'approved' if self.approved else 'denied'} by {self.by}: {self.because}"
