"""The product's load balancer, listener and rules, as its program registers them, against moto's AWS API."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.elbv2.models import elbv2_backends
from multidict import CIMultiDict

from components.domain.balancer.balancer_metrics import REQUESTS, SERVER_ERRORS
from components.domain.naming import CANDIDATE_ROUTE_HEADER, COLORS
from rehearsal.aws.balancer.routing import RequestView, rule_for
from rehearsal.aws.moto.moto_topology import read_topology
from rehearsal.aws.topology import Forward
from rehearsal.providers.values import Tree
from rollout.adapters.aws.load_balancer import Elbv2LoadBalancer
from tests.components.example import SECRET, release, run_program
from tests.components.registrations import STACK, Registered, Registrations
from tests.rehearsal.providers.conftest import FakeAws
from tests.rehearsal.providers.harness import Engine

pytestmark = pytest.mark.slow

WAY_IN = ("aws:lb/", "aws:ec2/securityGroup", "aws:vpc/", "aws:cloudwatch/")
BOTH: dict[str, Any] = {"blue": {"release": release()}, "green": {"release": release(model_revision="beef123")}}


@dataclass
class Deployment:
    """The program's router resources, with the mocks' made-up values replaced by AWS's own."""

    engine: Engine
    real: dict[str, str] = field(default_factory=dict[str, str])
    outputs: dict[tuple[str, str], Tree] = field(default_factory=dict[tuple[str, str], Tree])

    def up(self, declared: Registrations) -> dict[tuple[str, str], str]:
        """Create or update everything. Return the operation on each resource."""
        done: dict[tuple[str, str], str] = {}
        for resource in sorted(declared.resources.values(), key=lambda one: one.position):
            if resource.token.startswith(WAY_IN):
                outputs = self.engine.up(resource.token, resource.name, self.inputs(resource))
                done[resource.reference] = self.engine.steps[-1].op
                self._learn(resource, outputs)
        return done

    def inputs(self, resource: Registered) -> Tree:
        def resolved(value: Any) -> Any:
            if isinstance(value, dict):
                tree: Tree = value
                return {key: resolved(item) for key, item in tree.items()}
            if isinstance(value, list):
                items: list[Any] = value
                return [resolved(item) for item in items]
            return self.real.get(value, value) if isinstance(value, str) else value

        return resolved(resource.inputs)

    def _learn(self, resource: Registered, outputs: Tree) -> None:
        kind, name = resource.reference
        self.outputs[kind, name] = outputs
        self.real[f"arn:{kind}:{name}"] = outputs["dashboardArn"] if kind == "Dashboard" else outputs["arn"]
        self.real[f"id:{kind}:{name}"] = outputs["id"]
        if "arnSuffix" in outputs:
            self.real[f"{'app' if kind == 'LoadBalancer' else 'targetgroup'}/{name}/1"] = outputs["arnSuffix"]


@pytest.fixture
def deployment(aws_engine: Engine) -> Deployment:
    return Deployment(aws_engine)


