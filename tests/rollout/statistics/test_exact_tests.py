"""The exact tests: by enumeration, chance alone fails them no more often than stated."""

from math import comb

from hypothesis import given
from hypothesis import strategies as st
from scipy import special  # imported before Hypothesis measures the time of an example

from rollout.statistics.exact_tests import LEVEL, fewest_sure_losses, highest_share, paired_p_value

COUNTS = st.integers(0, 60)


@given(COUNTS, COUNTS)
def test_the_p_value_is_that_of_the_binomial_tail(worse: int, better: int) -> None:
    total = worse + better
    tail = sum(comb(total, hits) for hits in range(worse, total + 1)) / 2**total
    assert abs(tail - special.bdtr(better, total, 0.5)) < 1e-9
    expected = 1.0 if worse <= better else tail
    assert abs(paired_p_value(worse, better) - expected) < 1e-9


@given(st.integers(1, 80))
def test_a_candidate_as_good_as_the_active_colour_fails_no_more_often_than_stated(total: int) -> None:
    failing = [worse for worse in range(total + 1) if paired_p_value(worse, total - worse) < LEVEL]
    assert sum(comb(total, worse) for worse in failing) / 2**total <= LEVEL


def test_the_fewest_losses_that_rule_chance_out() -> None:
    few = fewest_sure_losses()
    assert paired_p_value(few, 0) < LEVEL <= paired_p_value(few - 1, 0)


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.2, 0.01, 0.00025]))
def test_the_highest_share_makes_so_few_hits_just_as_unlikely_as_stated(hits: int, misses: int, chance: float) -> None:
    bound = highest_share(hits, hits + misses, chance)
    if not misses:
        assert bound == 1
        return
    total = hits + misses
    tail = sum(comb(total, few) * bound**few * (1 - bound) ** (total - few) for few in range(hits + 1))
    assert abs(tail - chance) < 1e-6 * max(chance, 1e-3)
