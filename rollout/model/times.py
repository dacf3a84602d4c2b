"""Moments as text: RFC 3339 in UTC, as the config, the tags and the journal have them."""

from datetime import UTC, datetime


def format_rfc3339(time: datetime) -> str:
    """Write a time in whole seconds, as the config has it."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_rfc3339_micros(time: datetime) -> str:
    """Write a time in microseconds, as the journal has it."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
