"""What time it is, for the policies that keep promises."""

from datetime import UTC, datetime

from components.config.forms import TIME


def now() -> datetime:
    """Return the time of the update that is judged."""
    return datetime.now(UTC)


def moment(text: str) -> datetime | None:
    """Read an RFC 3339 time; none for anything else, a time without its zone included."""
    return datetime.fromisoformat(text.upper()) if text and TIME.check(text) is None else None
