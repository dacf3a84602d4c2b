"""One list of scenarios on the embedded engine, and on the real Pulumi CLI where there is one: both must agree."""

import difflib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import real_pulumi
from tests.engine.parity import (
    components,
    interruptions,
    lifecycle,
    options,
    policies,
    programs,
    providers,
    refusals,
    targeting,
)
from tests.engine.parity.comparison import comparable
from tests.engine.parity.driver import Driver
from tests.engine.parity.registry import SCENARIOS

_MODULES = (components, interruptions, lifecycle, options, policies, programs, providers, refusals, targeting)
_EMBEDDED: dict[str, Driver] = {}
"""What the embedded engine did, so that one test process runs each scenario on it once."""


def _embedded(name: str, folder: Path) -> Driver:
    if name not in _EMBEDDED:
        driver = Driver(folder / "embedded", "embedded")
        SCENARIOS[name](driver)
        _EMBEDDED[name] = driver
    return _EMBEDDED[name]


def _hand_over(giver: Driver, taker: Driver) -> None:
    """Import the largest state that one engine wrote into the other, which checks its integrity."""
    states: list[dict[str, Any]] = [outcome.checkpoint.get("latest") or {} for outcome in giver.transcript]
    largest = max(states, key=_size)
    path = taker.world.root / "taken.json"
    path.write_text(json.dumps({"version": 3, "deployment": largest}), encoding="utf-8")
    taker.command("stack", "import", "--file", str(path))


def _size(state: dict[str, Any]) -> int:
    return len(state.get("resources") or [])


@pytest.mark.usefixtures("fork_server")
@pytest.mark.parametrize("name", SCENARIOS)
def test_embedded(name: str, tmp_path: Path) -> None:
    _embedded(name, tmp_path)


@pytest.mark.usefixtures("fork_server")
@pytest.mark.skipif(real_pulumi() is None, reason="no real Pulumi CLI on PATH or in REHEARSAL_REAL_PULUMI")
@pytest.mark.parametrize("name", SCENARIOS)
def test_parity(name: str, tmp_path: Path) -> None:
    embedded = _embedded(name, tmp_path)
    real = Driver(tmp_path / "real", "real")
    SCENARIOS[name](real)
    left, right = (
        json.dumps(comparable(driver.transcript), indent=1, sort_keys=True, ensure_ascii=False).splitlines()
        for driver in (embedded, real)
    )
    _hand_over(embedded, real)
    _hand_over(real, embedded)
    difference = "\n".join(difflib.unified_diff(left, right, "embedded", "real", lineterm="", n=12))
    assert not difference, difference
