"""The change guards against an oracle: every pair of weights; sampled serials, keep-warm windows, announcements."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.balancer.traffic import ColorState, Traffic
from components.domain.capacity.ladder import SharedCapacity
from components.domain.guards import (
    Context,
    DeclaredNodes,
    DeclaredPods,
    DeclaredScaling,
    is_kept_warm,
    nodes_refusal,
    pods_refusal,
    rule_refusal,
    scaling_refusal,
)
from components.domain.moments import format_or_empty, parse_or_none
from components.domain.naming import COLORS, Color, other_color

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
PAST, SOON, LATER = ("2026-11-21T07:59:59Z", "2026-11-21T08:00:01Z", "2026-11-22T08:00:00Z")
SERIAL = 7


@cache
def traffic(
    green: int = 0,
    *,
    active: Color = "blue",
    keep_until: str = "",
    serial: int = SERIAL,
    unknown: tuple[Color, ...] = (),
) -> Traffic:
    # The tests on every pair of weights ask for the same few hundred a million times.
    weights: dict[Color, int] = {"blue": 100 - green, "green": green}
    for color in unknown:
        del weights[color]
    return Traffic(weights=weights, active_color=active, keep_until=parse_or_none(keep_until), rollout_serial=serial)


def context(deployed: Traffic | None, desired: Traffic, announced: str = "", max_step_points: int = 50) -> Context:
    return Context(
        stack="prod",
        service="chat",
        deployed=deployed,
        desired=desired,
        announced=announced,
        max_step_points=max_step_points,
        now=NOW,
    )


# The oracle names colours active and idle, and derives what is allowed from operators' rules, not from the code.


def allowed_at_equal_serial(
    *, idle_before: int, idle_after: int, swapped: bool, kept_warm: bool, shortened: bool, most: int
) -> bool:
    """What a plain update may do to a rule without announcing it."""
    if swapped:
        return kept_warm and idle_after == 100
    if idle_after < idle_before:
        return True
    return idle_after - idle_before <= most and not (kept_warm and shortened)


@pytest.mark.parametrize("active", COLORS)
@pytest.mark.parametrize("most", [1, 25, 50, 100])
def test_every_pair_of_weights_at_an_equal_serial(active: Color, most: int) -> None:
    for before in range(101):
        for after in range(101):
            idle_before, idle_after = (before, after) if active == "blue" else (100 - before, 100 - after)
            judged = rule_refusal(context(traffic(before, active=active), traffic(after, active=active), "", most))
            assert (judged is None) == (idle_after <= idle_before + most), (before, after, judged)


@pytest.mark.parametrize("active", COLORS)
@pytest.mark.parametrize("window", ["", PAST, LATER])
@pytest.mark.slow
def test_every_pair_of_weights_announced_by_a_script_or_stale(active: Color, window: str) -> None:
    for before in range(101):
        for after in range(101):
            deployed = traffic(before, active=active, keep_until=window)
            desired, scripts, behind = (
                traffic(after, active=active, keep_until=window, serial=serial)
                for serial in (SERIAL, SERIAL + 1, SERIAL - 1)
            )
            assert rule_refusal(context(deployed, desired, f"{SERIAL} because", 1)) is None
            assert rule_refusal(context(deployed, scripts, "", 1)) is None
            for announced in ("", f"{SERIAL} because", f"{SERIAL - 1} because"):
                stale = rule_refusal(context(deployed, behind, announced, 100))
                assert stale is not None
                assert "stale" in stale


@pytest.mark.parametrize("active", COLORS)
@pytest.mark.parametrize("announced", ["", f"{SERIAL} because", f"{SERIAL - 1} old", f"{SERIAL + 1} early"])
@pytest.mark.parametrize("serial", [SERIAL, SERIAL + 1])
@pytest.mark.parametrize("window", ["", PAST, LATER])
@pytest.mark.slow
def test_a_rollback_always_passes(active: Color, announced: str, serial: int, window: str) -> None:
    for before in range(1, 101):
        for after in range(before):
            green = (before, after) if active == "blue" else (100 - before, 100 - after)
            for kept in {window, ""}:
                deployed = traffic(green[0], active=active, keep_until=window)
                desired = traffic(green[1], active=active, keep_until=kept, serial=serial)
                assert rule_refusal(context(deployed, desired, announced, 1)) is None


@pytest.mark.parametrize("active", COLORS)
@pytest.mark.parametrize("kept", ["", LATER])
@pytest.mark.parametrize("serial", [SERIAL, SERIAL + 1])
def test_a_rollback_after_promotion_passes_while_the_way_back_is_warm(active: Color, kept: str, serial: int) -> None:
    former = other_color(active)
    back = 100 if former == "green" else 0
    for before in range(101):
        deployed = traffic(before, active=active, keep_until=SOON)
        desired = traffic(back, active=former, keep_until=kept, serial=serial)
        assert rule_refusal(context(deployed, desired, "", 1)) is None


def test_once_the_way_back_is_cold_its_colour_is_one_like_any_other() -> None:
    refusal = rule_refusal(context(traffic(100, active="green", keep_until=PAST), traffic(0, active="blue")))
    assert refusal is not None
    assert "active_color may not go from green to blue" in refusal


@given(
    before=st.integers(0, 100),
    after=st.integers(0, 100),
    actives=st.tuples(st.sampled_from(COLORS), st.sampled_from(COLORS)),
    windows=st.tuples(st.sampled_from(["", PAST, SOON, LATER]), st.sampled_from(["", PAST, SOON, LATER])),
    serials=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    announced=st.none() | st.integers(0, 4),
    most=st.integers(1, 100),
)
def test_the_rule_is_judged_as_the_oracle_does(
    before: int,
    after: int,
    actives: tuple[Color, Color],
    windows: tuple[str, str],
    serials: tuple[int, int],
    announced: int | None,
    most: int,
) -> None:
    deployed = traffic(before, active=actives[0], keep_until=windows[0], serial=serials[0])
    desired = traffic(after, active=actives[1], keep_until=windows[1], serial=serials[1])
    word = "" if announced is None else f"{announced} because"
    if serials[1] != serials[0]:
        expected = serials[1] > serials[0]
    else:
        on_green = actives[0] == "green"
        expected = announced == serials[0] or allowed_at_equal_serial(
            idle_before=100 - before if on_green else before,
            idle_after=100 - after if on_green else after,
            swapped=actives[0] != actives[1],
            kept_warm=windows[0] in (SOON, LATER),
            shortened=(windows[0], windows[1]) not in {(SOON, SOON), (SOON, LATER), (LATER, LATER)},
            most=most,
        )
    assert (rule_refusal(context(deployed, desired, word, most)) is None) == expected


def test_a_new_rule_may_be_anything() -> None:
    for green in range(101):
        assert rule_refusal(context(None, traffic(green, active="green"), "", 1)) is None


def test_weights_of_unknown_target_groups_permit_no_change_that_is_not_announced() -> None:
    cases: tuple[tuple[Color, ...], ...] = (("blue",), ("green",), COLORS)
    for unknown in cases:
        judged = rule_refusal(context(traffic(unknown=unknown), traffic()))
        assert judged is not None
        assert "other target groups" in judged
        assert rule_refusal(context(traffic(unknown=unknown), traffic(), f"{SERIAL} moved")) is None


def test_steps_of_the_standard_ramp_pass_by_hand_except_the_first_that_jumps() -> None:
    for before, after in ((0, 1), (1, 25), (25, 75), (75, 100), (50, 100)):
        assert rule_refusal(context(traffic(before), traffic(after))) is None
    assert rule_refusal(context(traffic(0), traffic(51))) is not None


# Pods and nodes


PODS = DeclaredPods(release_id="aaaa", replicas=3)
NODES = DeclaredNodes(desired=3, maximum=4, made_from={"launchTemplate": "lt-1 3", "instanceTypes": "g6e.2xlarge"})
HARMFUL_PODS = (replace(PODS, release_id="bbbb"), replace(PODS, replicas=2), replace(PODS, replicas=0))
HARMLESS_PODS = (PODS, replace(PODS, replicas=4))
HARMFUL_NODES = (
    replace(NODES, desired=2),
    replace(NODES, desired=0),
    replace(NODES, maximum=2, desired=2),
    replace(NODES, made_from={**NODES.made_from, "launchTemplate": "lt-1 4"}),
    replace(NODES, made_from={**NODES.made_from, "releaseVersion": "1.31-2"}),
    replace(NODES, made_from={**NODES.made_from, "instanceTypes": "g6e.12xlarge"}),
)
HARMLESS_NODES = (NODES, replace(NODES, desired=4), replace(NODES, maximum=3), replace(NODES, maximum=9))


def refusals(color: Color, case: Context, *, harmful: bool = True) -> set[bool]:
    """Whether each change is refused."""
    pods = HARMFUL_PODS if harmful else HARMLESS_PODS
    nodes = HARMFUL_NODES if harmful else HARMLESS_NODES
    return {
        *(pods_refusal(color, PODS, new, case) is not None for new in pods),
        *(nodes_refusal((color,), NODES, new, case) is not None for new in nodes),
    }


def must_stay(color: Color, deployed: Traffic, desired: Traffic) -> bool:
    """The oracle: a colour must stay as it is when it gets requests, before or after, or is kept warm."""
    if deployed.weights[color] + desired.weights[color] > 0:
        return True
    words = [desired] if desired.rollout_serial > deployed.rollout_serial else [deployed, desired]
    return any(word.active_color != color and format_or_empty(word.keep_until) in (SOON, LATER) for word in words)


@given(
    color=st.sampled_from(COLORS),
    greens=st.tuples(st.sampled_from([0, 1, 50, 99, 100]), st.sampled_from([0, 1, 50, 99, 100])),
    actives=st.tuples(st.sampled_from(COLORS), st.sampled_from(COLORS)),
    windows=st.tuples(st.sampled_from(["", PAST, LATER]), st.sampled_from(["", PAST, LATER])),
    serials=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    announced=st.none() | st.integers(0, 3),
)
def test_pods_and_nodes_are_judged_as_the_oracle_does(
    color: Color,
    greens: tuple[int, int],
    actives: tuple[Color, Color],
    windows: tuple[str, str],
    serials: tuple[int, int],
    announced: int | None,
) -> None:
    deployed, desired = (
        traffic(green, active=active, keep_until=window, serial=serial)
        for green, active, window, serial in zip(greens, actives, windows, serials, strict=True)
    )
    case = context(deployed, desired, "" if announced is None else f"{announced} because")
    stale = serials[1] < serials[0]
    permitted = announced == serials[0] == serials[1]
    assert refusals(color, case) == {stale or (not permitted and must_stay(color, deployed, desired))}
    assert refusals(color, case, harmful=False) == {stale}


@pytest.mark.parametrize("green", range(101))
def test_weight_that_is_leaving_in_the_same_update_still_counts(green: int) -> None:
    assert refusals("green", context(traffic(green), traffic(0))) == {green > 0}
    assert refusals("green", context(traffic(0), traffic(green))) == {green > 0}


def test_an_unknown_weight_counts_as_all_traffic() -> None:
    assert refusals("green", context(traffic(0, unknown=("green",)), traffic(0))) == {True}


def test_without_a_rule_the_config_says_what_serves() -> None:
    assert refusals("blue", context(None, traffic(0))) == {True}
    assert refusals("green", context(None, traffic(0))) == {False}


def test_a_script_that_ends_the_window_in_the_same_write_may_park() -> None:
    deployed = traffic(100, active="green", keep_until=LATER)
    ends = traffic(100, active="green", serial=SERIAL + 1)
    assert refusals("blue", context(deployed, ends)) == {False}
    assert refusals("blue", context(deployed, replace(ends, keep_until=deployed.keep_until))) == {True}
    assert refusals("blue", context(deployed, replace(ends, rollout_serial=SERIAL))) == {True}


def test_nodes_of_both_colours_stay_while_either_must() -> None:
    for new in HARMFUL_NODES:
        assert nodes_refusal(COLORS, NODES, new, context(traffic(0), traffic(0)))
        assert nodes_refusal(COLORS, NODES, new, context(traffic(100), traffic(100)))


def test_what_the_program_says_nothing_about_any_more_stays_as_it_is_in_the_cloud() -> None:
    silent = replace(NODES, made_from={"instanceTypes": "g6e.2xlarge"})
    assert nodes_refusal(("blue",), NODES, silent, context(traffic(0), traffic(0))) is None


@pytest.mark.parametrize(
    ("text", "kept_warm"),
    [
        ("", False),
        (LATER, True),
        ("2026-11-21T10:00:00+02:00", False),
        ("2026-11-21T10:00:01+02:00", True),
        (PAST, False),
    ],
)
def test_a_window_is_open_until_its_time_is_over(text: str, kept_warm: bool) -> None:
    assert is_kept_warm(traffic(keep_until=text), NOW) is kept_warm
    assert not is_kept_warm(traffic(keep_until=text), NOW + timedelta(days=2))


STALE = context(traffic(75, serial=9), traffic(25, serial=6))
REFUSALS: Mapping[str, tuple[str | None, str]] = {
    "stale": (
        rule_refusal(STALE),
        "chat: rollout_serial 6 of the config is behind the deployed 9: the config is stale and would undo a rollout.\n"
        "Pull the newest Pulumi.prod.yaml, or write the deployed values into it: rollout_serial 9, green_weight 75, "
        'active_color blue, keep_until "".',
    ),
    "step": (
        rule_refusal(context(traffic(25), traffic(90))),
        "chat: the weight of green, the idle colour, may not go from 25 to 90 in one update: 65 points, and "
        "max_step_points is 50.\n"
        "Go to 75 at most, or use `python -m scripts.ramp --stack prod`, or permit it once: set announced to "
        '"7 <reason>".',
    ),
    "promotion": (
        rule_refusal(context(traffic(100), traffic(100, active="green"))),
        "chat: active_color may not go from blue to green while rollout_serial stays 7.\n"
        "Roll out with `python -m scripts.ramp --stack prod`, which promotes, or permit it once: set announced to "
        '"7 <reason>".',
    ),
    "window": (
        rule_refusal(context(traffic(keep_until=LATER), traffic(keep_until=SOON))),
        f'chat: keep_until may not go from {LATER} to "{SOON}": until then green stays warm.\n'
        'Wait until then, or permit it once: set announced to "7 <reason>".',
    ),
    "release": (
        pods_refusal("blue", PODS, HARMFUL_PODS[0], context(traffic(25), traffic(25))),
        "chat-blue: release may not go from aaaa to bbbb in place: 75 % of requests go to blue.\n"
        "Change the idle colour, with `python -m scripts.ramp --stack prod`, or permit it once: set announced "
        'to "7 <reason>".',
    ),
    "replicas": (
        pods_refusal("green", PODS, HARMFUL_PODS[1], context(traffic(25), traffic(25))),
        "chat-green: replicas may not go from 3 to 2, 3 is the least: 25 % of requests go to green.\n"
        "Change the idle colour, with `python -m scripts.ramp --stack prod`, or permit it once: set announced to "
        '"7 <reason>".',
    ),
    "park": (
        pods_refusal("green", PODS, HARMFUL_PODS[2], context(traffic(keep_until=LATER), traffic(keep_until=LATER))),
        f"chat-green: replicas may not go from 3 to 0, 3 is the least: green is kept warm until {LATER}.\n"
        'Wait until then, or permit it once: set announced to "7 <reason>".',
    ),
    "nodes": (
        nodes_refusal(("blue",), NODES, HARMFUL_NODES[0], context(traffic(), traffic())),
        "chat-blue nodes: may not go from 3 to 2, 3 is the least: 100 % of requests go to blue.\n"
        "Change the idle colour, with `python -m scripts.ramp --stack prod`, or permit it once: set announced to "
        '"7 <reason>".',
    ),
    "exchange": (
        nodes_refusal(COLORS, NODES, HARMFUL_NODES[3], context(traffic(), traffic())),
        "chat nodes: may not be replaced in place (launchTemplate lt-1 3 to lt-1 4): 100 % of requests go to blue.\n"
        "Change the idle colour, with `python -m scripts.ramp --stack prod`, or permit it once: set announced to "
        '"7 <reason>".',
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_names_resource_old_new_limit_and_fix_in_two_lines(kind: str) -> None:
    refusal, expected = REFUSALS[kind]
    assert refusal == expected


@given(st.text(max_size=12))
def test_only_a_serial_and_a_reason_announce(text: str) -> None:
    case: Any = context(traffic(0), traffic(100), text)
    serial = text.partition(" ")[0]
    assert (rule_refusal(case) is None) == (serial.isdecimal() and int(serial) == SERIAL)


# Where both colours share places for four replicas and one more.

CAPACITY = SharedCapacity(replicas=4, surge=1, max_utilization_percent=105)
CARRIED = {0: 0, 1: 26, 2: 52, 3: 78, 4: 100}


def shared(green: int, running: tuple[int, int], **changes: Any) -> Traffic:
    """Traffic with so many replicas of blue and green."""
    colors: dict[Color, ColorState] = {
        color: ColorState(release_id="0a", replicas=count) for color, count in zip(COLORS, running, strict=True)
    }
    return replace(traffic(green, **changes), colors=colors, capacity=CAPACITY)


@pytest.mark.parametrize("active", COLORS)
@pytest.mark.parametrize("running", [(4, 1), (3, 2), (2, 3), (1, 4)])
def test_a_plain_update_raises_no_weight_beyond_what_the_replicas_carry_and_a_script_does(
    active: Color, running: tuple[int, int]
) -> None:
    for before in (0, 1, 22, 25, 26, 27, 48, 50, 53, 74, 75, 99, 100):
        for after in range(101):
            deployed = traffic(before, active=active)
            judged = rule_refusal(context(deployed, shared(after, running, active=active), "", 100))
            fits = 100 - after <= max(CARRIED[running[0]], 100 - before) and after <= max(CARRIED[running[1]], before)
            assert (judged is None) == fits, (before, after, judged)
            assert rule_refusal(context(deployed, shared(after, running, active=active, serial=SERIAL + 1))) is None
            announced = context(deployed, shared(after, running, active=active), f"{SERIAL} because")
            assert rule_refusal(announced) is None


def test_a_weight_beyond_the_replicas_is_refused_with_the_script_that_moves_both() -> None:
    back = rule_refusal(context(traffic(75), shared(0, (2, 3))))
    assert back == (
        "chat: the weight of blue may not go from 25 to 100: its 2 of 4 replicas carry 52 %.\n"
        "Use `python -m scripts.rollback --stack prod`, which moves replicas and weight together, or permit it once: "
        'set announced to "7 <reason>".'
    )
    on = rule_refusal(context(traffic(25), shared(50, (4, 1))))
    assert on is not None
    assert "green may not go from 25 to 50: its 1 of 4 replicas carry 26 %.\nUse `python -m scripts.ramp" in on


@pytest.mark.parametrize("active", COLORS)
@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_script_takes_as_many_replicas_of_a_colour_that_serves_as_its_share_allows(active: Color, left: int) -> None:
    old, new = DeclaredPods(release_id="0a", replicas=4), DeclaredPods(release_id="0a", replicas=left)
    for weight in range(101):
        green = weight if active == "green" else 100 - weight
        running = (4, left) if active == "green" else (left, 4)
        by_script = context(traffic(green, active=active), shared(green, running, active=active, serial=SERIAL + 1))
        assert (pods_refusal(active, old, new, by_script) is None) == (weight <= CARRIED[left])
        # The colour that is not active makes room in a rollback, whatever its share.
        other = replace(by_script.desired, active_color=other_color(active))
        assert pods_refusal(active, old, new, replace(by_script, desired=other)) is None
        by_hand = context(traffic(green, active=active), shared(green, running, active=active))
        assert (pods_refusal(active, old, new, by_hand) is None) == (weight == 0)


def test_nobody_makes_room_where_each_colour_has_its_own_places() -> None:
    old, new = DeclaredPods(release_id="0a", replicas=4), DeclaredPods(release_id="0a", replicas=3)
    assert pods_refusal("blue", old, new, context(traffic(50), traffic(50, serial=SERIAL + 1))) is not None


SCALING, FLOOR, CEILING, PAUSED = (
    DeclaredScaling(floor=floor, ceiling=ceiling) for floor, ceiling in ((4, 6), (3, 6), (4, 5), (0, 0))
)


@pytest.mark.parametrize("less", [FLOOR, CEILING, PAUSED])
@pytest.mark.parametrize("color", COLORS)
def test_a_plain_update_lowers_neither_floor_nor_ceiling_of_a_colour_that_is_needed(
    color: Color, less: DeclaredScaling
) -> None:
    shared, kept = context(traffic(25), traffic(25)), traffic(keep_until=LATER)
    assert scaling_refusal(color, SCALING, less, shared) is not None
    assert (scaling_refusal(color, SCALING, less, context(kept, kept)) is not None) == (less != SCALING)
    idle = context(traffic(), traffic())
    assert (scaling_refusal(color, SCALING, less, idle) is None) == (color == "green")
    assert scaling_refusal(color, less, SCALING, shared) is None, "more is never refused"
    assert scaling_refusal(color, SCALING, less, replace(shared, announced=f"{SERIAL} less at night")) is None


def test_a_script_hands_a_floor_back_only_of_the_active_colour_and_when_no_rollout_is_under_way() -> None:
    deployed, after = (
        traffic(100, active="green", keep_until=LATER),
        traffic(100, active="green", keep_until=LATER, serial=SERIAL + 1),
    )
    promoted = context(deployed, after)
    assert scaling_refusal("green", SCALING, FLOOR, promoted) is None
    assert scaling_refusal("green", SCALING, CEILING, promoted) is not None
    assert scaling_refusal("green", SCALING, PAUSED, promoted) is not None
    assert scaling_refusal("blue", SCALING, FLOOR, promoted) is not None, "it must take everything back"
    under_way = replace(promoted, desired=replace(after, rolling_out=True))
    assert scaling_refusal("green", SCALING, FLOOR, under_way) is not None


def test_a_refusal_of_less_names_floor_or_ceiling() -> None:
    case = context(traffic(), traffic())
    assert scaling_refusal("blue", SCALING, FLOOR, case) == (
        "chat-blue: its fewest replicas may not go from 4 to 3: 100 % of requests go to blue.\n"
        "Change the idle colour, with `python -m scripts.ramp --stack prod`, or permit it once: set announced to "
        '"7 <reason>".'
    )
    assert "its most replicas may not go from 6 to 5" in str(scaling_refusal("blue", SCALING, CEILING, case))


def test_a_number_that_nobody_declares_is_not_judged() -> None:
    scaled, fixed = DeclaredPods(release_id="0a", replicas=None), DeclaredPods(release_id="0a", replicas=4)
    for old, new in ((fixed, scaled), (scaled, fixed), (scaled, scaled)):
        assert pods_refusal("blue", old, new, context(traffic(), traffic())) is None


def with_cohort(color: Color, *, replicas: int = 4, release: str = "beef", serial: int = SERIAL) -> Traffic:
    """Traffic whose cohort is on a colour, and whose green colour is as given."""
    states = {
        "blue": ColorState(release_id="0a1b", replicas=4),
        "green": ColorState(release_id=release, replicas=replicas),
    }
    return replace(traffic(serial=serial), cohorts={"friends": color}, colors=states)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("deployed", "desired"),
    [
        (with_cohort("blue", replicas=0), with_cohort("green")),
        (with_cohort("blue", release="0ff"), with_cohort("green")),
    ],
)
def test_a_cohort_may_not_go_to_pods_that_the_same_update_starts(deployed: Traffic, desired: Traffic) -> None:
    refusal = rule_refusal(context(deployed, desired))
    assert refusal is not None
    assert refusal.startswith("chat: the cohort friends may not go to green, which is ")
    assert rule_refusal(context(deployed, desired, announced=f"{SERIAL} at night")) is None
    assert rule_refusal(context(deployed, replace(desired, rollout_serial=SERIAL + 1))) is None


@pytest.mark.parametrize("color", COLORS)
def test_a_plain_update_may_move_a_cohort_to_pods_that_run(color: Color) -> None:
    assert rule_refusal(context(with_cohort(other_color(color)), with_cohort(color))) is None


@pytest.mark.parametrize(("before", "after"), [("green", "green"), ("green", "blue"), ("blue", "green")])
def test_a_colour_with_a_cohort_serves_although_it_has_no_weight(before: Color, after: Color) -> None:
    asked = context(with_cohort(before), with_cohort(after, serial=SERIAL + 1))
    fewer = DeclaredPods(release_id="beef", replicas=2)
    refusal = pods_refusal("green", DeclaredPods(release_id="beef", replicas=4), fewer, asked)
    assert refusal is not None
    assert "the requests of friends go to green" in refusal


def test_a_colour_that_a_cohort_has_left_long_ago_may_shrink() -> None:
    asked = context(with_cohort("blue"), with_cohort("blue"))
    fewer = DeclaredPods(release_id="beef", replicas=2)
    assert pods_refusal("green", DeclaredPods(release_id="beef", replicas=4), fewer, asked) is None
