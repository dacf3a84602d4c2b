"""The answers of DescribeTargetHealth, and the drain of a deregistered target."""

import threading
import time
from collections.abc import Callable

import httpx
import pytest

from tests.rehearsal.aws.account import Account, Service, wait_for
from tests.rehearsal.aws.farm import PORT, Farm

pytestmark = pytest.mark.slow

NewService = Callable[..., Service]


def test_targets_of_a_group_in_no_rule_are_unused_and_not_checked(new_service: NewService, farm: Farm) -> None:
    service, target = new_service(100, 0), farm.start("blue")
    service.groups["spare"] = service.create_group("spare")
    service.register("spare", target, healthy=False)
    time.sleep(0.5)
    health = service.health("spare")[target.address]
    assert (health["State"], health["Reason"]) == ("unused", "Target.NotInUse")
    service.set_weights({"blue": 100, "spare": 0})
    wait_for(lambda: service.states("spare")[target.address] == "healthy")
    service.set_weights({"blue": 100, "green": 0})
    wait_for(lambda: service.states("spare")[target.address] == "unused")


def test_a_new_target_is_initial_until_one_check_passes(new_service: NewService, farm: Farm) -> None:
    service, target = new_service(100, 0), farm.start("blue")
    service.elbv2.modify_target_group(TargetGroupArn=service.groups["blue"], UnhealthyThresholdCount=10)
    target.health_status = 503
    service.register("blue", target, healthy=False)
    health = service.health("blue")[target.address]
    assert health["State"] == "initial"
    assert health["Reason"] in ("Elb.RegistrationInProgress", "Elb.InitialHealthChecking")
    target.health_status = 200
    wait_for(lambda: service.states("blue") == {target.address: "healthy"})


def test_failing_checks_make_a_target_unhealthy_with_the_code(new_service: NewService, farm: Farm) -> None:
    service, target = new_service(100, 0), farm.start("blue")
    service.register("blue", target)
    target.health_status = 418
    wait_for(lambda: service.states("blue") == {target.address: "unhealthy"})
    health = service.health("blue")[target.address]
    assert health["Reason"] == "Target.ResponseCodeMismatch"
    assert health["Description"] == "Health checks failed with these codes: [418]"
    service.elbv2.modify_target_group(TargetGroupArn=service.groups["blue"], Matcher={"HttpCode": "200,410-420"})
    wait_for(lambda: service.states("blue") == {target.address: "healthy"})


def test_a_stopped_target_fails_its_checks(new_service: NewService, farm: Farm) -> None:
    service, target = new_service(100, 0), farm.start("blue")
    service.register("blue", target)
    farm.stop(target)
    wait_for(lambda: service.states("blue") == {target.address: "unhealthy"})
    assert service.health("blue")[target.address]["Reason"] == "Target.FailedHealthChecks"


def test_a_target_is_an_address_and_a_port(new_service: NewService, farm: Farm) -> None:
    service, target = new_service(100, 0), farm.start("blue")
    group = service.groups["blue"]
    both = [{"Id": target.address, "Port": PORT}, {"Id": target.address, "Port": PORT + 1}]
    service.elbv2.register_targets(TargetGroupArn=group, Targets=both)  # pyright: ignore[reportArgumentType]

    def states() -> dict[int, str]:
        answer = service.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {one["Target"]["Port"]: one["TargetHealth"]["State"] for one in answer}  # pyright: ignore

    wait_for(lambda: states() == {PORT: "healthy", PORT + 1: "unhealthy"})
    service.elbv2.deregister_targets(TargetGroupArn=group, Targets=both[1:])  # pyright: ignore[reportArgumentType]
    assert states() == {PORT: "healthy", PORT + 1: "draining"}


def test_deregistering_an_unregistered_target_succeeds(new_service: NewService, farm: Farm) -> None:
    service, target = new_service(100, 0), farm.start("blue")
    service.deregister("blue", target)
    answer = service.elbv2.describe_target_health(
        TargetGroupArn=service.groups["blue"], Targets=[{"Id": target.address, "Port": PORT}]
    )["TargetHealthDescriptions"]
    assert [one.get("TargetHealth", {}).get("Reason") for one in answer] == ["Target.NotRegistered"]


def test_a_deregistered_target_finishes_its_streams_and_gets_no_new_requests(
    account: Account, new_service: NewService, farm: Farm
) -> None:
    service = new_service(100, 0, deregistration_delay_seconds=5)
    leaving, staying = farm.start("leaving"), farm.start("staying")
    service.register("blue", leaving)
    with service.http.stream("GET", "/v1/stream/10/100") as answer:
        chunks = answer.iter_raw()
        next(chunks)
        service.register("blue", staying)
        service.deregister("blue", leaving)
        assert service.states("blue") == {leaving.address: "draining", staying.address: "healthy"}
        time.sleep(0.3)
        assert service.names(10) == {"staying": 10}
        assert b"".join(chunks).endswith(b"[DONE]\n\n")
    assert service.states("blue")[leaving.address] == "draining"
    wait_for(lambda: leaving.address not in service.states("blue"))

    def events() -> list[str]:
        return [event["type"] for event in account.admin.events() if event.get("target") == f"{leaving.address}:{PORT}"]

    wait_for(lambda: "target_drained" in events())
    assert events() == ["target_registered", "target_health", "target_deregistered", "target_drained"]


@pytest.mark.parametrize("path", ["/v1/stream/100/50", "/v1/slow/5000"])
def test_requests_still_open_after_the_deregistration_delay_are_cut(
    account: Account, new_service: NewService, farm: Farm, path: str
) -> None:
    service, target = new_service(100, 0), farm.start("blue")
    service.register("blue", target)
    request_id = f"{service.name}-cut"
    outcome: list[object] = []

    def request() -> None:
        try:
            outcome.append(service.http.get(path, headers={"x-request-id": request_id}).status_code)
        except httpx.RemoteProtocolError as error:
            outcome.append(type(error))

    client = threading.Thread(target=request)
    client.start()
    wait_for(lambda: target.requests == 1)
    service.deregister("blue", target)
    client.join(5)
    logged = account.logged(request_id)
    assert logged["error"] == "deregistration_delay"
    assert outcome == [httpx.RemoteProtocolError if "stream" in path else 502]
    wait_for(lambda: target.cancelled == 1)


def test_requests_still_arrive_until_deregistration_has_propagated(
    account: Account, new_service: NewService, farm: Farm
) -> None:
    service, target = new_service(100, 0, deregistration_delay_seconds=3), farm.start("blue")
    service.register("blue", target)
    account.admin.set_faults(deregistration_propagation_seconds=0.5)
    service.deregister("blue", target)
    assert service.names(1) == {"blue": 1}
    time.sleep(0.5)
    assert service.http.post("/v1/echo").status_code == 503


def test_a_draining_target_can_be_registered_again(new_service: NewService, farm: Farm) -> None:
    service, target = new_service(100, 0), farm.start("blue")
    service.register("blue", target)
    service.deregister("blue", target)
    service.register("blue", target)
    time.sleep(1.2)
    assert service.states("blue") == {target.address: "healthy"}
    assert service.names(1) == {"blue": 1}
