"""What is said when config file and rule differ: the fix never sends requests to a colour that was just left."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.config.settings import ServiceSettings
from components.domain.naming import COLORS, Color
from rollout.model.rule import LiveRule
from rollout.steps.drift import adoption_violations, config_drift
from tests.components.example import service_settings
from tests.rollout.fakes import ARNS
from tests.rollout.steps.test_adoption import BOTH

RULE = LiveRule(
    arn="arn:rule",
    weights={"blue": 100, "green": 0},
    target_groups=ARNS,
    active_color="blue",
    keep_until=None,
    rollout_serial=7,
)


def settings_with(**changes: Any) -> ServiceSettings:
    return service_settings(**BOTH, **changes)


WEIGHTS = st.sampled_from([0, 1, 25, 99, 100])


@given(
    live=WEIGHTS,
    written=WEIGHTS,
    active=st.sampled_from(COLORS),
    tagged=st.sampled_from([*COLORS, None]),
    serial=st.integers(6, 8),
    rolling_out=st.booleans(),
)
def test_pulumi_up_is_the_fix_only_where_it_moves_no_traffic(
    live: int, written: int, active: Color, tagged: Color | None, serial: int, *, rolling_out: bool
) -> None:
    settings = settings_with(green_weight=written, active_color=active, rollout_serial=serial, rolling_out=rolling_out)
    rule = replace(RULE, weights={"blue": 100 - live, "green": live}, active_color=tagged)
    said = " ".join([*config_drift(settings, rule), *adoption_violations(settings, rule)])
    assert "{" not in said
    for advice in ("run `pulumi up`, which", "Run `pulumi up`"):
        assert live == written or advice not in said


def test_a_rollback_that_was_killed_is_finished_by_another_one() -> None:
    settings = settings_with(green_weight=100, active_color="green", rollout_serial=7)
    undone = replace(RULE, active_color="green", keep_until=datetime(2026, 12, 1, tzinfo=UTC))
    (said,) = config_drift(settings, undone)
    assert said.startswith(
        "green_weight: the config file says 100, the live rule splits blue 100, green 0; scripts.rollba"
    )
    ramp = settings_with(green_weight=75, active_color="blue", rollout_serial=7, rolling_out=True)
    (said,) = config_drift(ramp, RULE)
    assert "scripts.rollback brings them in line" in said


def test_a_weight_that_somebody_edited_is_set_back_in_the_file() -> None:
    (said,) = config_drift(settings_with(green_weight=50, active_color="blue", rollout_serial=7), RULE)
    assert "set it back to 0" in said
    assert "scripts.rollback" not in said  # it would undo a promotion whose way back is warm
