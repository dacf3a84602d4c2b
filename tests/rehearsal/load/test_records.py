"""The functions behind the counts that a rehearsal reports."""

from dataclasses import replace
from pathlib import Path

from rehearsal.load.records import (
    Record,
    by_color,
    by_release,
    last_started_at,
    open_streams,
    percentile,
    read_records,
    started_between,
    summarize,
    with_colors,
)

GOOD = Record(
    id="good",
    started_at=100.0,
    stream=True,
    status=200,
    color="blue",
    release="aaaaaaaaaaaa",
    ttft_seconds=0.1,
    duration_seconds=2.0,
    chunks=20,
    complete=True,
    finish_reason="stop",
    error=None,
)
WHOLE = replace(GOOD, id="whole", stream=False, started_at=101.0, ttft_seconds=None)
CUT = replace(GOOD, id="cut", started_at=102.0, complete=False, finish_reason=None, error="stream ended without [DONE]")
REFUSED = replace(
    GOOD, id="refused", started_at=103.0, status=500, color=None, release=None, complete=False, error="HTTP 500"
)
GREEN = replace(GOOD, id="green", started_at=104.0, color="green", release="bbbbbbbbbbbb", ttft_seconds=0.3)
ALL = [GOOD, WHOLE, CUT, REFUSED, GREEN]


def test_failures_and_broken_streams_are_counted_separately() -> None:
    counts = summarize(ALL)
    assert (counts.total, counts.failed, counts.streams, counts.streams_broken) == (5, 2, 4, 1)
    assert not GOOD.failed
    assert CUT.broken
    assert REFUSED.failed
    assert not REFUSED.broken, "it never began"


def test_an_aborted_answer_with_status_200_is_a_failure() -> None:
    aborted = replace(WHOLE, complete=False, finish_reason="abort", error="finish_reason abort")
    assert summarize([aborted]).failed == 1


def test_records_are_grouped_by_colour_and_release() -> None:
    assert {color: counts.total for color, counts in by_color(ALL).items()} == {"blue": 3, "green": 1, None: 1}
    assert by_release(ALL)["bbbbbbbbbbbb"].ttft_p95_seconds == 0.3


def test_the_load_balancers_log_gives_the_colour_of_an_error() -> None:
    attributed = by_color(with_colors(ALL, {"refused": "green", "good": "green"}))
    assert attributed["green"].failed == 1
    assert attributed["blue"].total == 3, "an answer's own colour takes precedence"


def test_a_window_selects_requests_by_their_start() -> None:
    assert started_between(ALL, 101.0, 103.0) == [WHOLE, CUT]
    assert last_started_at(ALL, "green") == 104.0
    assert last_started_at([GOOD], "green") is None


def test_open_streams_are_those_begun_and_not_ended() -> None:
    assert open_streams(ALL, 101.5) == 1, "the whole answer is not a stream"
    assert open_streams(ALL, 105.0) == 1 + open_streams(ALL, 105.0, "blue")
    assert open_streams(ALL, 200.0) == 0


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([], 95) is None
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(value) for value in range(1, 101)], 95) == 95.0


def test_an_unfinished_file_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text(GOOD.line() + "\n" + GREEN.line() + "\n" + WHOLE.line()[:20])
    assert read_records(file) == [GOOD, GREEN]
    file.write_text("")
    assert read_records(file) == []
