"""Moments: what is written is read back, and what can be read as a time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.moments import (
    format_or_empty,
    format_rfc3339,
    format_rfc3339_micros,
    parse_or_none,
    parse_rfc3339,
)

MOMENTS = st.datetimes(timezones=st.just(UTC))
# A day from both ends of the calendar: the time exists in UTC, too.
ZONED = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@given(MOMENTS)
def test_a_written_moment_reads_as_itself(moment: datetime) -> None:
    assert parse_rfc3339(format_rfc3339(moment)) == moment.replace(microsecond=0)
    assert parse_rfc3339(format_rfc3339_micros(moment)) == moment
    assert format_rfc3339(moment).endswith("Z")


@given(st.none() | MOMENTS.map(lambda moment: moment.replace(microsecond=0)))
def test_a_tag_is_written_as_it_was_read(moment: datetime | None) -> None:
    text = format_or_empty(moment)
    assert format_or_empty(parse_or_none(text)) == text
    assert parse_or_none(text) == moment


@given(ZONED)
def test_every_zone_is_read_as_utc(time: datetime) -> None:
    moment = parse_rfc3339(time.isoformat())
    assert moment == time
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-22T08:00:00Z", "2026-11-22t08:00:00z", "2026-11-22T10:00:00+02:00"),
        *("2026-11-22T08:00:00.000Z", "2026-11-22 08:00+00:00"),
    ],
)
def test_spellings_of_one_moment(text: str) -> None:
    assert parse_or_none(text) == datetime(2026, 11, 22, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "never", "2026-11-22", "2026-11-22T08:00:00", "2026-13-40T00:00:00Z"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_what_is_no_moment(text: str) -> None:
    assert parse_or_none(text) is None
    with pytest.raises(ValueError):  # noqa: PT011
        parse_rfc3339(text)
