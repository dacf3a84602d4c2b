"""Faults while the colours of a ladder change places: nothing is lost, and there are never too many replicas."""

import pytest

from tests.faults.cells import Fault
from tests.faults.fake_rungs import AT_RUNGS

# Of up to 16: all of them take more than a minute.
MOST = 3


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_a_fault_on_a_ladder_ends_in_an_allowed_way_and_loses_no_request(fault: Fault) -> None:
    trials = list(AT_RUNGS.run(fault, most=MOST))
    assert trials
    assert [str(trial) for trial in trials if trial.problems] == []
