"""The fault matrix on fakes: every fault at every moment, by some variants of each. `make faults` runs them all."""

import pytest

from tests.faults.__main__ import main
from tests.faults.cells import CELLS, Cell, Fault, Lasting, Moment, allowed, parse_cells
from tests.faults.fake_cells import run_cell, variants

# Of up to 36: all of them take seven minutes.
MOST = 4


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_rollout_with_a_fault_ends_in_an_allowed_way_and_loses_no_request(cell: Cell) -> None:
    trials = run_cell(cell, most=MOST)
    assert {trial.lasting for trial in trials} == set(Lasting)
    assert [str(trial) for trial in trials if trial.problems] == []


def test_some_variants_of_each_cell_still_try_every_way_and_phase_of_each_fault() -> None:
    for fault in Fault:
        cells = [cell for cell in CELLS if cell.fault is fault]
        every = {(way.phase, name) for cell in cells for way, name in variants(cell)}
        tried = {(way.phase, name) for cell in cells for way, name in variants(cell, most=MOST)}
        assert {name for _, name in tried} == {name for _, name in every}
        assert {phase for phase, _ in tried} == {phase for phase, _ in every}


def test_every_cell_allows_at_least_one_outcome_but_not_all() -> None:
    for cell in CELLS:
        for lasting in Lasting:
            assert 0 < len(allowed(cell, lasting)) < 6


def test_cells_are_chosen_by_fault_and_moment() -> None:
    assert parse_cells("alb-lag:step-1") == (Cell(Fault.ALB_LAG, Moment.STEP_1),)
    assert parse_cells("alb-lag") == parse_cells("alb-lag:*") == tuple(Cell(Fault.ALB_LAG, each) for each in Moment)
    assert len(parse_cells("*:reaping")) == len(Fault)
    assert len(parse_cells("alb-lag:reaping,*:reaping")) == len(Fault)


@pytest.mark.parametrize("words", ["", "alb", "alb-lag:never", "alb-lag:"])
def test_an_unknown_cell_is_named(words: str) -> None:
    with pytest.raises(ValueError, match=r"is not a cell; write FAULT:MOMENT with a fault of aws-throttling"):
        parse_cells(words)


def test_the_command_names_the_cells_that_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tests.faults", "--cells", "nonsense"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "'nonsense' is not a cell" in error
    assert all(name in error for name in (*Fault, *Moment))
