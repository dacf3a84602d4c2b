"""The drain chain: every link outlasts the one before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.pods.drain_chain import DrainChain, DrainChainError, drain_chain


def test_the_defaults_are_those_of_the_design() -> None:
    assert drain_chain(120, 30) == DrainChain(
        pre_stop_seconds=30,
        deregistration_delay_seconds=150,
        shutdown_timeout_seconds=120,
        grace_period_seconds=160,
        idle_timeout_seconds=130,
        keep_alive_seconds=140,
    )


@given(longest=st.integers(1, 800), propagation=st.integers(1, 80))
def test_no_link_ends_before_the_one_it_waits_for(longest: int, propagation: int) -> None:
    chain = drain_chain(longest, propagation)
    assert chain.pre_stop_seconds >= propagation
    assert chain.deregistration_delay_seconds >= propagation + longest
    assert chain.shutdown_timeout_seconds >= longest
    assert chain.pre_stop_seconds + chain.shutdown_timeout_seconds + 10 <= chain.grace_period_seconds < 900
    assert chain.idle_timeout_seconds >= longest + 10
    assert chain.keep_alive_seconds > chain.idle_timeout_seconds


def test_a_chain_that_a_node_group_would_cut_short_is_refused() -> None:
    assert drain_chain(859, 30).grace_period_seconds == 899
    with pytest.raises(DrainChainError, match=r"max_stream_seconds=860 .* grace period of 900 s.*Lower"):
        drain_chain(860, 30)
