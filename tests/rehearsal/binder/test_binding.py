"""A TargetGroupBinding keeps its target group equal to the pods of its Service, and opens their readiness gates.

The pods here are bare API objects whose status the tests write, so that every moment of a pod's life can be held.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup

from rehearsal.kube import STRATEGIC_MERGE_PATCH, Json, KubeClient, KubeError
from tests.rehearsal.world_parts import Aws, condition, holds, server_pod, wait_for

GATE = "target-health.elbv2.k8s.aws/chat"
API_VERSION = "elbv2.k8s.aws/v1beta1"
_addresses = (f"10.200.0.{number}" for number in itertools.count(1))


class Bound:
    """A target group bound to the Service of a namespace."""

    def __init__(self, kube: KubeClient, aws: Aws, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self._elbv2 = aws.client("elbv2")
        vpc = aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        group = self._elbv2.create_target_group(Name=namespace, Protocol="HTTP", Port=8000, VpcId=vpc, TargetType="ip")
        self.arn: str = group["TargetGroups"][0]["TargetGroupArn"]
        ports = [{"name": "http", "port": 80, "targetPort": "http"}]
        self._create("v1", "Service", {"selector": {"app": "chat"}, "ports": ports})
        reference = {"name": "chat", "port": "http"}
        self._create(
            API_VERSION,
            "TargetGroupBinding",
            {"targetGroupARN": self.arn, "targetType": "ip", "serviceRef": reference},
        )

    def _create(self, api_version: str, kind: str, spec: Json) -> None:
        metadata = {"name": "chat", "namespace": self.namespace}
        self.kube.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})

    def start_pod(self, name: str) -> str:
        """A pod whose containers are not ready yet; its address."""
        pod = server_pod(name, self.namespace, nodeName="elsewhere", readinessGates=[{"conditionType": GATE}])
        pod["metadata"]["labels"] = {"app": "chat"}
        self.kube.create(pod)
        address = next(_addresses)
        self.set_status(name, {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]})
        return address

    def set_containers_ready(self, name: str, ready: bool) -> None:
        status = "True" if ready else "False"
        self.set_status(name, {"conditions": [{"type": "ContainersReady", "status": status}]})

    def set_status(self, name: str, status: Json) -> None:
        self.kube.patch(
            "v1",
            "Pod",
            self.namespace,
            name,
            {"status": status},
            subresource="status",
            content_type=STRATEGIC_MERGE_PATCH,
        )

    def pod(self, name: str) -> Json:
        return self.kube.get("v1", "Pod", self.namespace, name)

    def binding(self) -> Json:
        return self.kube.get(API_VERSION, "TargetGroupBinding", self.namespace, "chat")

    def register(self, address: str) -> None:
        self._elbv2.register_targets(TargetGroupArn=self.arn, Targets=[{"Id": address, "Port": 8000}])

    def targets(self) -> set[tuple[str, int]]:
        answer = self._elbv2.describe_target_health(TargetGroupArn=self.arn)["TargetHealthDescriptions"]
        return {(entry["Target"]["Id"], entry["Target"]["Port"]) for entry in answer}


@pytest.fixture
def bound(kube: KubeClient, bound_aws: Aws, namespace: str) -> Bound:
    return Bound(kube, bound_aws, namespace)


@pytest.fixture
def set_health(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes moto, which runs in this process, say something else than "healthy" about registered targets."""

    def set_state(state: str, reason: str) -> None:
        def health_for(group: Any, target: dict[str, Any], _: Any) -> Any:
            return FakeHealthStatus(target["Id"], target["Port"], group.health_check_port, state, reason, "as told")

        monkeypatch.setattr(FakeTargetGroup, "health_for", health_for)

    return set_state


def test_a_pod_is_a_target_from_ready_containers_until_it_terminates(bound: Bound) -> None:
    address = bound.start_pod("server")
    other = bound.start_pod("other")
    assert bound.targets() == set(), "containers are not ready"

    bound.set_containers_ready("server", True)
    wait_for(lambda: bound.targets() == {(address, 8000)}, "registered")
    bound.set_containers_ready("other", True)
    wait_for(lambda: bound.targets() == {(address, 8000), (other, 8000)}, "both registered")

    bound.kube.delete("v1", "Pod", bound.namespace, "server")
    wait_for(lambda: bound.targets() == {(other, 8000)}, "the terminating pod is deregistered")
    assert "deletionTimestamp" in bound.pod("server")["metadata"], "long before it is gone"

    bound.set_containers_ready("other", False)
    wait_for(lambda: bound.targets() == set(), "the unready pod is deregistered")


def test_the_readiness_gate_is_true_exactly_when_the_target_is_healthy(
    bound: Bound, set_health: Callable[[str, str], None]
) -> None:
    set_health("initial", "Elb.RegistrationInProgress")
    bound.start_pod("server")
    bound.set_containers_ready("server", True)

    def reason(wanted: str) -> bool:
        return condition(bound.pod("server"), GATE).get("reason") == wanted

    wait_for(lambda: reason("Elb.RegistrationInProgress"), "the gate says why it is closed")
    assert not holds(bound.pod("server"), GATE)
    set_health("unused", "Target.NotInUse")
    wait_for(lambda: reason("Target.NotInUse"), "the gate says why it is still closed")
    assert not holds(bound.pod("server"), GATE)

    set_health("healthy", "")
    wait_for(lambda: holds(bound.pod("server"), GATE), "the gate is open")
    assert "reason" not in condition(bound.pod("server"), GATE)


def test_foreign_targets_are_deregistered(bound: Bound) -> None:
    address = bound.start_pod("server")
    bound.set_containers_ready("server", True)
    wait_for(lambda: bound.targets() == {(address, 8000)}, "registered")

    bound.register("10.200.99.99")
    wait_for(lambda: bound.targets() == {(address, 8000)}, "only our own target is left")


def test_the_status_says_which_generation_was_seen_and_deletion_deregisters(bound: Bound) -> None:
    bound.start_pod("server")
    bound.set_containers_ready("server", True)
    wait_for(bound.targets, "registered")
    seen = wait_for(lambda: bound.binding().get("status", {}).get("observedGeneration"), "a status")
    assert seen == bound.binding()["metadata"]["generation"]

    bound.kube.delete(API_VERSION, "TargetGroupBinding", bound.namespace, "chat")

    def gone() -> bool:
        try:
            bound.binding()
        except KubeError as error:
            return error.status == 404
        return False

    wait_for(gone, "the binding is gone")
    assert bound.targets() == set()


def test_errors_of_the_aws_api_are_tried_again(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def register(group: Any, _: Any) -> None:
        calls.append(group.arn)
        raise RuntimeError("as told")

    original = FakeTargetGroup.register
    monkeypatch.setattr(FakeTargetGroup, "register", register)
    address = bound.start_pod("server")
    bound.set_containers_ready("server", True)
    wait_for(lambda: calls, "a failed registration")

    monkeypatch.setattr(FakeTargetGroup, "register", original)
    wait_for(lambda: bound.targets() == {(address, 8000)}, "registered at last")
