"""Faults while an autoscaler's floors move: nothing is lost, and no weight rises before the replicas for it."""

import pytest

from tests.faults.cells import Fault
from tests.faults.fake_floors import AT_FLOORS

# Of up to 24: all of them take minutes.
MOST = 3


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_a_fault_while_floors_move_ends_in_an_allowed_way_and_loses_no_request(fault: Fault) -> None:
    trials = list(AT_FLOORS.run(fault, most=MOST))
    assert trials
    assert [str(trial) for trial in trials if trial.problems] == []
