"""Translates pod addresses: a pod has a VPC address 10.x.y.z; its process listens on the loopback address 127.x.y.z.

The two differ because EndpointSlices refuse loopback addresses. Nothing ever connects to 10.x.y.z.
"""

from ipaddress import IPv4Address, IPv4Network

POD_NETWORK = IPv4Network("10.64.0.0/10")
"""The network of all pod addresses."""

_VPC = IPv4Network("10.0.0.0/8")
_LOOPBACK = IPv4Network("127.0.0.0/8")


def loopback_of(pod_address: str) -> str:
    """Return the loopback address of a pod's process: ``loopback_of("10.1.2.3") == "127.1.2.3"``.

    Raises ValueError for anything but an address in 10.0.0.0/8.
    """
    return _moved(pod_address, _VPC, _LOOPBACK)


def pod_address_of(loopback_address: str) -> str:
    """Return the pod address of a process: ``pod_address_of("127.1.2.3") == "10.1.2.3"``.

    Raises ValueError for anything but an address in 127.0.0.0/8.
    """
    return _moved(loopback_address, _LOOPBACK, _VPC)


def _moved(address: str, source: IPv4Network, target: IPv4Network) -> str:
    parsed = IPv4Address(address)
    if parsed not in source:
        raise ValueError(f"{address} is not in {source}")
    return str(IPv4Address(int(target.network_address) | (int(parsed) & int(source.hostmask))))
