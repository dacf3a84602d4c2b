"""The stand-in treats pods, bindings and target groups as the real AWS Load Balancer Controller does.

Each test runs with both. The results in the API server and in AWS must be the same.
"""

from ipaddress import ip_address

import pytest

from rehearsal.kube.client import Json
from rehearsal.system.processes import Process
from tests.rehearsal.aws.account import Account, Service
from tests.rehearsal.binder.bound import Bound
from tests.rehearsal.binder.sockets import listening
from tests.rehearsal.world_parts import wait_for

OPEN = ("True", None, None)
SUCCESS = ("Normal", "SuccessfullyReconciled", "Successfully reconciled")


def test_a_pod_is_a_target_from_ready_containers_until_it_terminates(bound: Bound) -> None:
    bound.create_binding()
    first, second = bound.start_pod("first"), bound.start_pod("second")
    wait_for(lambda: SUCCESS in bound.events(), "the binding without targets is reconciled")
    assert bound.states() == {}, "no container is ready"

    bound.set_containers_ready("first")
    wait_for(lambda: bound.registered() == {first}, "registered")
    bound.set_containers_ready("second")
    wait_for(lambda: bound.registered() == {first, second}, "both registered")

    bound.kube.delete("v1", "Pod", bound.namespace, "first")
    wait_for(lambda: bound.registered() == {second}, "the terminating pod is deregistered")
    assert "deletionTimestamp" in bound.kube.get("v1", "Pod", bound.namespace, "first")["metadata"], "before it is gone"
    assert bound.states()[first] == "draining"

    wait_for(lambda: bound.gate("second") == OPEN, "the gate is open")
    bound.set_containers_ready("second", ready=False)
    wait_for(lambda: not bound.registered(), "the pod that is not ready is deregistered")
    assert bound.gate("second") == OPEN, "and its gate stays open"


def test_the_readiness_gate_is_open_exactly_when_the_target_is_healthy(bound: Bound) -> None:
    bound.create_binding()
    address = bound.start_pod("server")
    bound.targets_of["server"].health_status = 503
    assert bound.gate("server") == (None, None, None)

    bound.set_containers_ready("server")
    mismatch = ("False", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]")
    wait_for(lambda: bound.gate("server") == mismatch, "the gate has the reason why it is closed")
    assert bound.states() == {address: "unhealthy"}
    assert bound.checkpoint() == "", "the binding is not reconciled yet"

    bound.targets_of["server"].health_status = 200
    wait_for(lambda: bound.gate("server") == OPEN, "the gate is open")
    wait_for(lambda: "/" in bound.checkpoint(), "the binding is reconciled")

    bound.targets_of["server"].health_status = 503
    wait_for(lambda: bound.states() == {address: "unhealthy"}, "unhealthy again")
    assert bound.gate("server") == OPEN, "a gate that was opened stays open"


def test_a_target_group_outside_every_rule_keeps_its_pods_closed(bound: Bound, service: Service) -> None:
    bound.arn = service.create_group("unused")
    bound.create_binding()
    bound.start_pod("server")
    bound.set_containers_ready("server")

    description = "Target group is not configured to receive traffic from the load balancer"
    wait_for(lambda: bound.gate("server") == ("False", "Target.NotInUse", description), "the gate says why")


def test_a_deleted_binding_removes_its_targets_and_opens_every_gate(bound: Bound) -> None:
    bound.create_binding()
    bound.start_pod("target")
    bound.start_pod("never-ready")
    bound.set_containers_ready("target")
    wait_for(lambda: bound.gate("target") == OPEN, "registered and healthy")
    wait_for(lambda: "observedGeneration" in bound.binding().get("status", {}), "a status")
    binding = bound.binding()
    assert binding["metadata"]["finalizers"] == ["elbv2.k8s.aws/resources"]
    assert binding["status"] == {"observedGeneration": binding["metadata"]["generation"]}

    bound.delete_binding()
    assert bound.registered() == set()
    for pod in ("target", "never-ready"):
        assert bound.gate(pod) == ("True", None, "Target Group Binding is deleted")


@pytest.mark.parametrize(
    ("arn", "error"),
    [
        (
            "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/gone/0123456789abcdef",
            "TargetGroupNotFound",
        ),
        ("chat-blue", "ValidationError"),
    ],
)
def test_a_missing_target_group_is_reported_and_does_not_block_the_binding(bound: Bound, arn: str, error: str) -> None:
    bound.start_pod("server")
    bound.set_containers_ready("server")
    bound.create_binding(targetGroupARN=arn)

    def failures() -> set[tuple[str, str, str]]:
        return {event for event in bound.events() if event[:2] == ("Warning", "FailedReconcile")}

    wait_for(failures, "an event")
    assert all(error in message for _, _, message in failures())
    assert bound.binding()["metadata"]["finalizers"] == ["elbv2.k8s.aws/resources"]
    assert "status" not in bound.binding()
    assert bound.gate("server") == (None, None, None)
    bound.delete_binding()
    assert bound.states() == {}


