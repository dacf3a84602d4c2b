"""Gives pods their addresses."""

import socket
from ipaddress import IPv4Address, IPv4Network

from rehearsal.system.addresses import POD_NETWORK, loopback_of

_CLAIM_PORT = 64064
_SHARE_PREFIX_LENGTH = 16
_claims: list[socket.socket] = []


def claim_pod_network() -> IPv4Network:
    """A /16 of the pod network that no other rehearsal on this machine takes as long as this process lives.

    It is claimed by listening on its last address, so the claim ends with the process. Whoever starts kubelets claims
    it, and not a kubelet: one that starts again must find its pods' addresses free. Raises RuntimeError when none is
    left.
    """
    for network in POD_NETWORK.subnets(new_prefix=_SHARE_PREFIX_LENGTH):
        claim = socket.socket()
        try:
            claim.bind((loopback_of(str(network[-2])), _CLAIM_PORT))
        except OSError:
            claim.close()
            continue
        claim.listen()
        _claims.append(claim)
        return network
    raise RuntimeError(f"every part of {POD_NETWORK} is in use on this machine")


class PodNetwork:
    """The addresses of one network, each given to one pod at a time."""

    def __init__(self, network: IPv4Network) -> None:
        self._network = network
        self._used: set[str] = set()
        self._next = 1

    def take(self, wanted: str | None = None) -> str:
        """A free pod address; the wanted one if it is ours to give.

        Addresses are not used again soon, so that nobody mistakes a new pod for a gone one.
        """
        if wanted and IPv4Address(wanted) in self._network and wanted not in self._used:
            self._used.add(wanted)
            return wanted
        while True:
            address = str(self._network[self._next])
            self._next = self._next % (self._network.num_addresses - 3) + 1
            if address not in self._used:
                self._used.add(address)
                return address

    def give_back(self, address: str) -> None:
        self._used.discard(address)
