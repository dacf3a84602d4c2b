"""Assigns addresses to pods."""

import socket
from ipaddress import IPv4Address, IPv4Network

from rehearsal.system.addresses import POD_NETWORK, loopback_of

_CLAIM_PORT = 64064
_SHARE_PREFIX_LENGTH = 16
_claims: list[socket.socket] = []


def claim_pod_network() -> IPv4Network:
    """Claim a /16 of the pod network that no other rehearsal on this machine uses while this process lives.

    The claim is a listener on the network's last address, so it ends with the process. The kubelets' parent claims it,
    not a kubelet: a restarted kubelet must find its pods' addresses free. Raises RuntimeError when no network is left.
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
    """The addresses of one network, each assigned to at most one pod."""

    def __init__(self, network: IPv4Network) -> None:
        self._network = network
        self._used: set[str] = set()
        self._next = 1

    def take(self, wanted: str | None = None) -> str:
        """Take a free pod address: the wanted one if it is free and in this network.

        An address is not reused soon, so that a new pod is not mistaken for a deleted one.
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
