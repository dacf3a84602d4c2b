"""What can and what cannot be written into a stale config file."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.settings import ServiceSettings
from components.domain.balancer.traffic import ColorState
from rollout.model.rule import LiveRule
from rollout.steps.drift import adopted, adoption_violations
from tests.rollout.fakes import ARNS, NEW, OLD, World

BOTH = {
    "blue": {"replicas": 2, "release": OLD.model_dump(mode="json")},
    "green": {"replicas": 2, "release": NEW.model_dump(mode="json")},
}


def stale(**changes: Any) -> ServiceSettings:
    return World(**{**BOTH, **changes}).config.read()


def live(**changes: Any) -> LiveRule:
    rule = LiveRule(
        arn="arn:rule",
        weights={"blue": 0, "green": 100},
        target_groups=ARNS,
        active_color="green",
        keep_until=datetime(2026, 12, 1, tzinfo=UTC),
        rollout_serial=9,
        colors={
            "blue": ColorState(release_id=OLD.release_id, replicas=2),
            "green": ColorState(release_id=NEW.release_id, replicas=2),
        },
    )
    return replace(rule, **changes)


def test_a_promotion_that_the_file_missed_is_written_into_it() -> None:
    assert list(adoption_violations(stale(), live())) == []
    assert adopted(stale(), live()) == {
        "green_weight": 100,
        "active_color": "green",
        "keep_until": "2026-12-01T00:00:00Z",
        "rollout_serial": 9,
    }


def test_a_reap_that_the_file_missed_parks_the_colour() -> None:
    colors = {"blue": ColorState(release_id=OLD.release_id), "green": ColorState(release_id=NEW.release_id, replicas=4)}
    edits = adopted(stale(), live(colors=colors))
    assert edits["blue.parked"] is True
    assert edits["green.replicas"] == 4


def test_a_colour_that_serves_has_its_nodes() -> None:
    green = {**BOTH["green"], "parked": True, "provisioned": False}
    edits = adopted(stale(green=green), live())
    assert (edits["green.parked"], edits["green.provisioned"]) == (False, True)


def test_a_file_that_is_right_stays_as_it_is() -> None:
    world = World()
    assert adopted(world.config.read(), world.rule()) == {}


@pytest.mark.parametrize(
    ("settings", "rule", "message"),
    [
        ({"rollout_serial": 10}, {}, "rollout_serial: the file says 10, the live rule 9: the file is not stale"),
        ({}, {"active_color": None}, "active_color: the live rule has no tag for it"),
        (
            {},
            {"keep_until": None, "unreadable_keep_until": "never"},
            "keep_until: the live rule's tag has 'never', which is no RFC 3339 time",
        ),
        ({}, {"weights": {"blue": 1, "green": 1}}, "green_weight: the live rule splits"),
        ({"green": {"replicas": 2}}, {}, f"green.release: the file has none, live is {NEW.release_id}"),
    ],
)
def test_what_cannot_be_adopted(settings: dict[str, Any], rule: dict[str, Any], message: str) -> None:
    (violation,) = adoption_violations(stale(**settings), live(**rule))
    assert violation.startswith(message)


@given(weight=st.integers(0, 100), serial=st.integers(1, 50), rolling_out=st.booleans())
def test_after_it_nothing_is_left_to_adopt(weight: int, serial: int, rolling_out: bool) -> None:
    world = World(**BOTH)
    rule = live(weights={"blue": 100 - weight, "green": weight}, rollout_serial=serial, rolling_out=rolling_out)
    world.config.edit(adopted(world.config.read(), rule))
    assert adopted(world.config.read(), rule) == {}
    assert rule.splits(world.config.read().green_weight)
