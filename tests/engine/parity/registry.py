"""The list of scenarios: functions that drive one stack and check what happens."""

from collections.abc import Callable

from tests.engine.parity.driver import Driver

Scenario = Callable[[Driver], None]

SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Add a function to the list."""
    assert function.__name__ not in SCENARIOS
    SCENARIOS[function.__name__] = function
    return function
