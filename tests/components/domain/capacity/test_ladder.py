"""Ladders: on every rung and between them, both colours fit the places and carry their shares."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.domain.capacity.ladder import (
    Ladder,
    LadderError,
    Rung,
    SharedCapacity,
    make_ladder,
    next_wave,
    share_at_once,
    smallest_surge,
    way_back,
)

USUAL = (1, 25, 75, 100)


def capacity(replicas: int, surge: int, percent: int = 105) -> SharedCapacity:
    return SharedCapacity(replicas=replicas, surge=surge, max_utilization_percent=percent)


def rungs(ladder: Ladder) -> list[tuple[int, int, int]]:
    """Each rung as the candidate's replicas, the outgoing colour's, and the candidate's percents."""
    return [(one.candidate_replicas, one.outgoing_replicas, one.candidate_percent) for one in ladder.rungs]


@pytest.mark.parametrize(
    ("given_capacity", "percents", "expected"),
    [
        (capacity(4, 1), USUAL, [(1, 4, 1), (1, 4, 25), (2, 3, 50), (3, 2, 75), (4, 1, 100)]),
        (capacity(4, 2), USUAL, [(2, 4, 1), (2, 4, 25), (2, 4, 50), (3, 3, 75), (4, 2, 100)]),
        (capacity(3, 1), USUAL, [(1, 3, 1), (1, 3, 25), (1, 3, 33), (2, 2, 67), (3, 1, 75), (3, 1, 100)]),
        (capacity(4, 1), (100,), [(1, 4, 25), (2, 3, 50), (3, 2, 75), (4, 1, 100)]),
        (capacity(4, 4), USUAL, [(4, 4, 1), (4, 4, 25), (4, 4, 75), (4, 4, 100)]),
        (capacity(1, 1), USUAL, [(1, 1, 1), (1, 1, 25), (1, 1, 75), (1, 1, 100)]),
        (capacity(5, 3, 139), (1, 100), [(3, 5, 1), (3, 5, 60), (5, 3, 100)]),
    ],
)
def test_a_ladder_has_the_asked_shares_and_as_few_others_as_the_places_allow(
    given_capacity: SharedCapacity, percents: Sequence[int], expected: list[tuple[int, int, int]]
) -> None:
    assert rungs(make_ladder(given_capacity, percents)) == expected


def test_a_ladder_that_keeps_fewer_replicas_climbs_higher_before_it_gives_them_up() -> None:
    kept = make_ladder(capacity(4, 2), (1, 50, 100), kept_replicas=1)
    assert rungs(kept)[-1] == (4, 1, 100)
    assert rungs(kept)[-2][2] >= 74, "one replica of four must carry the rest"
    assert rungs(make_ladder(capacity(4, 2), (1, 50, 100)))[-1] == (4, 2, 100)


def test_what_the_surge_carries_is_used_up_before_a_replica_is_given_up() -> None:
    found = rungs(make_ladder(capacity(5, 3, 139), (100,), kept_replicas=1))
    assert found == [(3, 5, 60), (3, 5, 83), (5, 1, 100)]


def test_a_ladder_that_no_weight_fits_is_refused_with_the_numbers() -> None:
    message = (
        r"no weight fits after 33 %: the outgoing colour needs 3 of its 3 replicas for the rest, which leaves 1 of 4 "
        r"places to the candidate, and they carry 33 %"
    )
    with pytest.raises(LadderError, match=message):
        make_ladder(capacity(3, 1, 100), USUAL)
    assert smallest_surge(capacity(3, 1, 100), USUAL) == 2
    assert smallest_surge(capacity(3, 1, 101), USUAL) == 1


def test_a_surge_that_carries_less_than_one_percent_is_refused() -> None:
    with pytest.raises(LadderError, match=r"no weight fits after 0 %.* and they carry 0 %"):
        make_ladder(capacity(200, 1, 100), USUAL)


def test_the_smallest_surge_also_keeps_the_way_back_short() -> None:
    eight = capacity(8, 1)
    assert make_ladder(eight, USUAL).most_waves_back == 7
    assert smallest_surge(eight, USUAL, most_waves=7) == 1
    found = smallest_surge(eight, USUAL, most_waves=3)
    assert found == 2
    assert make_ladder(capacity(8, 2), USUAL).most_waves_back == 3
    assert smallest_surge(eight, USUAL, most_waves=0) == 8
    assert smallest_surge(eight, USUAL, kept_replicas=1, most_waves=0) is None, "one replica never carries all at once"


def test_each_rung_says_what_its_way_back_is() -> None:
    lines = list(make_ladder(capacity(4, 1), USUAL).lines(wave_seconds=100))
    assert lines[1] == "rung 2: 25 %, candidate x1, outgoing colour x4; way back: instant"
    assert [line.partition("way back: ")[2] for line in lines] == [
        "instant",
        "instant",
        "100 s (1 wave of 100 s)",
        "200 s (2 waves of 100 s)",
        "300 s (3 waves of 100 s)",
    ]
    assert way_back(0, 100) == "instant"


@pytest.mark.parametrize(
    ("has", "healthy", "others", "share"),
    [(0, 1, 4, 26), (50, 1, 4, 50), (0, 4, 1, 100), (0, 3, 2, 78), (0, 1, 0, 100), (25, 0, 0, 25), (25, 0, 4, 0)],
)
def test_a_colour_takes_back_at_once_what_it_carries(has: int, healthy: int, others: int, share: int) -> None:
    assert share_at_once(capacity(4, 1), has_percent=has, healthy=healthy, others_healthy=others) == share


