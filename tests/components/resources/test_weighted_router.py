"""The declared path of a request."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pulumi
import pytest

from components.config.sections.cohort_settings import CohortSettings
from components.config.sections.router_settings import LISTENER, AccessLogs, ListenerSettings
from components.domain.balancer.traffic import ColorState, Traffic
from components.domain.naming import COLORS, Color
from components.domain.pods.drain_chain import drain_chain
from components.resources.weighted_router import WeightedRouter, WeightedRouterArgs
from tests.components.example import SECRET
from tests.components.registrations import Registrations, register


def _traffic(
    green_weight: int, *, active_color: Color = "blue", keep_until: datetime | None = None, rollout_serial: int = 0
) -> Traffic:
    return Traffic(
        weights={"blue": 100 - green_weight, "green": green_weight},
        active_color=active_color,
        keep_until=keep_until,
        rollout_serial=rollout_serial,
        colors={"blue": ColorState(), "green": ColorState(release_id="0a1b2c3d4e5f", replicas=4)},
    )


ARGS: dict[str, Any] = {
    "service": "chat",
    "vpc_id": "vpc-0a",
    "subnet_ids": ["subnet-1", "subnet-2"],
    "pod_security_group_id": "sg-0c",
    "client_cidrs": ("10.0.0.0/8",),
    "internet_facing": False,
    "certificate_arn": None,
    "candidate_route_secret": SECRET,
    "drain_chain": drain_chain(120, 30),
    "health_check_interval_seconds": 10,
    "traffic": _traffic(25),
    "protect": True,
}
ON_THE_WAY = [
    ("LoadBalancer", "chat"),
    ("Listener", "chat"),
    ("ListenerRule", "chat"),
    ("TargetGroup", "chat-blue"),
    ("TargetGroup", "chat-green"),
]


def _declare(**changes: Any) -> Registrations:
    return register(lambda: WeightedRouter("chat", WeightedRouterArgs(**{**ARGS, **changes})))


@pytest.fixture(scope="module")
def declared() -> Registrations:
    return _declare()


def _forward(declared: Registrations) -> dict[str, Any]:
    (action,) = declared["ListenerRule", "chat"].inputs["actions"]
    assert action["type"] == "forward"
    return action["forward"]


@pytest.mark.parametrize("green_weight", [0, 1, 100])
def test_both_colours_stay_in_the_rule_with_explicit_weights(green_weight: int) -> None:
    assert _forward(_declare(traffic=_traffic(green_weight)))["targetGroups"] == [
        {"arn": "arn:TargetGroup:chat-blue", "weight": 100 - green_weight},
        {"arn": "arn:TargetGroup:chat-green", "weight": green_weight},
    ]


def test_nothing_outranks_the_weights(declared: Registrations) -> None:
    # Set explicitly: otherwise a refresh would show a difference, and a duration of 0 is not valid.
    assert _forward(declared)["stickiness"] == {"enabled": False, "duration": 3600}
    for color in COLORS:
        stickiness = declared["TargetGroup", f"chat-{color}"].inputs["stickiness"]
        assert stickiness == {"type": "lb_cookie", "enabled": False}


def test_the_weighted_rule_carries_what_the_scripts_look_for() -> None:
    traffic = _traffic(100, active_color="green", keep_until=datetime(2026, 11, 22, 8, tzinfo=UTC), rollout_serial=7)
    assert _declare(traffic=traffic)["ListenerRule", "chat"].inputs["tags"] == {
        "vllm-blue-green/stack": "test",
        "vllm-blue-green/service": "chat",
        "vllm-blue-green/role": "weighted-rule",
        "vllm-blue-green/active-color": "green",
        "vllm-blue-green/keep-until": "2026-11-22T08:00:00Z",
        "vllm-blue-green/rollout-serial": "7",
        "vllm-blue-green/rolling-out": "false",
        "vllm-blue-green/announced": "",
        "vllm-blue-green/blue": "unused",
        "vllm-blue-green/green": "0a1b2c3d4e5f x4",
    }


@pytest.mark.parametrize("color", COLORS)
def test_the_candidate_route_reaches_its_colour_before_the_weights_are_asked(
    declared: Registrations, color: Color
) -> None:
    rule = declared["ListenerRule", f"chat-{color}-candidate"].inputs
    assert rule["priority"] < declared["ListenerRule", "chat"].inputs["priority"]
    assert rule["actions"] == [{"type": "forward", "targetGroupArn": f"arn:TargetGroup:chat-{color}"}]
    assert rule["conditions"] == [
        {"httpHeader": {"httpHeaderName": "x-candidate-route", "values": [f"{color}-{SECRET}"]}},
        {"pathPattern": {"values": ["/v1/*"]}},
    ]
    assert rule["tags"]["vllm-blue-green/role"] == "candidate-rule"
    assert rule["tags"]["vllm-blue-green/color"] == color


def test_the_secret_of_the_candidate_route_stays_secret(declared: Registrations) -> None:
    for color in COLORS:
        assert declared["ListenerRule", f"chat-{color}-candidate"].secrets == {
            "conditions[0].httpHeader.values[0]",
        }
    holders = {reference for reference, resource in declared.resources.items() if SECRET in str(resource.inputs)}
    assert holders == {("ListenerRule", f"chat-{color}-candidate") for color in COLORS}
    assert SECRET not in str(declared.outputs)


@pytest.mark.parametrize("secret", ["*", "short", "with spaces, which is not well", "wildcard-at-the-end*"])
def test_a_secret_that_others_could_match_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(pulumi.RunError, match="must be 16 to 100 letters") as raised:
        _declare(candidate_route_secret=secret)
    assert secret not in str(raised.value).removeprefix("vllm-blue-green:candidate_route_secret")


def test_only_the_api_is_reachable(declared: Registrations) -> None:
    for rule in declared.of_type("ListenerRule").values():
        assert {"pathPattern": {"values": ["/v1/*"]}} in rule.inputs["conditions"]
    (default,) = declared["Listener", "chat"].inputs["defaultActions"]
    assert default["type"] == "fixed-response"
    assert default["fixedResponse"]["statusCode"] == "404"


def test_without_a_certificate_the_listener_speaks_http(declared: Registrations) -> None:
    listener = declared["Listener", "chat"].inputs
    assert (listener["protocol"], listener["port"]) == ("HTTP", 80)
    assert declared.outputs["WeightedRouter", "chat"]["endpoint"] == "http://chat.elb.example"


def test_with_a_certificate_it_speaks_modern_tls_only() -> None:
    declared = _declare(certificate_arn="arn:aws:acm:us-east-1:1:certificate/x")
    listener = declared["Listener", "chat"].inputs
    assert (listener["protocol"], listener["port"]) == ("HTTPS", 443)
    assert listener["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
    assert declared["SecurityGroupIngressRule", "chat-clients-0"].inputs["toPort"] == 443
    assert declared.outputs["WeightedRouter", "chat"]["endpoint"] == "https://chat.elb.example"


def test_timeouts_come_from_the_drain_chain() -> None:
    declared = _declare(drain_chain=drain_chain(200, 40))
    assert declared["LoadBalancer", "chat"].inputs["idleTimeout"] == 210
    for color in COLORS:
        assert declared["TargetGroup", f"chat-{color}"].inputs["deregistrationDelay"] == 240


@pytest.mark.parametrize(("interval", "timeout"), [(5, 4), (10, 5), (300, 5)])
def test_a_health_check_ends_before_the_next_begins(interval: int, timeout: int) -> None:
    check = _declare(health_check_interval_seconds=interval)["TargetGroup", "chat-blue"].inputs["healthCheck"]
    assert (check["interval"], check["timeout"], check["path"]) == (interval, timeout, "/health")


def test_targets_are_pods_and_the_least_busy_one_is_next(declared: Registrations) -> None:
    group = declared["TargetGroup", "chat-green"].inputs
    assert (group["targetType"], group["port"], group["protocol"]) == ("ip", 8000, "HTTP")
    assert group["loadBalancingAlgorithmType"] == "least_outstanding_requests"
    assert group["slowStart"] == 0, "it does not go with that algorithm"


def test_clients_reach_the_listener_and_the_load_balancer_reaches_pods_and_that_is_all() -> None:
    declared = _declare(client_cidrs=("10.0.0.0/8", "fd00::/8"))
    ingress = [rule.inputs for rule in declared.of_type("SecurityGroupIngressRule").values()]
    assert {(rule.get("cidrIpv4"), rule.get("cidrIpv6"), rule["fromPort"], rule["toPort"]) for rule in ingress} == {
        ("10.0.0.0/8", None, 80, 80),
        (None, "fd00::/8", 80, 80),
    }
    (egress,) = (rule.inputs for rule in declared.of_type("SecurityGroupEgressRule").values())
    assert (egress["referencedSecurityGroupId"], egress["fromPort"], egress["toPort"]) == ("sg-0c", 8000, 8000)
    assert {"ingress", "egress"}.isdisjoint(declared["SecurityGroup", "chat"].inputs)


@pytest.mark.parametrize("internet_facing", [False, True])
def test_the_load_balancer_is_internal_unless_asked_otherwise(internet_facing: bool) -> None:
    inputs = _declare(internet_facing=internet_facing)["LoadBalancer", "chat"].inputs
    assert inputs["internal"] is not internet_facing
    assert inputs["dropInvalidHeaderFields"] is True


def test_plain_http_is_sent_to_https_when_there_is_a_certificate(declared: Registrations) -> None:
    assert ("Listener", "chat-redirect") not in declared
    encrypted = _declare(certificate_arn="arn:aws:acm:us-east-1:1:certificate/x", client_cidrs=("10.0.0.0/8", "::/0"))
    redirect = encrypted["Listener", "chat-redirect"]
    assert (redirect.inputs["protocol"], redirect.inputs["port"]) == ("HTTP", 80)
    (action,) = redirect.inputs["defaultActions"]
    assert action == {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"}}
    # The old listener uses port 80 until it has moved to 443.
    assert ("Listener", "chat") in redirect.dependencies
    for position, cidr in enumerate(["cidrIpv4", "cidrIpv6"]):
        rule = encrypted["SecurityGroupIngressRule", f"chat-redirect-{position}"]
        assert (rule.inputs["fromPort"], rule.inputs["toPort"], cidr in rule.inputs) == (80, 80, True)
        assert ("SecurityGroupIngressRule", f"chat-clients-{position}") in rule.dependencies


def test_access_logs_are_written_where_asked_and_only_then(declared: Registrations) -> None:
    assert "accessLogs" not in declared["LoadBalancer", "chat"].inputs
    logs = _declare(access_logs=AccessLogs(bucket="logs", prefix="vllm"))["LoadBalancer", "chat"].inputs["accessLogs"]
    assert logs == {"bucket": "logs", "prefix": "vllm", "enabled": True}
    logs = _declare(access_logs=AccessLogs(bucket="logs"))["LoadBalancer", "chat"].inputs["accessLogs"]
    assert logs == {"bucket": "logs", "enabled": True}


def test_ambiguous_requests_and_invalid_headers_stay_outside(declared: Registrations) -> None:
    inputs = declared["LoadBalancer", "chat"].inputs
    assert (inputs["desyncMitigationMode"], inputs["dropInvalidHeaderFields"]) == ("defensive", True)


@pytest.mark.parametrize("protect", [True, False])
def test_what_requests_pass_through_is_protected_when_asked(protect: bool) -> None:
    declared = _declare(protect=protect)
    assert {resource.protect for resource in (declared[reference] for reference in ON_THE_WAY)} == {protect}
    assert declared["LoadBalancer", "chat"].inputs["enableDeletionProtection"] is protect


def test_scripts_find_each_target_group_by_its_tags(declared: Registrations) -> None:
    for color in COLORS:
        assert declared["TargetGroup", f"chat-{color}"].inputs["tags"] == {
            "vllm-blue-green/stack": "test",
            "vllm-blue-green/service": "chat",
            "vllm-blue-green/role": "target-group",
            "vllm-blue-green/color": color,
        }


def _listener(**changes: Any) -> ListenerSettings:
    values = {
        "arn": LISTENER.example,
        "security_group_id": "sg-0e",
        "idle_timeout_seconds": 300,
        "rule_priority": 40,
        **changes,
    }
    return ListenerSettings.model_validate(values)


@pytest.fixture(scope="module")
def joined() -> Registrations:
    return _declare(listener=_listener(host="chat.example.com"))


def test_on_a_joined_listener_there_are_only_target_groups_rules_and_alarms_of_ours(joined: Registrations) -> None:
    assert {kind for kind, _ in joined.resources} == {"WeightedRouter", "TargetGroup", "ListenerRule", "MetricAlarm"}
    assert {rule.inputs["listenerArn"] for rule in joined.of_type("ListenerRule").values()} == {LISTENER.example}


def test_on_a_joined_listener_the_candidate_routes_come_right_before_the_weights(joined: Registrations) -> None:
    assert {name: rule.inputs["priority"] for name, rule in joined.of_type("ListenerRule").items()} == {
        "chat-blue-candidate": 38,
        "chat-green-candidate": 39,
        "chat": 40,
    }


def test_every_rule_of_a_service_with_a_host_is_for_that_host_alone(joined: Registrations) -> None:
    for rule in joined.of_type("ListenerRule").values():
        assert {"hostHeader": {"values": ["chat.example.com"]}} in rule.inputs["conditions"]
        assert {"pathPattern": {"values": ["/v1/*"]}} in rule.inputs["conditions"]
    for rule in _declare(listener=_listener()).of_type("ListenerRule").values():
        assert not any("hostHeader" in condition for condition in rule.inputs["conditions"])


def test_a_joined_load_balancer_has_no_endpoint_output(joined: Registrations) -> None:
    assert joined.outputs["WeightedRouter", "chat"] == {"weighted_rule_arn": "arn:ListenerRule:chat"}


def test_the_secret_stays_secret_on_a_joined_listener_too(joined: Registrations) -> None:
    holders = {reference for reference, resource in joined.resources.items() if SECRET in str(resource.inputs)}
    assert holders == {("ListenerRule", f"chat-{color}-candidate") for color in COLORS}
    assert all(joined[reference].secrets for reference in holders)
    assert SECRET not in str(joined.outputs)


def test_all_in_aws_carries_stack_service_and_role_and_its_colour_where_it_has_one(joined: Registrations) -> None:
    own = _declare(certificate_arn="arn:aws:acm:us-east-1:1:certificate/x")
    roles: dict[str, set[str]] = {}
    for declared in (own, joined):
        for (kind, name), resource in declared.resources.items():
            if not resource.token.startswith("aws:"):
                continue
            tags = resource.inputs["tags"]
            assert (tags["vllm-blue-green/stack"], tags["vllm-blue-green/service"]) == ("test", "chat")
            color = next((color for color in COLORS if color in name), None)
            assert tags.get("vllm-blue-green/color") == color
            roles.setdefault(kind, set()).add(tags["vllm-blue-green/role"])
    assert roles == {
        "SecurityGroup": {"security-group"},
        "SecurityGroupIngressRule": {"security-group-rule"},
        "SecurityGroupEgressRule": {"security-group-rule"},
        "LoadBalancer": {"load-balancer"},
        "Listener": {"listener", "redirect-listener"},
        "TargetGroup": {"target-group"},
        "ListenerRule": {"candidate-rule", "weighted-rule"},
        "MetricAlarm": {"alarm"},
    }


def test_nothing_has_a_name_that_would_stand_in_a_replacements_way_or_another_stacks(declared: Registrations) -> None:
    for resource in declared.resources.values():
        assert {"name", "namePrefix"}.isdisjoint(resource.inputs), resource.reference
    assert max(len(name) + len("-1234567") for name in declared.of_type("TargetGroup")) <= 32


FRIENDS = CohortSettings.model_validate(
    {"name": "friends", "priority": 20, "header": "X-Tenant", "values": ["acme", "umbrella-*"]}
)


@pytest.mark.parametrize("color", COLORS)
def test_a_cohort_has_a_rule_of_its_own_that_leads_to_one_colour_whatever_the_weights(color: Color) -> None:
    declared = _declare(cohorts=(FRIENDS,), traffic=replace(_traffic(25), cohorts={"friends": color}))
    rule = declared["ListenerRule", "chat-cohort-friends"].inputs
    assert rule["priority"] == 20
    assert rule["conditions"][0]["httpHeader"] == {
        "httpHeaderName": "X-Tenant",
        "values": ["acme", "umbrella-*"],
    }
    assert any("pathPattern" in one for one in rule["conditions"])
    groups = rule["actions"][0]["forward"]["targetGroups"]
    assert [group["weight"] for group in groups] == [100 if one == color else 0 for one in COLORS]
    assert rule["tags"]["vllm-blue-green/cohort"] == "friends"
    assert rule["tags"]["vllm-blue-green/role"] == "cohort-rule"
    weighted = declared["ListenerRule", "chat"].inputs
    assert weighted["tags"]["vllm-blue-green/cohorts"] == f"friends:{color}"
    assert [group["weight"] for group in weighted["actions"][0]["forward"]["targetGroups"]] == [75, 25]
