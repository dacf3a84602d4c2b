"""The current time, for policies about the keep-warm window."""

from datetime import UTC, datetime

from components.config.reading.forms import TIME
from components.domain.moments import parse_rfc3339


def now() -> datetime:
    """Return the time at which the update is checked."""
    return datetime.now(UTC)


def moment(text: str) -> datetime | None:
    """Return an RFC 3339 time; None for any other text, including a time without a zone."""
    return parse_rfc3339(text) if TIME.check(text) is None else None