@pytest.mark.parametrize("text", ["", "4", "4+0 at 100", "0+1 at 100", "4+1 at 0", "4+1 at 100 %", "4 + 1 at 100"])
def test_a_tag_that_describes_no_capacity_is_none(text: str) -> None:
    assert SharedCapacity.parse(text) is None


capacities = st.integers(1, 64).flatmap(
    lambda replicas: st.builds(
        capacity,
        st.just(replicas),
        st.integers(1, replicas) | st.integers(1, min(replicas, 4)),
        st.integers(100, 110) | st.integers(100, 200),
    )
)
ramps = st.sets(st.integers(1, 99), max_size=6).map(lambda shares: (*sorted(shares), 100))


@given(capacities)
def test_a_capacity_is_read_back_from_its_tag(one: SharedCapacity) -> None:
    assert SharedCapacity.parse(str(one)) == one


@settings(max_examples=300)
@given(capacities, ramps, st.data())
@pytest.mark.slow
def test_a_ladder_keeps_its_promises_wherever_one_exists(
    one: SharedCapacity, percents: tuple[int, ...], data: st.DataObject
) -> None:
    kept = data.draw(st.none() | st.integers(1, one.surge))
    try:
        ladder = make_ladder(one, percents, kept_replicas=kept)
    except LadderError:
        assert not exists(one, percents, one.surge if kept is None else kept)
        return
    assert [rung.candidate_percent for rung in ladder.rungs if rung.candidate_percent in percents] == list(percents)
    assert list(broken(ladder)) == []
    last = ladder.rungs[-1]
    assert last.candidate_replicas == one.replicas
    assert last.outgoing_replicas <= (one.surge if kept is None else kept)


def broken(ladder: Ladder) -> Iterator[str]:
    """What is not as it must be on a rung, or on the way to it from the one before, in either direction."""
    one = ladder.capacity
    alone = one.carried_percent(one.surge)
    before = Rung(
        candidate_replicas=ladder.rungs[0].candidate_replicas, outgoing_replicas=one.replicas, candidate_percent=0
    )
    for lower, upper in pairwise((before, *ladder.rungs)):
        rest = 100 - upper.candidate_percent
        if upper.candidate_replicas + upper.outgoing_replicas > one.places:
            yield f"{upper}: more than {one.places} places"
        if one.carried_percent(upper.candidate_replicas) < upper.candidate_percent:
            yield f"{upper}: the candidate cannot carry its share"
        if one.carried_percent(upper.outgoing_replicas) < rest:
            yield f"{upper}: the outgoing colour cannot carry its share"
        if lower.candidate_percent >= upper.candidate_percent:
            yield f"{upper}: the weight does not rise"
        # On the way up the outgoing colour shrinks first, on the way down last: at the lower weight, in both cases.
        if one.carried_percent(upper.outgoing_replicas) < 100 - lower.candidate_percent:
            yield f"{upper}: the outgoing colour gives up replicas that the weight before still needs"
        if lower.candidate_replicas > upper.candidate_replicas or lower.outgoing_replicas < upper.outgoing_replicas:
            yield f"{upper}: replicas go back on the way up"
        early = upper.candidate_percent <= alone and upper.candidate_percent < 100
        if early and upper.outgoing_replicas < one.replicas:
            yield f"{upper}: the surge alone carries it, but the outgoing colour has given up replicas"
    kept = [rung for rung in ladder.rungs if rung.outgoing_replicas == one.replicas]
    tried = kept[-1].candidate_percent if kept else 0
    if one.needed(tried) < one.surge and tried < min(one.fair_percent(one.surge), alone, 99):
        yield "the outgoing colour gives up replicas before the surge carries what it can"


def exists(one: SharedCapacity, percents: Sequence[int], kept: int) -> bool:
    """Whether any ladder has these shares: by trying every weight after every other."""
    reached = {0}
    for percent in percents:
        while True:
            more = {
                after
                for weight in reached
                for after in range(weight + 1, percent + 1)
                if fits(one, weight, after, kept)
            }
            if more <= reached:
                break
            reached |= more
        if percent not in reached:
            return False
        reached = {percent}
    return True


def fits(one: SharedCapacity, weight: int, after: int, kept: int) -> bool:
    outgoing = one.needed(100 - weight)
    if after == 100:
        return outgoing <= kept
    return one.carried_percent(min(one.replicas, one.places - outgoing)) >= after


@settings(max_examples=300)
@given(capacities, st.data())
@pytest.mark.slow
def test_a_rollback_ends_from_any_state_within_the_places(one: SharedCapacity, data: st.DataObject) -> None:
    outgoing = data.draw(st.integers(1, one.replicas))
    candidate, waves = one.places - outgoing, 0
    while outgoing < one.replicas:
        percent = data.draw(st.integers(one.carried_percent(outgoing), 100))
        after = next_wave(one, outgoing, percent)
        assert after[0] + after[1] <= one.places
        assert outgoing < after[1] <= one.replicas
        assert 1 <= after[0] <= max(candidate, 1)
        (candidate, outgoing), waves = after, waves + 1
        assert waves <= one.replicas


@settings(max_examples=200)
@given(capacities, ramps)
def test_a_rollback_from_a_rung_never_overloads_a_colour_and_never_takes_more_waves_than_rungs(
    one: SharedCapacity, percents: tuple[int, ...]
) -> None:
    try:
        ladder = make_ladder(one, percents)
    except LadderError:
        return
    for place, rung in enumerate(ladder.rungs):
        outgoing = rung.outgoing_replicas
        while (carried := one.carried_percent(outgoing)) < 100:
            candidate, outgoing = next_wave(one, outgoing, carried)
            assert one.carried_percent(candidate) >= 100 - carried
        assert ladder.waves_back(rung) <= place
        if rung.outgoing_replicas == one.replicas:
            assert ladder.waves_back(rung) == 0
