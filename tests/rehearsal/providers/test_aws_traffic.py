"""Load balancers, target groups, listeners and rules against moto's AWS API."""

from dataclasses import dataclass
from typing import Any

import botocore.client
import grpc
import pytest

from rehearsal.providers.values import UNKNOWN, Tree
from tests.rehearsal.providers.conftest import FakeAws
from tests.rehearsal.providers.harness import Engine

pytestmark = pytest.mark.slow

BALANCER = "aws:lb/loadBalancer:LoadBalancer"
LISTENER = "aws:lb/listener:Listener"
RULE = "aws:lb/listenerRule:ListenerRule"
TARGET_GROUP = "aws:lb/targetGroup:TargetGroup"


@dataclass(frozen=True)
class Router:
    """A load balancer, a listener that answers 404, and a target group for each colour."""

    engine: Engine
    listener_arn: str
    blue_arn: str
    green_arn: str

    def rule(self, green_weight: int, **tags: str) -> Tree:
        groups = [
            {"arn": self.blue_arn, "weight": 100 - green_weight},
            {"arn": self.green_arn, "weight": green_weight},
        ]
        forward = {"targetGroups": groups, "stickiness": {"enabled": False, "duration": 3600}}
        return {
            "listenerArn": self.listener_arn,
            "priority": 100,
            "actions": [{"type": "forward", "forward": forward}],
            "conditions": [{"pathPattern": {"values": ["/v1/*"]}}],
            "tags": tags,
        }


def target_group(aws: FakeAws, **changes: object) -> Tree:
    health_check = {"path": "/health", "interval": 5, "timeout": 4, "matcher": "200"}
    return {
        "port": 8000,
        "protocol": "HTTP",
        "targetType": "ip",
        "vpcId": aws.vpc_id,
        "deregistrationDelay": 150,
        "healthCheck": health_check,
        **changes,
    }


