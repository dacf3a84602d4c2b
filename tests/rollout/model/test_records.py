"""Moments in records: datetimes inside, RFC 3339 text in the journal."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.records import Kept, Promoted, read_record
from tests.rollout.fakes import record

END = datetime(2026, 12, 1, 8, tzinfo=UTC)
SECONDS = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0))


def kept(former: datetime | None, until: datetime = END) -> Kept:
    return Kept(color="blue", former=former, until=until, reason="")


def test_the_journal_has_moments_as_text() -> None:
    assert record(Promoted(active_color="green", keep_until=END)).as_json()["keep_until"] == "2026-12-01T08:00:00Z"
    fields = record(kept(None)).as_json()
    assert (fields["former"], fields["until"]) == ("", "2026-12-01T08:00:00Z")


@given(former=st.none() | SECONDS, until=SECONDS)
def test_what_is_written_is_read_back(former: datetime | None, until: datetime) -> None:
    written = record(kept(former, until))
    assert read_record(written.as_json()) == written


@pytest.mark.parametrize("changes", [{"until": ""}, {"until": "never"}, {"former": "2026-12-01T08:00:00"}, {"at": ""}])
def test_what_is_no_moment_is_no_record(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"record 1 \(kept\)"):
        read_record({**record(kept(None)).as_json(), **changes})
