"""The live status fits on one screen, in every phase, and shows what one needs to decide."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from rollout.model.errors import RolloutError
from rollout.model.machine import Phase
from rollout.model.records import Record
from rollout.model.verdict import Verdict
from rollout.report.facts import Reading, Readings
from rollout.report.progress import progress_of
from rollout.status import ColorStatus, Status
from scripts import status_screen
from scripts.status import show
from tests.rollout.fakes import START, World
from tests.rollout.report.test_read import ramp

WIDTH, HEIGHT = 100, 30


def color(weight: int) -> ColorStatus:
    return ColorStatus(
        weight=weight,
        release_id="60adc14628b1",
        parked=False,
        nodes_wanted=True,
        replicas_ready=2,
        replicas_wanted=2,
        targets_healthy=2,
        targets_total=2,
    )


def status(*problems: str, under_way: str | None = None) -> Status:
    return Status(
        service="chat",
        active_color="blue",
        green_weight_of_rule=25,
        green_weight_of_config=25,
        serial_of_rule=3,
        serial_of_config=3,
        agree=True,
        keep_until=START + timedelta(days=1),
        kept="blue: 2 nodes up, about 4.48 USD an hour",
        usd_per_hour_kept=4.48,
        usd_so_far_kept=1.0,
        brought_up=None,
        colors={"blue": color(75), "green": color(25)},
        rollout_under_way=under_way,
        last_rollout=None,
        problems=problems,
    )


def shown(found: Status, records: Sequence[Record]) -> list[str]:
    console = Console(width=WIDTH, record=True, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115, PTH123
    now = records[-1].at + timedelta(seconds=3) if records else START
    console.print(status_screen.view(found, progress_of(records, now), now))
    return console.export_text().splitlines()


@pytest.fixture(scope="module")
def journal() -> list[Record]:
    world = World()
    ramp(world)
    return world.journal.kept


@pytest.mark.slow
def test_every_moment_of_a_rollout_fits_on_one_screen(journal: list[Record]) -> None:
    for length in range(0, len(journal), 5):
        lines = shown(status("the load balancer does not answer", under_way="ramp"), journal[:length])
        assert len(lines) <= HEIGHT
        assert all(len(line) <= WIDTH for line in lines)


def test_replicas_of_an_autoscaler_are_shown_with_its_bounds() -> None:
    scaled = replace(color(25), replicas_ready=3, replicas_most=6)
    text = "\n".join(shown(replace(status(), colors={"blue": color(75), "green": scaled}), []))
    assert "3 of 2 to 6" in text
    assert "2 of 2 " in text


def test_a_hold_shows_its_gates_and_the_time_left(journal: list[Record]) -> None:
    last = [place for place, one in enumerate(journal) if one.phase is Phase.HOLDING and one.body.kind == "verdict"][-1]
    text = "\n".join(shown(status(), journal[: last + 1]))
    assert "holding for 1 min" in text
    assert "step of 100 %: 3.0 s over its planned end, " in text
    assert "without a verdict at the latest in" in text
    assert "100 % asked, 100.0 % counted" in text
    for gate in ("targets", "error_rate", "ttft_p95", "queue_depth", "target_group_errors"):
        assert gate in text
    assert "░░░░░░░░░░" in text
    assert "p95 0.242 s over" in text


def test_a_hold_that_goes_on_after_its_planned_end_says_by_how_much_it_is_over(journal: list[Record]) -> None:
    last = [place for place, one in enumerate(journal) if one.phase is Phase.HOLDING and one.body.kind == "verdict"][-1]
    progress = progress_of(journal[: last + 1], journal[last].at + timedelta(hours=1))
    assert progress is not None
    text = "\n".join(status_screen._running(progress))  # pyright: ignore[reportPrivateUsage]
    assert " min" in text
    assert " over its planned end, without a verdict at the latest in " in text
    assert "planned end in" not in text


def test_a_cell_that_was_cut_ends_with_an_ellipsis() -> None:
    console = Console(width=WIDTH, record=True, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115, PTH123
    reason = "0 of 312 requests failed (0.00 %, limit 2 %), 0 of 2913 of the active colour (0.00 %)"
    reading = Reading(at=START, verdict=Verdict.PASS, reason=reason)
    gates = [Readings(name=name, dry_run=False, readings=(reading,)) for name in ("error_rate", "target_group_errors")]
    console.print(status_screen._gates(gates))  # pyright: ignore[reportPrivateUsage]
    _, *rows = console.export_text().splitlines()
    assert [row.rstrip()[-1] for row in rows] == ["…", "…"]


def test_between_rollouts_it_shows_the_way_back(journal: list[Record]) -> None:
    text = "\n".join(shown(status(), journal))
    assert "the way back stays warm for" in text
    assert "4.48 USD an hour" in text
    assert "problem" not in text


@pytest.mark.parametrize("width", [80, 100])
def test_no_cell_of_the_colours_is_cut(width: int) -> None:
    console = Console(width=width, record=True, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115, PTH123
    parked = replace(color(0), parked=True, nodes_wanted=False)
    console.print(status_screen.colors(replace(status(), colors={"blue": color(100), "green": parked})))
    text = console.export_text()
    assert "…" not in text
    for word in ("colour", "weight", "replicas", "targets", "nodes", "60adc14628b1", "(parked)", "given", "back"):
        assert word in text


def test_in_a_pipe_every_row_is_one_whole_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(replace(status(), colors={"blue": replace(color(0), parked=True, nodes_wanted=False), "green": color(100)}))
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split("  ")[-1].strip() == "nodes"
    assert rows[2].startswith("blue")
    assert rows[2].endswith("given back")


def test_markup_in_a_problem_is_only_text() -> None:
    assert "problem: [bold]x" in "\n".join(shown(status("[bold]x"), []))


def test_without_a_terminal_new_lines_are_printed_until_ctrl_c(
    journal: list[Record], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([journal[:20], journal[:30], RolloutError("the store is down"), journal])

    def read() -> list[Record]:
        found = next(looks, None)
        if found is None:
            raise KeyboardInterrupt
        if isinstance(found, RolloutError):
            raise found
        return found

    def at_once(_: float) -> None: ...

    monkeypatch.setattr("scripts.status_screen.time.sleep", at_once)
    status_screen.watch(status, read, every_seconds=1)
    text = capsys.readouterr().out
    assert text.count("chat: blue is active") == 1
    assert "the store is down" in text
    assert "promoted" in text
    assert text.rstrip().endswith("no longer watching; what runs goes on")
