"""Each world has its own pod addresses, and an address is not reused soon."""

import subprocess
import sys
from ipaddress import IPv4Network

import pytest

from rehearsal.kubelet import network as networks
from rehearsal.kubelet.network import PodNetwork, claim_pod_network
from rehearsal.system.processes import free_port

_CLAIM = """
from rehearsal.kubelet import network
network._CLAIM_PORT = {port}
print(network.claim_pod_network(), flush=True)
input()
"""


@pytest.fixture
def claim_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A claim port for one test, independent of concurrent worlds."""
    port = free_port()
    monkeypatch.setattr(networks, "_CLAIM_PORT", port)
    return port


@pytest.fixture
def network() -> PodNetwork:
    return PodNetwork(IPv4Network("10.64.0.0/16"))


def test_a_claim_belongs_to_its_process_and_ends_with_it(claim_port: int) -> None:
    command = [sys.executable, "-c", _CLAIM.format(port=claim_port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        theirs = IPv4Network(other.stdout.readline().strip())
        ours = claim_pod_network()
        assert not ours.overlaps(theirs)
        other.communicate("\n")
    assert claim_pod_network() == theirs


@pytest.mark.usefixtures("claim_port")
def test_without_a_free_network_there_is_one_clear_error() -> None:
    for _ in range(64):
        claim_pod_network()
    with pytest.raises(RuntimeError, match=r"every part of 10\.64\.0\.0/10 is in use on this machine"):
        claim_pod_network()


def test_two_pods_have_different_addresses_of_the_network(network: PodNetwork) -> None:
    assert {network.take(), network.take()} == {"10.64.0.1", "10.64.0.2"}


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
