"""A running AWS account for tests, and services in it: a load balancer with a blue and a green target group."""

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx

from rehearsal.aws.client import AwsAdmin
from rehearsal.aws.seed import SeededAccount, SeedSettings, seed
from rehearsal.system.processes import Process, free_port
from tests.rehearsal.aws.farm import PORT, Target

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_eks import EKSClient
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

REGION = "us-east-1"
CLUSTER = "test"
WEIGHT_LAG_SECONDS = 0.02
_numbers = itertools.count(1)


def wait_for(fact: Callable[[], object], timeout_seconds: float = 30) -> None:
    """Wait until ``fact()`` is true. Fails the test at the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not fact():
        assert time.monotonic() < deadline, "did not become true in time"
        time.sleep(0.02)


@dataclass
class Account:
    """A running, seeded account."""

    api_port: int
    alb_port: int
    admin: AwsAdmin
    access_log: Path
    seeded: SeededAccount = field(init=False)

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def _access(self) -> dict[str, str]:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return keys | {"region_name": REGION, "endpoint_url": self.endpoint_url}

    @cached_property
    def elbv2(self) -> "ElasticLoadBalancingv2Client":
        return boto3.client("elbv2", **self._access)  # pyright: ignore[reportCallIssue, reportArgumentType]

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        return boto3.client("cloudwatch", **self._access)  # pyright: ignore[reportCallIssue, reportArgumentType]

    @cached_property
    def ec2(self) -> "EC2Client":
        return boto3.client("ec2", **self._access)  # pyright: ignore[reportCallIssue, reportArgumentType]

    @cached_property
    def autoscaling(self) -> Any:
        access: Any = self._access
        return boto3.client("autoscaling", **access)

    @cached_property
    def eks(self) -> "EKSClient":
        return boto3.client("eks", **self._access)  # pyright: ignore[reportCallIssue, reportArgumentType]

    def logged(self, request_id: str) -> dict[str, Any]:
        """Wait for a request's line in the access log and return it."""
        found: list[dict[str, Any]] = []

        def search() -> bool:
            lines = map(json.loads, self.access_log.read_text().splitlines())
            found.extend(line for line in lines if line["request_id"] == request_id)
            return bool(found)

        wait_for(search)
        assert len(found) == 1
        return found[0]


@contextmanager
def running_account(folder: Path) -> Generator[Account]:
    """Run a seeded account with short lags, intervals and metric periods."""
    api_port, alb_port, admin_port = free_port(), free_port(), free_port()
    settings = folder / "settings.json"
    settings.write_text(
        json.dumps(
            {
                "api_port": api_port,
                "alb_port": alb_port,
                "admin_port": admin_port,
                "access_log": str(folder / "access.jsonl"),
                "weight_lag_seconds": WEIGHT_LAG_SECONDS,
                "deregistration_propagation_seconds": 0.1,
                "health_check_interval_scale": 0.06,
                "cloudwatch_period_seconds": 1,
            }
        )
    )
    command = [sys.executable, "-m", "rehearsal.aws", "--settings", settings]
    process = Process.start("aws", command, log=folder / "aws.log")
    with AwsAdmin(admin_port) as admin:
        running = Account(api_port, alb_port, admin, folder / "access.jsonl")
        try:
            process.wait_until(admin.healthy, timeout_seconds=30)
            running.seeded = seed(SeedSettings(running.endpoint_url, CLUSTER))
            yield running
        finally:
            process.stop()