@pytest.fixture
def router(aws: FakeAws, aws_engine: Engine) -> Router:
    balancer = aws_engine.up(BALANCER, "alb", {"subnets": aws.subnet_ids, "internal": True, "idleTimeout": 130})
    not_found = {"contentType": "text/plain", "statusCode": "404", "messageBody": "no such path"}
    listener = aws_engine.up(
        LISTENER,
        "http",
        {
            "loadBalancerArn": balancer["arn"],
            "port": 80,
            "protocol": "HTTP",
            "defaultActions": [{"type": "fixed-response", "fixedResponse": not_found}],
        },
    )
    arns = [aws_engine.up(TARGET_GROUP, color, target_group(aws))["arn"] for color in ("blue", "green")]
    return Router(aws_engine, listener["arn"], *arns)


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the AWS operations that change something, from now on."""
    calls: list[str] = []
    original: Any = getattr(botocore.client.BaseClient, "_make_api_call")  # noqa: B009

    def record(self: Any, operation: str, parameters: Any) -> Any:
        if not operation.startswith(("Describe", "Get", "List")):
            calls.append(operation)
        return original(self, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    return calls


def test_a_weight_change_is_one_call_and_names_the_two_weights(
    aws: FakeAws, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    router.engine.up(RULE, "rule", router.rule(0, serial="1"))
    calls = recorded(monkeypatch)
    router.engine.up(RULE, "rule", router.rule(25, serial="1"))
    assert router.engine.steps[-1].op == "update"
    assert router.engine.steps[-1].detailed_diff == {
        "actions[0].forward.targetGroups[0].weight": "update",
        "actions[0].forward.targetGroups[1].weight": "update",
    }
    assert calls == ["ModifyRule"]
    live = aws.client("elbv2").describe_rules(RuleArns=[router.engine.deployed(RULE, "rule").id])["Rules"][0]
    weights = {
        group["TargetGroupArn"]: group["Weight"] for group in live["Actions"][0]["ForwardConfig"]["TargetGroups"]
    }
    assert weights == {router.blue_arn: 75, router.green_arn: 25}


def test_a_tag_change_touches_tags_only_and_shows_in_tags_all(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    router.engine.up(RULE, "rule", router.rule(0, serial="1", old="x"))
    calls = recorded(monkeypatch)
    outputs = router.engine.up(RULE, "rule", router.rule(0, serial="2"))
    assert sorted(calls) == ["AddTags", "RemoveTags"]
    assert router.engine.steps[-1].detailed_diff == {
        "tags.old": "delete",
        "tags.serial": "update",
        "tagsAll.old": "delete",
        "tagsAll.serial": "update",
    }
    assert outputs["tagsAll"] == {"serial": "2"}


def test_an_unchanged_rule_is_the_same(router: Router) -> None:
    router.engine.up(RULE, "rule", router.rule(25))
    router.engine.up(RULE, "rule", router.rule(25))
    assert router.engine.steps[-1].op == "same"


def test_the_order_of_target_groups_is_no_difference(router: Router) -> None:
    inputs = router.rule(25)
    router.engine.up(RULE, "rule", inputs)
    inputs["actions"][0]["forward"]["targetGroups"].reverse()
    router.engine.up(RULE, "rule", inputs)
    assert router.engine.steps[-1].op == "same"


def test_drift_of_a_weight_shows_after_a_refresh_and_is_undone(aws: FakeAws, router: Router) -> None:
    outputs = router.engine.up(RULE, "rule", router.rule(25))
    forward = {
        "TargetGroups": [
            {"TargetGroupArn": router.blue_arn, "Weight": 100},
            {"TargetGroupArn": router.green_arn, "Weight": 0},
        ]
    }
    aws.client("elbv2").modify_rule(RuleArn=outputs["arn"], Actions=[{"Type": "forward", "ForwardConfig": forward}])
    router.engine.refresh(RULE, "rule")
    router.engine.up(RULE, "rule", router.rule(25))
    assert router.engine.steps[-1].op == "update"
    assert "actions[0].forward.targetGroups[1].weight" in router.engine.steps[-1].detailed_diff


def test_a_refresh_without_drift_leaves_no_difference(aws: FakeAws, router: Router) -> None:
    router.engine.up(RULE, "rule", router.rule(25, serial="1"))
    for kind, name, inputs in (
        (RULE, "rule", router.rule(25, serial="1")),
        (TARGET_GROUP, "blue", target_group(aws)),
        (BALANCER, "alb", {"subnets": aws.subnet_ids, "internal": True, "idleTimeout": 130}),
    ):
        router.engine.refresh(kind, name)
        router.engine.up(kind, name, inputs)
        assert router.engine.steps[-1].op == "same", (name, router.engine.steps[-1])


def test_a_candidate_route_is_a_rule_on_header_and_path(router: Router) -> None:
    conditions = [
        {"httpHeader": {"httpHeaderName": "x-candidate-route", "values": ["green-secret"]}},
        {"pathPattern": {"values": ["/v1/*"]}},
    ]
    inputs = {
        "listenerArn": router.listener_arn,
        "priority": 1,
        "actions": [{"type": "forward", "targetGroupArn": router.green_arn}],
        "conditions": conditions,
    }
    outputs = router.engine.up(RULE, "candidate", inputs)
    assert outputs["conditions"] == conditions
    router.engine.refresh(RULE, "candidate")
    router.engine.up(RULE, "candidate", inputs)
    assert router.engine.steps[-1].op == "same"


@pytest.mark.parametrize(
    ("changes", "path"),
    [({"port": 9000}, "port"), ({"targetType": "instance"}, "targetType"), ({"name": "other"}, "name")],
)
def test_an_immutable_change_replaces_a_target_group(
    aws: FakeAws, aws_engine: Engine, changes: Tree, path: str
) -> None:
    aws_engine.up(TARGET_GROUP, "kept", target_group(aws))
    answer = aws_engine.diff(TARGET_GROUP, "kept", target_group(aws, **changes))
    assert list(answer.replaces) == [path]
    aws_engine.delete(TARGET_GROUP, "kept")


def test_health_check_and_attributes_change_in_place(aws: FakeAws, aws_engine: Engine) -> None:
    aws_engine.up(TARGET_GROUP, "moving", target_group(aws))
    changed = target_group(aws, deregistrationDelay=200, healthCheck={"path": "/ready", "interval": 6, "timeout": 4})
    outputs = aws_engine.up(TARGET_GROUP, "moving", changed)
    assert aws_engine.steps[-1].op == "update"
    assert (outputs["deregistrationDelay"], outputs["healthCheck"]["path"]) == (200, "/ready")


def test_a_preview_leaves_what_aws_decides_unknown(aws: FakeAws, aws_engine: Engine) -> None:
    outputs = aws_engine.preview(TARGET_GROUP, "planned", target_group(aws))
    assert outputs["arn"] is UNKNOWN
    assert outputs["deregistrationDelay"] == 150


def test_an_aws_error_is_one_line_with_its_code(aws_engine: Engine) -> None:
    inputs = {
        "listenerArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/none/1/2",
        "actions": [{"type": "fixed-response", "fixedResponse": {"contentType": "text/plain", "statusCode": "404"}}],
        "conditions": [{"pathPattern": {"values": ["/"]}}],
        "priority": 1,
    }
    with pytest.raises(grpc.RpcError) as caught:
        aws_engine.up(RULE, "orphan", inputs)
    details = str(caught.value.details())
    assert "\n" not in details
    assert "ListenerRule orphan" in details
    assert "ListenerNotFound" in details


def test_a_resource_that_is_gone_is_read_as_gone_and_deletes_quietly(aws: FakeAws, router: Router) -> None:
    outputs = router.engine.up(RULE, "rule", router.rule(0))
    aws.client("elbv2").delete_rule(RuleArn=outputs["arn"])
    deployed = router.engine.deployed(RULE, "rule")
    assert router.engine.refresh(RULE, "rule") is None
    router.engine.put_back(RULE, "rule", deployed)
    router.engine.delete(RULE, "rule")
