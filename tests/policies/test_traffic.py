"""Traffic, beyond the cases: readers, unknown values, secrets, and hand-written resources."""

from collections.abc import Mapping
from typing import Any

import pytest
from pulumi_policy import Policy

from policies import traffic
from policies.resources import LISTENER, LISTENER_RULE, LOAD_BALANCER, TARGET_GROUP, Resource, is_on
from policies.router import candidate_header, only_redirects, target_group_color
from policies.rule import Share, color_in, shares
from tests.policies.edits import GONE, UNKNOWN, Edits, edited
from tests.policies.judge import Violation, judge
from tests.policies.releases import GREEN_ID
from tests.policies.stacks import Declared, stack

GROUPS = "actions[0].forward.targetGroups"
KEEP_ALIVE = "spec.template.spec.containers[0].env[name=VLLM_HTTP_TIMEOUT_KEEP_ALIVE]"
ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{}/0123456789abcdef"

NO_ARNS: Edits = {"ListenerRule chat": {f"{GROUPS}[0].arn": UNKNOWN, f"{GROUPS}[1].arn": UNKNOWN}}


def found(base: str, edits: Edits, *policies: Policy, **config: Any) -> list[Violation]:
    """What policies find in an edited stack; ``config`` is that of the first one."""
    return judge(edited(stack(base), edits), {policies[0].name: config}, policies)


def messages(base: str, edits: Edits, policy: Policy) -> list[str | None]:
    return [violation.message for violation in found(base, edits, policy)]


def checked(
    policy: Policy, type_: str, props: Mapping[str, Any], name: str = "web", **options: Any
) -> list[str | None]:
    """What a policy says of one resource that somebody wrote by hand."""
    resource = Declared(type=type_, name=name, props=dict(props), **options)
    return [violation.message for violation in judge({resource.key: resource}, policies=(policy,))]


def forward(**weights: Any) -> dict[str, Any]:
    """A weighted rule without any tags."""
    groups = [{"arn": ARN.format(f"chat-{color}"), "weight": weight} for color, weight in weights.items()]
    return {"actions": [{"type": "forward", "forward": {"targetGroups": groups}}]}


def resource(type_: str, props: Mapping[str, Any], name: str = "web") -> Resource:
    return Resource(type=type_, name=name, urn="", props=props)


class TestReaders:
    @pytest.mark.parametrize(
        ("name", "service", "color"),
        [
            ("chat-blue", None, "blue"),
            ("chat-blue-0a1b2c3", "chat", "blue"),
            ("blue-chat-green-0a1b2c3", "blue-chat", "green"),
            ("blue-chat-green", None, None),
            ("evergreen", None, None),
            ("chat-canary-blue", "chat", None),
        ],
    )
    def test_a_name_says_its_colour_by_a_word_of_its_own(
        self, name: str, service: str | None, color: str | None
    ) -> None:
        assert color_in(name, service) == color

    def test_a_target_group_without_a_tag_has_the_colour_of_its_name(self) -> None:
        assert target_group_color(resource(TARGET_GROUP, {"name": "chat-green"})) == "green"
        assert target_group_color(resource(TARGET_GROUP, {}, name="chat-blue")) == "blue"
        assert target_group_color(resource(TARGET_GROUP, {})) is None
        assert target_group_color(resource(LISTENER_RULE, {}, name="chat-blue")) is None

    def test_a_tag_outranks_a_name(self) -> None:
        tags = {"vllm-blue-green/color": "green"}
        assert target_group_color(resource(TARGET_GROUP, {"tags": tags, "name": "blue"}, name="blue")) == "green"

    def test_one_target_group_alone_gets_everything(self) -> None:
        arn = ARN.format("chat-green")
        alone = {"actions": [{"type": "forward", "targetGroupArn": arn}]}
        assert shares(resource(LISTENER_RULE, alone)) == [Share(arn=arn, color="green", weight=100)]

    def test_an_import_that_has_both_ways_to_write_it_has_it_once(self) -> None:
        both = forward(blue=40)
        both["actions"][0]["targetGroupArn"] = ARN.format("chat-blue")
        assert [share.weight for share in shares(resource(LISTENER_RULE, both))] == [40]

    def test_a_listener_forwards_by_its_default_actions(self) -> None:
        default = {"defaultActions": [{"type": "forward", "targetGroupArn": ARN.format("chat-blue")}]}
        assert [share.color for share in shares(resource(LISTENER, default))] == ["blue"]
        assert shares(resource(LISTENER_RULE, default)) == []

    def test_an_action_that_answers_by_itself_forwards_nowhere(self) -> None:
        answer = {"type": "fixed-response", "fixedResponse": {"statusCode": "404"}, "forward": None}
        assert shares(resource(LISTENER_RULE, {"actions": [answer]})) == []

    @pytest.mark.parametrize(
        ("value", "on"), [(True, True), ("true", True), ("True", True), (False, False), ("false", False), ("", False)]
    )
    def test_a_switch_is_a_boolean_or_a_text(self, value: Any, on: bool) -> None:
        assert is_on(value) is on
        assert is_on(value, by_default=True) is on

    def test_a_switch_that_is_not_there_is_what_aws_makes_of_it(self) -> None:
        assert not is_on(None)
        assert is_on(None, by_default=True)

    def test_a_listener_that_redirects_some_only_is_none_that_only_redirects(self) -> None:
        redirect = {"type": "redirect", "redirect": {"protocol": "HTTPS"}}
        assert only_redirects(resource(LISTENER, {"defaultActions": [redirect]}))
        assert not only_redirects(resource(LISTENER, {"defaultActions": [redirect, {"type": "forward"}]}))

    def test_other_headers_are_no_candidate_routes(self) -> None:
        header = {"httpHeaderName": "X-Tenant", "values": ["a"]}
        assert candidate_header(resource(LISTENER_RULE, {"conditions": [{"httpHeader": header}]})) is None