class Service:
    """A load balancer with a weighted rule over a blue and a green target group."""

    def __init__(self, account: Account, weights: Mapping[str, int], deregistration_delay_seconds: int = 1) -> None:
        self.account = account
        self.elbv2 = account.elbv2
        self.name = f"service-{next(_numbers)}"
        balancer = self.elbv2.create_load_balancer(
            Name=self.name, Subnets=account.seeded.private_subnet_ids, Scheme="internal"
        )["LoadBalancers"][0]
        self.load_balancer_arn = str(balancer.get("LoadBalancerArn"))
        self.dns_name = str(balancer.get("DNSName"))
        self.groups = {color: self.create_group(color, deregistration_delay_seconds) for color in ("blue", "green")}
        listener = self.elbv2.create_listener(
            LoadBalancerArn=self.load_balancer_arn,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[
                {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "MessageBody": "nothing here"}}
            ],
        )["Listeners"][0]
        self.listener_arn = str(listener.get("ListenerArn"))
        self.rule_arn = self.create_rule(100, "weighted-rule", weights, [_path("/v1/*")])
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{account.alb_port}",
            headers={"Host": self.dns_name},
            timeout=10,
            verify=False,  # plain HTTP: no certificates to load
        )
        wait_for(self.rule_applied)

    def create_group(self, color: str, deregistration_delay_seconds: int = 1) -> str:
        """Create a target group for the colour, not in a rule yet."""
        group = self.elbv2.create_target_group(
            Name=f"{self.name}-{color}-{next(_numbers)}",
            Protocol="HTTP",
            Port=PORT,
            VpcId=self.account.seeded.vpc_id,
            TargetType="ip",
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
            Tags=[{"Key": "vllm-blue-green/color", "Value": color}],
        )["TargetGroups"][0]
        arn = str(group.get("TargetGroupArn"))
        self.elbv2.modify_target_group_attributes(
            TargetGroupArn=arn,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": str(deregistration_delay_seconds)}],
        )
        return arn

    def create_rule(
        self, priority: int, role: str, weights: Mapping[str, int], conditions: Sequence[dict[str, Any]]
    ) -> str:
        rule = self.elbv2.create_rule(
            ListenerArn=self.listener_arn,
            Priority=priority,
            Conditions=list(conditions),  # pyright: ignore[reportArgumentType]
            Actions=[self._forward(weights)],  # pyright: ignore[reportArgumentType]
            Tags=[{"Key": "vllm-blue-green/role", "Value": role}],
        )["Rules"][0]
        return str(rule.get("RuleArn"))

    def create_candidate_rule(self, color: str, secret: str) -> None:
        header = {"HttpHeaderName": "x-candidate-route", "Values": [secret]}
        conditions = [{"Field": "http-header", "HttpHeaderConfig": header}, _path("/v1/*")]
        arn = self.create_rule(10, "candidate-rule", {color: 1}, conditions)
        wait_for(lambda: self.rule_applied(arn))

    def set_weights(self, weights: Mapping[str, int], stickiness_seconds: int | None = None) -> None:
        """Request new weights without waiting until requests follow them."""
        self.elbv2.modify_rule(
            RuleArn=self.rule_arn,
            Actions=[self._forward(weights, stickiness_seconds)],  # pyright: ignore[reportArgumentType]
        )

    def rule_applied(self, rule_arn: str | None = None) -> bool:
        """Return whether requests follow the rule as requested."""
        rules = [rule for rule in self.account.admin.state()["rules"] if rule["arn"] == (rule_arn or self.rule_arn)]
        return rules[0]["weights_applied"] == rules[0]["weights_asked"]

    def register(self, color: str, *targets: Target, healthy: bool = True) -> None:
        """Register targets, and with ``healthy`` wait until they are healthy."""
        self.elbv2.register_targets(
            TargetGroupArn=self.groups[color], Targets=[{"Id": one.address, "Port": PORT} for one in targets]
        )
        if healthy:
            wait_for(lambda: set(self.states(color).values()) == {"healthy"})

    def deregister(self, color: str, target: Target) -> None:
        self.elbv2.deregister_targets(TargetGroupArn=self.groups[color], Targets=[{"Id": target.address, "Port": PORT}])

    def health(self, color: str) -> dict[str, dict[str, str]]:
        """Return each target's state, reason and description by its address."""
        answer = self.elbv2.describe_target_health(TargetGroupArn=self.groups[color])
        return {one["Target"]["Id"]: one["TargetHealth"] for one in answer["TargetHealthDescriptions"]}  # pyright: ignore

    def states(self, color: str) -> dict[str, str]:
        return {address: health["State"] for address, health in self.health(color).items()}

    def counters(self, color: str) -> dict[str, Any]:
        """Return the target group in the admin port's state."""
        groups = self.account.admin.state()["target_groups"]
        return next(group for group in groups if group["arn"] == self.groups[color])

    def set_attribute(self, name: str, value: str) -> None:
        """Set a load balancer attribute and wait until it is in effect."""
        self.elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=self.load_balancer_arn, Attributes=[{"Key": name, "Value": value}]
        )
        time.sleep(0.2)

    def names(self, requests: int) -> Counter[str]:
        """Send this many requests and count the answers of each target."""
        return Counter(self.http.post("/v1/echo").json()["name"] for _ in range(requests))

    def delete(self) -> None:
        self.http.close()
        self.elbv2.delete_load_balancer(LoadBalancerArn=self.load_balancer_arn)

    def _forward(self, weights: Mapping[str, int], stickiness_seconds: int | None = None) -> dict[str, Any]:
        stickiness: dict[str, Any] = {"Enabled": False, "DurationSeconds": 3600}
        if stickiness_seconds is not None:
            stickiness = {"Enabled": True, "DurationSeconds": stickiness_seconds}
        groups = [{"TargetGroupArn": self.groups[color], "Weight": weight} for color, weight in weights.items()]
        return {
            "Type": "forward",
            "ForwardConfig": {"TargetGroups": groups, "TargetGroupStickinessConfig": stickiness},
        }


def _path(pattern: str) -> dict[str, Any]:
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": [pattern]}}
