"""Every fault while the colours of a ladder change places: nothing is lost, and there are never too many replicas."""

import pytest

from tests.faults.cells import Fault
from tests.faults.fake_rungs import run_at_rungs


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_a_fault_on_a_ladder_ends_in_an_allowed_way_and_loses_no_request(fault: Fault) -> None:
    trials = [str(trial) for trial in run_at_rungs(fault) if trial.problems]
    assert "\n".join(trials) == ""
