"""The current time, for policies about the keep-warm window."""

from datetime import UTC, datetime

from components.config.forms import TIME


def now() -> datetime:
    """Return the time at which the update is checked."""
    return datetime.now(UTC)


def moment(text: str) -> datetime | None:
    """Return an RFC 3339 time; None for any other text, including a time without a zone."""
    return datetime.fromisoformat(text.upper()) if text and TIME.check(text) is None else None