class TestHandWrittenRules:
    def test_a_rule_without_tags_is_weighted_when_it_forwards_to_both_colours(self) -> None:
        rule = forward(blue=70, green=20)
        assert checked(traffic.weights_add_up, LISTENER_RULE, rule) == [
            "web: the sum of the weights is 90, but must be 100. Set both from one green_weight: green gets it, "
            "blue the rest."
        ]

    def test_its_stickiness_counts(self) -> None:
        rule = forward(blue=70, green=30)
        rule["actions"][0]["forward"]["stickiness"] = {"enabled": "true", "duration": 60}
        assert len(checked(traffic.stickiness_off, LISTENER_RULE, rule)) == 1

    def test_what_it_ignores_counts(self) -> None:
        rule = forward(blue=70, green=30)
        paths = ("actions[0].forward.targetGroups[1].weight",)
        assert len(checked(traffic.weights_not_ignored, LISTENER_RULE, rule, ignore_changes=paths)) == 1

    @pytest.mark.parametrize(
        ("path", "covers"),
        [
            ("actions", True),
            ("actions[*]", True),
            ('["actions"][0]["forward"]', True),
            ("actions[0].forward.targetGroups[0].arn", True),
            ("actions[0].forward.stickiness.enabled", False),
            ("actions[0].targetGroupArn", False),
            ("tags", True),
            ("tags.*", True),
            ("tags.vllm-blue-green/announced", True),
            ('tags["vllm-blue-greenish"]', False),
            ('tags["Name"]', False),
            ("tagsAll", False),
            ("priority", False),
            ("*", True),
        ],
    )
    def test_what_covers_traffic(self, path: str, covers: bool) -> None:
        found = checked(traffic.weights_not_ignored, LISTENER_RULE, forward(blue=0, green=100), ignore_changes=(path,))
        assert bool(found) is covers

    def test_one_that_leads_to_another_application_may_be_sticky_and_ignored(self) -> None:
        rule = forward(blue=100)
        rule["actions"][0]["forward"]["stickiness"] = {"enabled": True}
        assert checked(traffic.stickiness_off, LISTENER_RULE, rule) == []
        assert checked(traffic.weights_not_ignored, LISTENER_RULE, rule, ignore_changes=("*",)) == []


class TestWeightNeedsRelease:
    def test_a_parked_candidate_may_not_have_one_percent(self) -> None:
        edits = {
            "ListenerRule chat": {
                f"{GROUPS}[0].weight": 99,
                f"{GROUPS}[1].weight": 1,
                'tags["vllm-blue-green/green"]': f"{GREEN_ID} parked",
            }
        }
        [message] = messages("ramp", edits, traffic.weight_needs_release)
        assert message is not None
        assert message.startswith(f"chat: the weight of green, which is {GREEN_ID} parked is 1, but must be 0. Set")

    def test_blue_gives_its_weight_to_green(self) -> None:
        edits = {
            "ListenerRule chat": {'tags["vllm-blue-green/blue"]': "unused", 'tags["vllm-blue-green/green"]': "cafe x1"}
        }
        [message] = messages("first", edits, traffic.weight_needs_release)
        assert message is not None
        assert "Set green_weight to 100 first, or start blue again." in message

    def test_neither_colour_has_a_release_and_both_have_weight(self) -> None:
        edits = {
            "ListenerRule chat": {
                f"{GROUPS}[0].weight": 50,
                f"{GROUPS}[1].weight": 50,
                'tags["vllm-blue-green/blue"]': "unused",
            }
        }
        assert messages("first", edits, traffic.weight_needs_release) == []

    def test_a_rule_that_cannot_be_read_is_for_other_policies(self) -> None:
        edits = {"ListenerRule chat": {'tags["vllm-blue-green/green"]': "?"}}
        assert messages("ramp", edits, traffic.weight_needs_release) == []


