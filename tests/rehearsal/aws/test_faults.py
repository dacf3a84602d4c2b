"""Injected faults and the admin port."""

import time
from collections.abc import Callable
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.rehearsal.aws.account import CLUSTER, REGION, Account, Service, wait_for
from tests.rehearsal.aws.farm import Farm

pytestmark = pytest.mark.slow

NewService = Callable[..., Service]

CALLS = {
    "elbv2": "describe_load_balancers",
    "ec2": "describe_vpcs",
    "eks": "list_clusters",
    "iam": "list_roles",
    "cloudwatch": "describe_alarms",
}


@pytest.fixture
def call_once(account: Account, new_service: NewService) -> Callable[[str], None]:
    """Makes one call to a service without retries."""
    del new_service  # it switches the faults off after the test

    clients: dict[str, Any] = {}

    def call(service: str) -> None:
        if service not in clients:
            clients[service] = boto3.client(  # pyright: ignore[reportCallIssue]
                service,  # pyright: ignore[reportArgumentType]
                endpoint_url=account.endpoint_url,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}),
            )
        getattr(clients[service], CALLS[service])()

    return call


@pytest.mark.parametrize("service", CALLS)
def test_throttled_calls_raise_boto3s_throttling_error(
    account: Account, call_once: Callable[[str], None], service: str
) -> None:
    account.admin.set_faults(api_throttle_fraction=1)
    with pytest.raises(ClientError) as failure:
        call_once(service)
    error = failure.value.response.get("Error", {})
    assert error.get("Code") in ("Throttling", "ThrottlingException", "RequestLimitExceeded")


@pytest.mark.parametrize("service", CALLS)
def test_server_errors_are_http_500(account: Account, call_once: Callable[[str], None], service: str) -> None:
    account.admin.set_faults(api_error_fraction=1)
    with pytest.raises(ClientError) as failure:
        call_once(service)
    assert failure.value.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 500


def test_api_faults_affect_only_the_named_services(account: Account, call_once: Callable[[str], None]) -> None:
    account.admin.set_faults(api_error_fraction=1, api_services=["eks"])
    call_once("elbv2")
    with pytest.raises(ClientError):
        call_once("eks")


def test_a_fraction_of_the_calls_is_throttled(account: Account, call_once: Callable[[str], None]) -> None:
    account.admin.set_faults(api_throttle_fraction=0.5)
    throttled = 0
    for _ in range(40):
        try:
            call_once("elbv2")
        except ClientError:
            throttled += 1
    assert 0 < throttled < 40


def test_api_latency_is_added(account: Account, call_once: Callable[[str], None]) -> None:
    call_once("elbv2")
    account.admin.set_faults(api_latency_seconds=0.4)
    started = time.monotonic()
    call_once("elbv2")
    assert time.monotonic() - started >= 0.4


def test_target_errors_affect_only_the_named_colours(account: Account, new_service: NewService, farm: Farm) -> None:
    service = new_service(50, 50)
    blue, green = farm.start("blue"), farm.start("green")
    service.register("blue", blue)
    service.register("green", green)
    account.admin.set_faults(target_error_fraction=1, target_error_colors=["green"])
    statuses = [service.http.post("/v1/echo").status_code for _ in range(40)]
    assert statuses.count(200) == blue.requests > 0
    assert statuses.count(502) == 40 - blue.requests > 0
    assert green.requests == 0


def test_an_unknown_fault_is_refused_and_nothing_changes(account: Account) -> None:
    before = account.admin.faults()
    with pytest.raises(httpx.HTTPStatusError):
        account.admin.set_faults(api_error_fraction=0.5, api_error_fractoin=1)
    with pytest.raises(httpx.HTTPStatusError):
        account.admin.set_faults(api_error_fraction=2)
    assert account.admin.faults() == before


def test_events_show_when_a_rule_change_was_requested_and_applied(account: Account, new_service: NewService) -> None:
    service = new_service(100, 0)
    account.admin.set_faults(weight_lag_seconds=0.3)
    known = account.admin.events()[-1]["number"]
    before = time.time()
    service.set_weights({"blue": 75, "green": 25})
    after = time.time()
    wait_for(service.rule_applied)
    asked, applied = (event for event in account.admin.events(since=known) if event.get("rule_arn") == service.rule_arn)
    assert (asked["type"], applied["type"]) == ("rule_asked", "rule_applied")
    assert asked["weights_before"] == {service.groups["blue"]: 100, service.groups["green"]: 0}
    assert asked["weights"] == applied["weights"] == {service.groups["blue"]: 75, service.groups["green"]: 25}
    assert before <= asked["at"] == applied["asked_at"] <= after
    assert 0.3 <= applied["at"] - asked["at"] < 2


def test_launches_of_nodes_fail_with_an_issue_and_activities_until_one_succeeds(
    account: Account, new_service: NewService
) -> None:
    del new_service  # it switches the faults off after the test
    subnet = account.seeded.private_subnet_ids[0]
    account.eks.create_nodegroup(
        clusterName=CLUSTER, nodegroupName="scarce", nodeRole="arn:aws:iam::123456789012:role/nodes", subnets=[subnet]
    )

    def group() -> Any:
        return account.eks.describe_nodegroup(clusterName=CLUSTER, nodegroupName="scarce")["nodegroup"]

    def launch() -> None:
        tags: Any = [{"Key": "eks:nodegroup-name", "Value": "scarce"}]
        specifications: Any = [{"ResourceType": "instance", "Tags": tags}]
        account.ec2.run_instances(
            ImageId="ami-1", InstanceType="g6e.xlarge", MinCount=1, MaxCount=1, TagSpecifications=specifications
        )

    def activities() -> list[tuple[str, str]]:
        name = group()["resources"]["autoScalingGroups"][0]["name"]
        found = account.autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
        return [(one["StatusCode"], one.get("StatusMessage", "")) for one in found]

    assert (group()["status"], activities()) == ("ACTIVE", [])
    account.admin.set_faults(launch_error_code="InsufficientInstanceCapacity")
    with pytest.raises(ClientError, match="sufficient g6e"):
        launch()
    assert group()["status"] == "DEGRADED"
    (issue,) = group()["health"]["issues"]
    assert issue["code"] == "AsgInstanceLaunchFailures"
    ((status, message),) = activities()
    assert status == "Failed"
    assert "InsufficientInstanceCapacity - We currently do not have sufficient" in message
    account.admin.set_faults(launch_error_code="")
    assert group()["status"] == "DEGRADED"
    launch()
    assert [status for status, _ in activities()] == ["Successful", "Failed"]
    assert (group()["status"], group()["health"]["issues"]) == ("ACTIVE", [])