def test_a_deleted_service_removes_its_targets(bound: Bound) -> None:
    bound.create_binding()
    address = bound.start_pod("server")
    bound.set_containers_ready("server")
    wait_for(lambda: bound.gate("server") == OPEN, "registered and healthy")

    bound.kube.delete("v1", "Service", bound.namespace, "chat")
    wait_for(lambda: not bound.registered(), "deregistered")
    missing = ("Warning", "BackendNotFound", 'backend not found: Service "chat" not found')
    wait_for(lambda: missing in bound.events(), "an event")
    wait_for(lambda: bound.gate("server")[0] == "True", "the gate is open")
    wait_for(lambda: bound.checkpoint() == "", "the binding will be reconciled again")

    bound.create_service()
    wait_for(lambda: bound.registered() == {address}, "registered again")


def test_a_port_that_the_service_lacks_is_reported(bound: Bound) -> None:
    bound.start_pod("server")
    bound.set_containers_ready("server")
    bound.create_binding(serviceRef={"name": "chat", "port": "grpc"})

    message = f"backend not found: unable to find port grpc on service {bound.namespace}/chat"
    wait_for(lambda: ("Warning", "BackendNotFound", message) in bound.events(), "an event")
    wait_for(lambda: SUCCESS in bound.events(), "the controller has finished")
    assert bound.states() == {}
    generation = bound.binding()["metadata"]["generation"]
    assert bound.binding()["status"] == {"observedGeneration": generation}


def test_foreign_targets_are_deregistered_by_the_first_reconciliation(bound: Bound, account: Account) -> None:
    account.elbv2.register_targets(TargetGroupArn=bound.arn, Targets=[{"Id": "10.127.99.99", "Port": 8000}])
    address = bound.start_pod("server")
    bound.set_containers_ready("server")
    bound.create_binding()
    wait_for(lambda: bound.registered() == {address}, "only our own target is left")


def test_errors_of_the_aws_api_are_retried(bound: Bound, account: Account) -> None:
    bound.create_binding()
    address = bound.start_pod("server")
    wait_for(lambda: SUCCESS in bound.events(), "the binding without targets is reconciled")

    def reasons() -> set[str]:
        return {reason for _, reason, _ in bound.events()}

    account.admin.set_faults(api_error_fraction=1, api_services=["elbv2"])
    try:
        bound.set_containers_ready("server")
        # The real one reads targets only now and then, so it clears its checkpoint first.
        wait_for(lambda: bound.checkpoint() == "" or "FailedReconcile" in reasons(), "the controller is working on it")
    finally:
        account.admin.set_faults(api_error_fraction=0, api_services=[])
    wait_for(lambda: bound.registered() == {address}, "registered at last")


def test_the_pods_are_open_to_the_load_balancer_while_a_binding_asks_for_it(bound: Bound, account: Account) -> None:
    group = account.ec2.create_security_group(
        VpcId=account.seeded.vpc_id, GroupName=bound.namespace, Description="a load balancer's"
    )["GroupId"]
    bound.create_binding(networking=_from_group(group))
    address = bound.start_pod("server")
    wait_for(lambda: SUCCESS in bound.events(), "the binding without targets is reconciled")
    assert bound.ingress() == set()

    bound.set_containers_ready("server")
    rule = ("tcp", 8000, 8000, group, "elbv2.k8s.aws/targetGroupBinding=shared")
    wait_for(lambda: bound.ingress() == {rule}, "the named port is open")
    wait_for(lambda: bound.registered() == {address}, "registered")

    bound.delete_binding()
    assert bound.ingress() == set()


def test_a_pod_that_is_unknown_to_aws_is_reported_but_serves(bound: Bound) -> None:
    bound.create_binding(networking=_from_group("sg-0123456789abcdef0"))
    address = bound.start_pod("server", known_to_aws=False)
    bound.set_containers_ready("server")

    wait_for(lambda: bound.registered() == {address}, "registered")
    wait_for(lambda: bound.gate("server") == OPEN, "the gate is open")
    reported = ("Warning", "FailedNetworkReconcile", f"cannot resolve pod ENI for pods: [{bound.namespace}/server]")
    assert reported in bound.events()
    assert bound.checkpoint() == "", "the binding is not reconciled"


def test_the_controller_listens_on_this_machine_only(controller: Process, bound: Bound) -> None:
    bound.create_binding()
    wait_for(lambda: SUCCESS in bound.events(), "the controller is up")
    assert {address for address in listening(controller.pid) if not ip_address(address).is_loopback} == set()


def test_the_events_of_a_binding(bound: Bound) -> None:
    bound.create_binding()
    bound.start_pod("server")
    bound.set_containers_ready("server")
    wait_for(lambda: bound.gate("server") == OPEN, "registered and healthy")
    wait_for(lambda: "/" in bound.checkpoint(), "the binding is reconciled")
    assert bound.events() == {SUCCESS}


def _from_group(group: str) -> Json:
    return {
        "ingress": [
            {"from": [{"securityGroup": {"groupID": group}}], "ports": [{"protocol": "TCP", "port": "http"}]},
        ]
    }