class TestCandidateRoutes:
    @pytest.mark.parametrize("value", ["s3cret", "*", "s3cret-part-of-the-route*", "", "green-"])
    def test_no_message_shows_a_secret(self, value: str) -> None:
        edits = {"ListenerRule chat-green-candidate": {"conditions[0].httpHeader.values": [value], "priority": 500}}
        said = messages("ramp", edits, traffic.candidate_route_first)
        assert len(said) == 2
        assert not any("s3cret" in (message or "") for message in said)

    def test_no_values_are_no_secret(self) -> None:
        edits = {"ListenerRule chat-green-candidate": {"conditions[0].httpHeader.values": []}}
        [message] = messages("ramp", edits, traffic.candidate_route_first)
        assert message is not None
        assert "its secret is one that can be guessed" in message

    def test_a_secret_that_is_not_known_yet_hides_no_wrong_priority(self) -> None:
        edits = {"ListenerRule chat-blue-candidate": {"conditions[0].httpHeader.values": UNKNOWN, "priority": 200}}
        first, second = messages("ramp", edits, traffic.candidate_route_first)
        assert first is not None
        assert first.startswith("chat-blue-candidate: priority is 200")
        assert second is None, "not evaluated is not passed"

    def test_another_service_keeps_being_judged(self) -> None:
        edits = {
            "ListenerRule chat-blue-candidate": {"listenerArn": UNKNOWN},
            "ListenerRule code-green-candidate": GONE,
        }
        said = messages("joined", edits, traffic.candidate_route_first)
        assert [bool(message) for message in said] == [True, False]

    def test_a_service_can_be_exempted(self) -> None:
        edits = {"ListenerRule code-green-candidate": GONE}
        assert len(found("joined", edits, traffic.candidate_route_first)) == 1
        assert found("joined", edits, traffic.candidate_route_first, exempt=["code"]) == []

    def test_a_rule_for_one_tenant_is_no_candidate_route(self) -> None:
        tenant = {
            "tags": {"vllm-blue-green/service": "chat"},
            "conditions": [{"httpHeader": {"httpHeaderName": "x-tenant", "values": ["beta"]}}],
            "actions": [{"type": "forward", "targetGroupArn": ARN.format("chat-green")}],
        }
        rule = Declared(type=LISTENER_RULE, name="beta", props=tenant)
        assert judge({**stack("ramp"), rule.key: rule}, policies=(traffic.candidate_route_first,)) == []

    def test_without_a_weighted_rule_there_is_nothing_to_come_before(self) -> None:
        edits = {"ListenerRule chat": GONE, "ListenerRule chat-green-candidate": GONE}
        assert messages("ramp", edits, traffic.candidate_route_first) == []


