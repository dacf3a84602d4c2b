"""ARNs and dimensions derived from other ARNs."""

import pytest

from components.domain.balancer.load_balancer_arns import (
    load_balancer_dimension,
    load_balancer_of,
    target_group_dimension,
)

PREFIX = "arn:aws:elasticloadbalancing:us-east-1:123456789012"


@pytest.mark.parametrize("name", ["shared", "listener", "a-1"])
def test_a_listener_tells_its_load_balancer(name: str) -> None:
    arn = load_balancer_of(f"{PREFIX}:listener/app/{name}/50dc6c495c0c9188/f2f7dc8efc522ab2")
    assert arn == f"{PREFIX}:loadbalancer/app/{name}/50dc6c495c0c9188"
    assert load_balancer_dimension(arn) == f"app/{name}/50dc6c495c0c9188"


def test_other_partitions_are_no_exception() -> None:
    arn = load_balancer_of("arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:listener/app/a/1/2")
    assert arn == "arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:loadbalancer/app/a/1"


def test_a_target_group_is_called_by_its_last_part() -> None:
    dimension = target_group_dimension(f"{PREFIX}:targetgroup/chat-blue-1/73e2d6bc24d8a067")
    assert dimension == "targetgroup/chat-blue-1/73e2d6bc24d8a067"
