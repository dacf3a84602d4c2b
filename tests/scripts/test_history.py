"""The list of rollouts, and long lines: nothing is lost, in a pipe or on a terminal."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from rollout.model.records import Note
from scripts import console, history
from tests.rollout.fakes import record

WHY = "ttft_p95: p95 2.425 s over 54 requests (limit 0.364 s): slower than 1.5 times the active colour"


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    shown = io.StringIO()
    terminal = Console(file=shown, width=width, force_terminal=True, color_system=None, soft_wrap=True, highlight=False)
    monkeypatch.setattr(console, "console", terminal)
    return shown


def table() -> Table:
    found = history.table_of([])
    found.add_row("2026-11-28T18:30:01Z", "4f1c09ab77de", "60adc14628b1 onto green", "rolled_back", "1 min 43 s", WHY)
    return found


def test_without_a_terminal_each_row_is_one_whole_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table(table())
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["began", "id", "what", "outcome", "took", "why"]
    assert row.endswith(f"60adc14628b1 onto green  rolled_back  1 min 43 s  {WHY}")


def test_on_a_narrow_terminal_a_cell_goes_on_in_the_next_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_a_terminal(monkeypatch, 80)
    console.print_table(table())
    lines = shown.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "why" in lines[0]
    column = lines[0].index("why")
    assert "".join(line[column:].replace(" ", "") for line in lines[1:]) == WHY.replace(" ", "")


def test_a_line_of_progress_breaks_at_spaces_and_keeps_long_words_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_a_terminal(monkeypatch, 40)
    text = "a replica of the candidate is not ready after a while, and nobody says why"
    console.RecordLines(console.console).show(record(Note(text=text)))
    lines = [line.strip() for line in shown.getvalue().splitlines()]
    assert len(lines) > 2
    assert " ".join(lines).endswith(text)
    url = f"https://{'x' * 60}.example"
    console.RecordLines(console.console).show(record(Note(text=f"the reason is at {url}")))
    assert shown.getvalue().endswith(f"the reason is at {url}\n")
