"""The pods that the stand-in wants as targets, in cases that need no running controller."""

from typing import Any

import pytest

from rehearsal.binder.endpoints import BackendNotFound, Target, endpoints, service_port
from rehearsal.kube.client import Json

PORT = {"name": "http", "port": 80}


def endpoint(pod: str, address: str, **conditions: bool) -> Json:
    return {"addresses": [address], "targetRef": {"kind": "Pod", "name": pod}, "conditions": conditions}


def slice_of(*found: Json, family: str = "IPv4", port: str = "http") -> Json:
    return {"addressType": family, "ports": [{"name": port, "port": 8000}], "endpoints": list(found)}


def pod(*, ready: bool, node: str = "ready") -> Json:
    condition = {"type": "ContainersReady", "status": str(ready)}
    return {"spec": {"nodeName": node}, "status": {"conditions": [condition]}}


def wanted(pods: dict[str, Json], *slices: Json) -> set[Target]:
    nodes: dict[str, Json] = {
        name: {"status": {"conditions": [{"type": "Ready", "status": status}]}}
        for name, status in {"ready": "True", "silent": "Unknown", "broken": "False"}.items()
    }
    return set(endpoints(PORT, slices, find_pod=pods.get, find_node=nodes.get))


def test_ready_containers_on_a_ready_node_are_enough_until_the_pod_terminates() -> None:
    pods = {
        "open": pod(ready=False),
        "gated": pod(ready=True),
        "leaving": pod(ready=True),
        "starting": pod(ready=False),
    }
    found = slice_of(
        endpoint("open", "10.0.0.1", ready=True),
        endpoint("gated", "10.0.0.2", ready=False),
        endpoint("leaving", "10.0.0.3", ready=False, terminating=True),
        endpoint("starting", "10.0.0.4", ready=False),
        endpoint("unknown-pod", "10.0.0.5", ready=True),
    )
    assert wanted(pods, found) == {Target("10.0.0.1", 8000), Target("10.0.0.2", 8000)}


@pytest.mark.parametrize("node", ["broken", "gone"])
def test_a_pod_on_a_broken_node_is_not_a_target(node: str) -> None:
    pods = {"server": pod(ready=True, node=node)}
    assert wanted(pods, slice_of(endpoint("server", "10.0.0.1", ready=False))) == set()


def test_pods_on_silent_nodes_are_targets_only_while_there_are_no_others() -> None:
    silent, well = endpoint("silent", "10.0.0.1", ready=False), endpoint("well", "10.0.0.2", ready=False)
    pods = {"silent": pod(ready=True, node="silent"), "well": pod(ready=True)}
    assert wanted(pods, slice_of(silent)) == {Target("10.0.0.1", 8000)}
    assert wanted(pods, slice_of(silent, well)) == {Target("10.0.0.2", 8000)}


def test_only_the_ipv4_addresses_of_the_named_port_count() -> None:
    ready = endpoint("server", "10.0.0.1", ready=True)
    pods = {"server": pod(ready=True)}
    assert wanted(pods, slice_of(ready, family="IPv6"), slice_of(ready, port="metrics")) == set()


@pytest.mark.parametrize(
    ("reference", "message"), [("grpc", "unable to find port grpc on service chat/api"), (81, "unable to find port 81")]
)
def test_an_unknown_port_is_an_error(reference: Any, message: str) -> None:
    service = {"metadata": {"namespace": "chat", "name": "api"}, "spec": {"ports": [PORT]}}
    assert service_port(service, "api", "http") == service_port(service, "api", 80) == PORT
    with pytest.raises(BackendNotFound, match=message):
        service_port(service, "api", reference)
