"""The floors of two colours that an autoscaler resizes while a rollout moves traffic between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.capacity.capacity import replicas_for_weight
from components.domain.capacity.floors import ScaledColor, Scaling, first_floor, full_replicas, next_floors
from components.domain.naming import Color

Colors = dict[Color, ScaledColor]

SCALING = Scaling(min_replicas=2, max_replicas=12)


def colors(outgoing: tuple[int, int], candidate: tuple[int, int], percent: int) -> Colors:
    """Each colour as (replicas, floor), with the candidate's share: blue serves, and green is the candidate."""
    return {
        "blue": ScaledColor(replicas=outgoing[0], floor=outgoing[1], percent=100 - percent),
        "green": ScaledColor(replicas=candidate[0], floor=candidate[1], percent=percent),
    }


@pytest.mark.parametrize(
    ("replicas", "floor", "first"),
    [
        pytest.param(6, 2, 6, id="what the outgoing colour runs, not the minimum"),
        pytest.param(1, 2, 2, id="one pod is gone for a moment"),
        pytest.param(4, 6, 6, id="the floor of an earlier try"),
        pytest.param(14, 2, 12, id="pods of an update beyond the ceiling"),
    ],
)
def test_a_rollout_begins_with_what_the_outgoing_colour_runs(replicas: int, floor: int, first: int) -> None:
    assert first_floor(ScaledColor(replicas=replicas, floor=floor, percent=100), SCALING) == first


@pytest.mark.parametrize(
    ("outgoing", "candidate", "percent", "to", "floors"),
    [
        pytest.param((6, 6), (6, 6), 25, 50, (6, 6), id="the load has not grown"),
        pytest.param((9, 6), (6, 6), 25, 50, (12, 6), id="the load has doubled at 25 %: 9 for 75 % are 12 for all"),
        pytest.param((6, 6), (9, 6), 75, 100, (12, 12), id="the candidate has grown with its 75 %"),
        pytest.param((12, 6), (6, 6), 50, 100, (12, 12), id="24 would be needed, and 12 is the ceiling"),
        pytest.param((6, 6), (7, 6), 1, 25, (6, 6), id="one busy replica with 1 % says nothing about all"),
        pytest.param((7, 6), (6, 6), 5, 50, (8, 6), id="a little more: the candidate's floor is enough for half"),
    ],
)
def test_floors_follow_the_load_before_the_weight_rises(
    outgoing: tuple[int, int], candidate: tuple[int, int], percent: int, to: int, floors: tuple[int, int]
) -> None:
    now = colors(outgoing, candidate, percent)
    found = next_floors(now, candidate="green", percent=to, scaling=SCALING)
    assert (found["blue"], found["green"]) == floors
    assert next(iter(found)) == "green", "the candidate first: its share of the outgoing colour's floor must hold"


@st.composite
def scaled(draw: st.DrawFn) -> tuple[Colors, Scaling, int]:
    least = draw(st.integers(1, 64))
    scaling = Scaling(min_replicas=least, max_replicas=draw(st.integers(least, 128)))
    first = draw(st.integers(scaling.min_replicas, scaling.max_replicas))
    percent = draw(st.integers(0, 99))
    outgoing_floor = draw(st.integers(first, scaling.max_replicas))
    needed = max(first, replicas_for_weight(percent, outgoing_floor))
    candidate_floor = draw(st.integers(needed, max(needed, outgoing_floor)))
    replicas = st.integers(1, scaling.max_replicas)
    now = colors((draw(replicas), outgoing_floor), (draw(replicas), candidate_floor), percent)
    return now, scaling, draw(st.integers(percent + 1, 100))


@given(scaled())
def test_no_floor_falls_and_each_colour_has_what_its_share_needs(
    case: tuple[Colors, Scaling, int],
) -> None:
    now, scaling, to = case
    found = next_floors(now, candidate="green", percent=to, scaling=scaling)
    assert all(found[color] >= now[color].floor for color in found)
    assert all(scaling.min_replicas <= floor <= scaling.max_replicas for floor in found.values())
    # The way back: the outgoing colour carries everything that both run for, and the policy on weights holds.
    assert found["blue"] == full_replicas(now, scaling)
    assert found["green"] >= replicas_for_weight(to, found["blue"])
    # Between the two updates too, at the weight before.
    assert found["green"] >= replicas_for_weight(now["green"].percent, found["blue"])


@given(scaled())
def test_asking_again_changes_nothing(case: tuple[Colors, Scaling, int]) -> None:
    now, scaling, to = case
    first = next_floors(now, candidate="green", percent=to, scaling=scaling)
    after: Colors = {
        color: ScaledColor(replicas=max(now[color].replicas, floor), floor=floor, percent=now[color].percent)
        for color, floor in first.items()
    }
    if all(after[color].replicas == first[color] for color in after):
        assert next_floors(after, candidate="green", percent=to, scaling=scaling) == first
