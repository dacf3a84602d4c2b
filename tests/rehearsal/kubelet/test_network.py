"""Pod addresses are a world's own, and are not given again soon."""

from collections.abc import Generator

import pytest

from rehearsal.kubelet.network import PodNetwork


@pytest.fixture
def network() -> Generator[PodNetwork]:
    claimed = PodNetwork()
    yield claimed
    claimed.close()


def test_two_worlds_have_different_addresses(network: PodNetwork) -> None:
    other = PodNetwork()
    try:
        assert network.take().split(".")[:2] != other.take().split(".")[:2]
    finally:
        other.close()


def test_a_claim_ends_with_its_owner(network: PodNetwork) -> None:
    first = PodNetwork()
    address = first.take()
    first.close()
    second = PodNetwork()
    try:
        assert second.take() == address
    finally:
        second.close()
    assert network.take() != address


def test_an_address_that_was_given_back_is_not_the_next_one(network: PodNetwork) -> None:
    first = network.take()
    network.give_back(first)
    assert network.take() != first


def test_a_pod_keeps_its_address_only_if_it_is_ours_and_free(network: PodNetwork) -> None:
    first = network.take()
    assert network.take(first) != first
    network.give_back(first)
    assert network.take(first) == first
    assert network.take("10.1.2.3") != "10.1.2.3"