class TestDrain:
    def test_vllm_closes_connections_after_five_seconds_unless_told_otherwise(self) -> None:
        edits = {"Deployment chat-blue": {KEEP_ALIVE: {"name": "OTHER", "value": "x"}}}
        [message] = messages("ramp", edits, traffic.keep_alive_outlasts_idle_timeout)
        assert message is not None
        assert message.startswith("chat-blue: VLLM_HTTP_TIMEOUT_KEEP_ALIVE is 5, but must be more than 130")

    def test_a_keep_alive_that_is_no_number_ends_the_server(self) -> None:
        edits = {"Deployment chat-blue": {f"{KEEP_ALIVE}.value": "long"}}
        assert len(messages("ramp", edits, traffic.keep_alive_outlasts_idle_timeout)) == 1

    def test_a_keep_alive_that_comes_from_elsewhere_is_unknown(self) -> None:
        variable = {
            "name": "VLLM_HTTP_TIMEOUT_KEEP_ALIVE",
            "valueFrom": {"configMapKeyRef": {"name": "times", "key": "a"}},
        }
        edits = {"Deployment chat-blue": {KEEP_ALIVE: variable}}
        assert messages("ramp", edits, traffic.keep_alive_outlasts_idle_timeout) == []

    def test_the_longest_idle_timeout_of_several_counts(self) -> None:
        tags = {"vllm-blue-green/service": "chat"}
        added = [
            Declared(type=LOAD_BALANCER, name=name, props={"tags": tags, "idleTimeout": seconds})
            for name, seconds in (("one", 4000), ("two", 200))
        ]
        resources = {**stack("ramp"), **{one.key: one for one in added}}
        said = [one.message for one in judge(resources, policies=(traffic.keep_alive_outlasts_idle_timeout,))]
        assert len(said) == 2
        assert all("more than 4000, the idle timeout of one" in (message or "") for message in said)

    def test_a_server_that_says_no_shutdown_timeout_needs_no_time_for_it(self) -> None:
        flag = "spec.template.spec.containers[0].args[--shutdown-timeout]"
        edits = {
            "Deployment chat-blue": {flag: GONE},
            "Deployment chat-green": {flag: GONE},
            "TargetGroup chat-blue": {"deregistrationDelay": 30},
            "TargetGroup chat-green": {"deregistrationDelay": 29},
            "LoadBalancer chat": {"idleTimeout": 10},
        }
        [violation] = found(
            "ramp", edits, traffic.deregistration_delay_covers_drain, traffic.idle_timeout_outlasts_streams
        )
        assert violation.message is not None
        assert violation.message.startswith("chat-green: deregistrationDelay is 29, but must be at least 30")
        assert violation.resource == "TargetGroup chat-green"

    def test_a_server_that_stops_at_once_needs_no_sleep(self) -> None:
        edits = {
            "Deployment chat-blue": {"spec.template.spec.containers[0].lifecycle": GONE},
            "TargetGroup chat-blue": {"deregistrationDelay": 120},
        }
        assert messages("ramp", edits, traffic.deregistration_delay_covers_drain) == []

    def test_a_target_group_without_a_colour_belongs_to_no_pods(self) -> None:
        group = Declared(
            type=TARGET_GROUP, name="web", props={"tags": {"vllm-blue-green/service": "chat"}, "deregistrationDelay": 0}
        )
        resources = {**stack("ramp"), group.key: group}
        assert judge(resources, policies=(traffic.deregistration_delay_covers_drain,)) == []

    def test_a_delay_that_is_not_known_yet_is_not_evaluated(self) -> None:
        edits = {"TargetGroup chat-blue": {"deregistrationDelay": UNKNOWN}}
        assert messages("ramp", edits, traffic.deregistration_delay_covers_drain) == [None]

    def test_without_pods_any_idle_timeout_will_do(self) -> None:
        edits: Edits = {"Deployment chat-blue": GONE, "LoadBalancer chat": {"idleTimeout": 1}}
        assert messages("first", edits, traffic.idle_timeout_outlasts_streams) == []


class TestUnknownTargetGroups:
    """In the first preview, ARNs are unknown."""

    @pytest.mark.parametrize(
        "policy", [traffic.weights_add_up, traffic.both_target_groups, traffic.weight_needs_release]
    )
    def test_what_needs_them_is_not_evaluated(self, policy: Policy) -> None:
        assert messages("ramp", NO_ARNS, policy) == [None]

    @pytest.mark.parametrize(
        "policy", [traffic.weights_not_ignored, traffic.stickiness_off, traffic.candidate_route_first]
    )
    def test_what_does_not_is_evaluated(self, policy: Policy) -> None:
        assert messages("ramp", NO_ARNS, policy) == []


class TestHealth:
    @pytest.mark.parametrize("matcher", ["200", "200-299", "200,201", "204"])
    def test_success_is_healthy(self, matcher: str) -> None:
        group = {"healthCheck": {"path": "/health", "matcher": matcher}}
        assert checked(traffic.health_checked, TARGET_GROUP, group, name="chat-blue") == []

    @pytest.mark.parametrize("matcher", ["200-399", "200,404", "302", "0-99"])
    def test_nothing_else_is(self, matcher: str) -> None:
        group = {"healthCheck": {"path": "/health", "matcher": matcher}}
        assert len(checked(traffic.health_checked, TARGET_GROUP, group, name="chat-blue")) == 1

    def test_a_port_that_is_not_the_target_groups_is_another_servers(self) -> None:
        group = {"healthCheck": {"path": "/health", "port": "8001"}, "port": 8000}
        assert len(checked(traffic.health_checked, TARGET_GROUP, group, name="chat-blue")) == 1

    def test_it_says_all_that_is_wrong_at_once(self) -> None:
        group = {"healthCheck": {"enabled": "false", "path": "/", "matcher": "404", "port": 1}}
        assert len(checked(traffic.health_checked, TARGET_GROUP, group, name="chat-blue")) == 4
