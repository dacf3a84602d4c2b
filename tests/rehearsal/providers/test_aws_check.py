"""What the AWS provider accepts, fills in and refuses before it calls AWS."""

from collections.abc import Iterator

import grpc
import pytest

from rehearsal.providers.aws.provider import AwsProvider
from rehearsal.providers.values import UNKNOWN, Tree, from_struct
from tests.rehearsal.providers.harness import CheckFailedError, Engine, engine_for

TARGET_GROUP = "aws:lb/targetGroup:TargetGroup"
RULE = "aws:lb/listenerRule:ListenerRule"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with engine_for(AwsProvider()) as engine:
        yield engine


def target_group(**changes: object) -> Tree:
    return {"port": 8000, "protocol": "HTTP", "targetType": "ip", "vpcId": "vpc-1", **changes}


def rule(weight: object = 25, **changes: object) -> Tree:
    groups = [{"arn": UNKNOWN, "weight": 75}, {"arn": UNKNOWN, "weight": weight}]
    return {
        "listenerArn": "arn",
        "actions": [{"type": "forward", "forward": {"targetGroups": groups}}],
        "conditions": [{"pathPattern": {"values": ["/v1/*"]}}],
        **changes,
    }


def test_a_misspelt_property_is_reported_with_the_nearest_known_one(engine: Engine) -> None:
    with pytest.raises(CheckFailedError, match=r"deregistrationDelai: is not a property .* deregistrationDelay"):
        engine.check(TARGET_GROUP, "blue", target_group(deregistrationDelai=150))


def test_a_misspelt_nested_property_is_named_by_its_path(engine: Engine) -> None:
    with pytest.raises(CheckFailedError, match=r"healthCheck\.pth: is not a property .* path"):
        engine.check(TARGET_GROUP, "blue", target_group(healthCheck={"pth": "/health"}))


def test_an_unknown_type_is_refused_with_the_nearest_known_one(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError, match=r"has no type aws:lb/targetGroups:TargetGroups.*TargetGroup"):
        engine.check("aws:lb/targetGroups:TargetGroups", "blue", {})


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        (rule(1000), r"actions\[0\]\.forward\.targetGroups\[1\]\.weight: must be from 0 to 999, not 1000"),
        (rule("much"), r"weight: must be a int, not 'much'"),
        (rule(priority=50_001), "priority: must be from 1 to 50000"),
        (rule(conditions=UNKNOWN, listenerArn=None), "listenerArn: is required"),
    ],
)
def test_a_rule_that_aws_would_refuse_is_refused_in_check(engine: Engine, inputs: Tree, complaint: str) -> None:
    with pytest.raises(CheckFailedError, match=complaint):
        engine.check(RULE, "rule", inputs)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"deregistrationDelay": 3601}, "must be from 0 to 3600, not 3601"),
        ({"slowStart": 10}, "must be 0 or from 30 to 900, not 10"),
        ({"name": "a" * 33}, "at most 32 characters"),
        ({"name": "-blue"}, "must match"),
        ({"name": "blue", "namePrefix": "b"}, "conflicts with namePrefix"),
        ({"protocol": "SCTP"}, "must be one of HTTP, HTTPS, not 'SCTP'"),
        ({"tags": {str(i): "" for i in range(51)}}, "has 51 tags; AWS allows 50"),
    ],
)
def test_a_target_group_that_aws_would_refuse_is_refused_in_check(
    engine: Engine, changes: Tree, complaint: str
) -> None:
    with pytest.raises(CheckFailedError, match=complaint):
        engine.check(TARGET_GROUP, "blue", target_group(**changes))


def test_every_failure_is_reported_at_once(engine: Engine) -> None:
    with pytest.raises(CheckFailedError) as caught:
        engine.check(TARGET_GROUP, "blue", target_group(slowStart=1, deregistrationDelay=-1, nam="x"))
    assert len(str(caught.value).splitlines()) == 3


def test_defaults_of_the_real_provider_are_filled_in_and_noted(engine: Engine) -> None:
    inputs = from_struct(engine.check(TARGET_GROUP, "blue", target_group()))
    assert (inputs["deregistrationDelay"], inputs["slowStart"]) == (300, 0)
    assert inputs["__defaults"] == ["deregistrationDelay", "name", "slowStart"]


def test_text_is_converted_as_the_real_provider_does(engine: Engine) -> None:
    check = {"port": 8000, "interval": "10", "enabled": "true"}
    inputs = from_struct(engine.check(TARGET_GROUP, "blue", target_group(healthCheck=check)))
    assert {key: inputs["healthCheck"][key] for key in check} == {"port": "8000", "interval": 10, "enabled": True}


def test_a_name_is_the_logical_name_with_seven_hex_digits_from_the_seed(engine: Engine) -> None:
    first = from_struct(engine.check(TARGET_GROUP, "blue", target_group()))["name"]
    assert from_struct(engine.check(TARGET_GROUP, "blue", target_group()))["name"] == first
    engine.seed = b"another"
    other = from_struct(engine.check(TARGET_GROUP, "blue", target_group()))["name"]
    assert first.startswith("blue-")
    assert len(first) == len("blue-") + 7
    assert other != first


def test_a_logical_name_that_is_too_long_for_a_name_is_refused(engine: Engine) -> None:
    with pytest.raises(CheckFailedError, match="is too long for a name"):
        engine.check(TARGET_GROUP, "a-service-with-a-long-name-blue", target_group())


def test_unknown_values_pass_the_check(engine: Engine) -> None:
    inputs = from_struct(engine.check(TARGET_GROUP, "blue", target_group(vpcId=UNKNOWN, tags=UNKNOWN)))
    assert inputs["vpcId"] is UNKNOWN


def test_default_tags_of_the_provider_join_the_resource_s(engine: Engine) -> None:
    engine.configure(region="us-east-1", defaultTags='{"tags": {"team": "ml", "a": "default"}}')
    inputs = from_struct(engine.check(TARGET_GROUP, "blue", target_group(tags={"a": "own"})))
    assert inputs["tags"] == {"team": "ml", "a": "own"}
