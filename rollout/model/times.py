"""Times as text: RFC 3339 in UTC, as in the config, the tags and the journal."""

from datetime import UTC, datetime


def format_rfc3339(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC, in whole seconds."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_rfc3339_micros(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC, in microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
