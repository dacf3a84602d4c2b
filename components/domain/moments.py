"""Moments: datetimes in UTC inside, RFC 3339 text in the config, the tags, the journal and messages."""

from datetime import UTC, datetime


def format_rfc3339(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, in whole seconds."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_rfc3339_micros(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, in microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def format_or_empty(moment: datetime | None) -> str:
    """Return a moment as `format_rfc3339` does; empty for None."""
    return "" if moment is None else format_rfc3339(moment)


def parse_rfc3339(text: str) -> datetime:
    """Read a time with its zone. Small letters and the other spellings of ISO 8601 are accepted, too.

    Raises:
        ValueError: the text is no time, has no zone, or is outside the years 1 to 9999 in UTC.
    """
    try:
        time = datetime.fromisoformat(text.upper())
        if time.tzinfo is None:
            raise ValueError(f"{text!r} has no time zone")
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside the years 1 to 9999") from error


def parse_or_none(text: str) -> datetime | None:
    """Read a time as `parse_rfc3339` does; None when the text is empty or cannot be read."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None
