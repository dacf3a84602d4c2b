"""The rehearsal's settings come from variables. A wrong one is named."""

import pytest

from rehearsal.world.settings import RehearsalSettings, RehearsalSettingsError


def test_without_variables_the_defaults_apply() -> None:
    assert RehearsalSettings.from_environment({}) == RehearsalSettings()


def test_variables_are_read() -> None:
    settings = RehearsalSettings.from_environment(
        {"REHEARSAL_OPEN_STREAMS": "40", "REHEARSAL_WEIGHT_LAG_SECONDS": "5", "REHEARSAL_OTHER": "x"}
    )
    assert (settings.open_streams, settings.weight_lag_seconds) == (40, 5)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REHEARSAL_OPEN_STREAMS", "many"),
        ("REHEARSAL_REQUESTS_PER_SECOND", "0"),
        ("REHEARSAL_WEIGHT_LAG_SECONDS", "-1"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(variable: str, value: str) -> None:
    with pytest.raises(RehearsalSettingsError, match=f"{variable}={value}"):
        RehearsalSettings.from_environment({variable: value})


def test_a_server_other_than_the_stand_in_is_asked_what_any_server_can_answer() -> None:
    assert RehearsalSettings().runs_the_stand_in
    assert not RehearsalSettings(pod_command="vllm serve").runs_the_stand_in
