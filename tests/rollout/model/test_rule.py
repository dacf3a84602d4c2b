"""What a rollback may set at once, by the weighted rule's tags and the targets' health."""

from dataclasses import replace

import pytest

from components.domain.balancer.traffic import ColorState
from components.domain.capacity.ladder import SharedCapacity
from components.domain.naming import Color
from rollout.model.rule import LiveRule

CAPACITY = SharedCapacity(replicas=4, surge=1, max_utilization_percent=105)


def rule(green: int, running: dict[Color, int], capacity: SharedCapacity | None = CAPACITY) -> LiveRule:
    return LiveRule(
        arn="arn:rule",
        weights={"blue": 100 - green, "green": green},
        target_groups={"blue": "arn:blue", "green": "arn:green"},
        active_color="blue",
        keep_until=None,
        rollout_serial=7,
        colors={color: ColorState(release_id="0a", replicas=count) for color, count in running.items()},
        capacity=capacity,
    )


def never(color: Color) -> int:
    raise AssertionError(f"nobody needs the health of {color}")


@pytest.mark.parametrize(("to", "green"), [("blue", 0), ("green", 100)])
def test_a_colour_that_has_given_up_nothing_gets_everything_whatever_its_health(to: Color, green: int) -> None:
    running: dict[Color, int] = {"blue": 4, "green": 4}
    assert rule(50, running).weight_back(to, never) == green
    assert rule(50, {"blue": 1, "green": 1}, None).weight_back(to, never) == green
    assert rule(50, {}).weight_back(to, never) == green


@pytest.mark.parametrize(
    ("before", "running", "healthy", "back"),
    [
        (100, {"blue": 1, "green": 4}, {"blue": 1, "green": 4}, 74),
        (75, {"blue": 2, "green": 3}, {"blue": 2, "green": 3}, 48),
        (75, {"blue": 2, "green": 3}, {"blue": 1, "green": 3}, 74),
        (50, {"blue": 2, "green": 3}, {"blue": 1, "green": 3}, 50),
        (100, {"blue": 1, "green": 4}, {"blue": 1, "green": 0}, 0),
    ],
)
def test_a_colour_that_has_given_up_replicas_gets_what_the_healthy_ones_carry(
    before: int, running: dict[Color, int], healthy: dict[Color, int], back: int
) -> None:
    assert rule(before, running).weight_back("blue", lambda color: healthy[color]) == back


def test_a_colour_whose_last_replicas_are_still_starting_gets_what_the_others_carry() -> None:
    healthy: dict[Color, int] = {"blue": 3, "green": 1}
    running: dict[Color, int] = {"blue": 4, "green": 1}
    assert rule(48, running).weight_back("blue", lambda color: healthy[color], starting=True) == 22


@pytest.mark.parametrize(("starting", "back"), [(True, 22), (False, 0)])
def test_a_rule_alone_says_that_the_last_replicas_are_still_starting(starting: bool, back: int) -> None:
    healthy: dict[Color, int] = {"blue": 3, "green": 1}
    told = rule(48, {"blue": 4, "green": 1})
    blue = replace(told.colors["blue"], starting=starting)
    assert replace(told, colors={**told.colors, "blue": blue}).weight_back("blue", lambda color: healthy[color]) == back
