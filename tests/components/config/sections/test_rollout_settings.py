"""How a rollout behaves by default, and which ramps are refused."""

import pytest
from pydantic import ValidationError

from components.config.sections.rollout_settings import RolloutSettings


def test_the_defaults_ramp_in_four_steps_within_half_an_hour_to_an_hour_and_stay_warm_for_a_day() -> None:
    defaults = RolloutSettings()
    assert [step.candidate_percent for step in defaults.steps] == [1, 25, 75, 100]
    assert 300 <= defaults.steps[0].hold_seconds <= 600
    assert 1800 <= sum(step.hold_seconds for step in defaults.steps) <= 3600
    assert 900 <= defaults.soak_seconds <= 1800
    assert defaults.keep_warm_seconds == 24 * 3600


@pytest.mark.parametrize("shares", [[25, 1, 100], [1, 25, 25, 100], [1, 25, 75], []])
def test_a_ramp_rises_and_ends_at_full_traffic(shares: list[int]) -> None:
    steps = [{"candidate_percent": share, "hold_seconds": 60} for share in shares]
    with pytest.raises(ValidationError, match="steps"):
        RolloutSettings.model_validate({"steps": steps})