def program(aws: FakeAws, **changes: Any) -> Registrations:
    group = aws.client("ec2").describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [aws.vpc_id]}])
    return run_program(
        **{
            "vpc_id": aws.vpc_id,
            "load_balancer_subnet_ids": aws.subnet_ids,
            "cluster_security_group_id": group["SecurityGroups"][0]["GroupId"],
            **BOTH,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def certificate_arn(aws: FakeAws) -> str:
    return aws.client("acm").request_certificate(DomainName="llm.example.com")["CertificateArn"]


def test_the_whole_router_is_created_once_and_then_left_alone(
    aws: FakeAws, deployment: Deployment, certificate_arn: str
) -> None:
    declared = program(aws, certificate_arn=certificate_arn, access_logs={"bucket": "logs", "prefix": "vllm"})
    assert set(deployment.up(declared).values()) == {"create"}
    assert set(deployment.up(declared).values()) == {"same"}
    for kind, name in deployment.engine.names():
        deployment.engine.refresh(kind, name)
    assert set(deployment.up(declared).values()) == {"same"}


def test_a_step_of_a_ramp_is_one_update_of_the_rule(aws: FakeAws, deployment: Deployment) -> None:
    deployment.up(program(aws, green_weight=1))
    done = deployment.up(program(aws, green_weight=25))
    assert {reference: op for reference, op in done.items() if op != "same"} == {("ListenerRule", "llm"): "update"}


def test_alarms_are_in_aws_as_declared_and_watch_what_the_gates_watch(aws: FakeAws, deployment: Deployment) -> None:
    deployment.up(program(aws, alarms={"topic_arns": ["arn:aws:sns:us-east-1:123456789012:on-call"]}))
    client = aws.client("cloudwatch")
    scripts = Elbv2LoadBalancer(
        aws.client("elbv2"), stack=STACK, service="llm", listener_arn=deployment.outputs["Listener", "llm"]["arn"]
    )
    for color in COLORS:
        wanted = scripts.dimensions(color)
        for purpose in ("errors", "unhealthy", "response-time"):
            name = deployment.outputs["MetricAlarm", f"llm-{color}-{purpose}"]["name"]
            (alarm,) = client.describe_alarms(AlarmNames=[name])["MetricAlarms"]
            assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:123456789012:on-call"]
            assert alarm["TreatMissingData"] == "notBreaching"
            watched = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
            for metric in watched or [alarm]:
                assert {one["Name"]: one["Value"] for one in metric["Dimensions"]} == wanted
            if watched:
                names = {metric["MetricName"] for metric in watched}
                assert names == {"RequestCount", "HTTPCode_Target_5XX_Count"}
                assert names <= {name for name, _ in (REQUESTS, SERVER_ERRORS)}


def test_a_dashboard_is_in_aws_as_declared_and_its_limits_change_it_alone(aws: FakeAws, deployment: Deployment) -> None:
    declared = program(aws, dashboard=True)
    deployment.up(declared)
    assert set(deployment.up(declared).values()) == {"same"}
    client, name = aws.client("cloudwatch"), "vllm-blue-green-test-llm-us-east-1"
    assert json.loads(client.get_dashboard(DashboardName=name)["DashboardBody"])["widgets"]
    limits = {"gates": {"target_group_latency": {"limit_seconds": 7}}}
    done = deployment.up(program(aws, dashboard=True, rollout=limits))
    assert {reference: op for reference, op in done.items() if op != "same"} == {("Dashboard", "llm"): "update"}
    assert '"value": 7' in client.get_dashboard(DashboardName=name)["DashboardBody"]
    kind = declared["Dashboard", "llm"].token
    deployment.engine.refresh(kind, "llm")
    deployment.engine.delete(kind, "llm")
    assert client.list_dashboards()["DashboardEntries"] == []


def test_a_certificate_moves_the_listener_and_leaves_a_redirect_where_it_was(
    aws: FakeAws, deployment: Deployment, certificate_arn: str
) -> None:
    deployment.up(program(aws))
    done = deployment.up(program(aws, certificate_arn=certificate_arn))
    assert done["Listener", "llm"] == "update"
    assert done["Listener", "llm-redirect"] == "create"
    listeners = aws.client("elbv2").describe_listeners(
        LoadBalancerArn=deployment.outputs["LoadBalancer", "llm"]["arn"]
    )["Listeners"]
    assert {one["Port"]: (one["Protocol"], one["DefaultActions"][0]["Type"]) for one in listeners} == {
        443: ("HTTPS", "fixed-response"),
        80: ("HTTP", "redirect"),
    }


def test_a_replacement_target_group_is_created_beside_the_one_in_use(aws: FakeAws, deployment: Deployment) -> None:
    """So the rule can move to the new one before the old one is deleted."""
    declared = program(aws)
    deployment.up(declared)
    old = deployment.outputs["TargetGroup", "llm-green"]
    group = declared["TargetGroup", "llm-green"]
    other = Engine(deployment.engine.stub, seed=b"another")
    new = other.up(group.token, group.name, {**group.inputs, "port": 8001})
    assert new["name"] != old["name"]
    deployment.real["arn:TargetGroup:llm-green"] = new["arn"]
    rules = [declared["ListenerRule", name] for name in ("llm", "llm-green-candidate")]
    for rule in rules:
        deployment.engine.up(rule.token, rule.name, deployment.inputs(rule))
    deployment.engine.delete(group.token, group.name)
    groups = aws.client("elbv2").describe_target_groups()["TargetGroups"]
    assert old["arn"] not in {one["TargetGroupArn"] for one in groups}


@dataclass(frozen=True)
class Foreign:
    """Another owner's load balancer and listener, with requests routed by an ALB's own rules."""

    load_balancer_arn: str
    listener_arn: str

    def meets(self, host: str, path: str, **headers: str) -> str:
        """Return the role tag of the rule that a request matches, and the rule's weights, if any."""
        topology = read_topology(elbv2_backends["123456789012"]["us-east-1"])
        (balancer,) = (one for one in topology.load_balancers if one.arn == self.load_balancer_arn)
        (listener,) = balancer.listeners
        request = RequestView("POST", host, path, "", CIMultiDict(headers), "10.0.0.9")
        rule = rule_for(listener.rules, request)
        assert rule is not None
        if not isinstance(rule.action, Forward):
            return rule.kind
        names = {group.arn: group.name.rpartition("-")[0] for group in topology.target_groups}
        return " ".join([rule.kind, *(f"{names[arn]}={weight}" for arn, weight in rule.action.weights)])


@pytest.fixture
def foreign(aws: FakeAws) -> Iterator[Foreign]:
    client = aws.client("elbv2")
    balancer = client.create_load_balancer(Name="shared", Subnets=aws.subnet_ids)["LoadBalancers"][0]
    arn = balancer["LoadBalancerArn"]
    not_found = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    made = client.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=[not_found])
    yield Foreign(arn, made["Listeners"][0]["ListenerArn"])
    client.delete_load_balancer(LoadBalancerArn=arn)


def _on(listener_arn: str, **weights: int) -> dict[str, Any]:
    """Return settings of services that share a listener, by name, at these green weights."""
    return {
        name: {
            **BOTH,
            "green_weight": weight,
            "endpoint_url": f"https://{name}.example.com",
            "listener": {
                "arn": listener_arn,
                "security_group_id": "sg-0e",
                "idle_timeout_seconds": 300,
                "rule_priority": 10 * position,
                "host": f"{name}.example.com",
            },
        }
        for position, (name, weight) in enumerate(weights.items(), start=1)
    }


def test_services_on_another_owners_listener_are_found_and_moved_independently(
    aws: FakeAws, foreign: Foreign, deployment: Deployment
) -> None:
    def declare(**weights: int) -> Registrations:
        return program(aws, blue=None, green=None, services=_on(foreign.listener_arn, **weights))

    done = deployment.up(declare(chat=1, code=75))
    assert {kind for kind, _ in done} == {"TargetGroup", "ListenerRule", "MetricAlarm"}
    chat, code = (
        Elbv2LoadBalancer(aws.client("elbv2"), stack=STACK, service=name, listener_arn=foreign.listener_arn)
        for name in ("chat", "code")
    )
    assert (chat.rule().weights["green"], code.rule().weights["green"]) == (1, 75)
    done = deployment.up(declare(chat=25, code=75))
    assert {reference: op for reference, op in done.items() if op != "same"} == {("ListenerRule", "chat"): "update"}
    assert (chat.rule().weights["green"], code.rule().weights["green"]) == (25, 75)
    alarm = deployment.outputs["MetricAlarm", "code-blue-unhealthy"]
    assert alarm["dimensions"] == chat.dimensions("blue") | {"TargetGroup": code.dimensions("blue")["TargetGroup"]}


def test_services_on_one_listener_get_only_their_own_requests_and_candidates(
    aws: FakeAws, foreign: Foreign, deployment: Deployment
) -> None:
    deployment.up(program(aws, blue=None, green=None, services=_on(foreign.listener_arn, chat=1, code=75)))
    assert foreign.meets("chat.example.com", "/v1/completions") == "weighted chat-blue=99 chat-green=1"
    assert foreign.meets("code.example.com", "/v1/completions") == "weighted code-blue=25 code-green=75"
    for name in ("chat", "code"):
        for color in COLORS:
            route = {CANDIDATE_ROUTE_HEADER: f"{color}-{SECRET}"}
            met = foreign.meets(f"{name}.example.com", "/v1/completions", **route)
            assert met == f"candidate {name}-{color}=1"
        assert foreign.meets(f"{name}.example.com", "/metrics") == "fixed"
    assert foreign.meets("search.example.com", "/v1/completions") == "fixed"
