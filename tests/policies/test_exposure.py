"""Exposure, beyond the cases: unknown values, resources that somebody wrote by hand, and the edges of networks."""

from collections.abc import Mapping
from typing import Any

import pytest
from pulumi_policy import Policy

from policies import exposure
from policies.resources import (
    INGRESS_RULE,
    LAUNCH_TEMPLATE,
    LISTENER,
    LISTENER_RULE,
    LOAD_BALANCER,
    NODE_GROUP,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    TARGET_GROUP_BINDING,
)
from tests.policies.edits import GONE, UNKNOWN, Edits, edited
from tests.policies.judge import judge
from tests.policies.stacks import Declared, stack

WORLD = "0.0.0.0/0"
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "203.0.113.7/32", "fc00::/7", "10.1.2.3/8"]


def messages(base: str, edits: Edits, policy: Policy) -> list[str | None]:
    return [violation.message for violation in judge(edited(stack(base), edits), policies=(policy,))]


def checked(policy: Policy, type_: str, props: Mapping[str, Any], **config: Any) -> list[str | None]:
    """What a policy says of one resource that somebody wrote by hand."""
    resource = Declared(type=type_, name="web", props=dict(props))
    found = judge({resource.key: resource}, {policy.name: config}, policies=(policy,))
    return [violation.message for violation in found]


class TestNodesClosed:
    @pytest.mark.parametrize("cidr", [WORLD, "0.0.0.0/6", "::/0", "fc00::/6", "64.0.0.0/2"])
    def test_wider_than_any_private_network_is_the_world(self, cidr: str) -> None:
        assert len(checked(exposure.nodes_closed, INGRESS_RULE, self.ssh(cidr))) == 1

    @pytest.mark.parametrize("cidr", [*PRIVATE, "everybody"])
    def test_private_networks_are_not(self, cidr: str) -> None:
        assert checked(exposure.nodes_closed, INGRESS_RULE, self.ssh(cidr)) == []

    @staticmethod
    def ssh(cidr: str) -> dict[str, Any]:
        key = "cidrIpv6" if ":" in cidr else "cidrIpv4"
        return {key: cidr, "ipProtocol": "tcp", "fromPort": 22, "toPort": 22}

    @pytest.mark.parametrize(
        ("protocol", "first", "last", "shown"),
        [
            ("tcp", 0, 65535, "tcp 0 to 65535"),
            ("TCP", 443, 444, "tcp 443 to 444"),
            ("6", 444, 444, "tcp 444"),
            ("-1", 443, 443, "everything"),
            ("all", 443, 443, "everything"),
            ("icmp", -1, -1, "icmp -1"),
        ],
    )
    def test_what_is_open_is_said(self, protocol: str, first: int, last: int, shown: str) -> None:
        ingress = {"protocol": protocol, "fromPort": first, "toPort": last, "cidrBlocks": [WORLD]}
        [message] = checked(exposure.nodes_closed, SECURITY_GROUP, {"ingress": [ingress]})
        assert message is not None
        assert f"what 0.0.0.0/0 may reach is {shown}, but" in message

    @pytest.mark.parametrize("port", [80, 443, "443", 443.0])
    def test_clients_may_come_to_a_load_balancer(self, port: Any) -> None:
        ingress = {"protocol": "tcp", "fromPort": port, "toPort": port, "cidrBlocks": [WORLD]}
        assert checked(exposure.nodes_closed, SECURITY_GROUP, {"ingress": [ingress]}) == []

    def test_each_rule_of_a_group_is_judged(self) -> None:
        rules = [{"protocol": "tcp", "fromPort": p, "toPort": p, "cidrBlocks": [WORLD]} for p in (443, 22, 8000)]
        assert len(checked(exposure.nodes_closed, SECURITY_GROUP, {"ingress": rules})) == 2

    def test_what_goes_out_is_free(self) -> None:
        rule = {"type": "egress", "protocol": "-1", "cidrBlocks": [WORLD]}
        assert checked(exposure.nodes_closed, SECURITY_GROUP_RULE, rule) == []
        assert checked(exposure.nodes_closed, SECURITY_GROUP, {"egress": [rule]}) == []

    def test_a_group_that_is_not_known_yet_does_not_matter(self) -> None:
        assert len(checked(exposure.nodes_closed, INGRESS_RULE, {**self.ssh(WORLD), "securityGroupId": UNKNOWN})) == 1

    def test_a_network_that_is_not_known_yet_does(self) -> None:
        ingress = {"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "cidrIpv4": UNKNOWN}
        assert checked(exposure.nodes_closed, INGRESS_RULE, ingress) == [None]

    def test_many_networks_make_no_long_message(self) -> None:
        cidrs = ["2000:0000:0000:0000:0000:0000:0000:0000/3"] * 20
        rule = {"type": "ingress", "protocol": "tcp", "fromPort": 22, "toPort": 22, "ipv6CidrBlocks": cidrs}
        [message] = checked(exposure.nodes_closed, SECURITY_GROUP_RULE, rule)
        assert message is not None
        assert len(message) <= 400

    def test_each_peer_of_a_binding_is_judged(self) -> None:
        peers = [{"securityGroup": {"groupID": UNKNOWN}}, *({"ipBlock": {"cidr": c}} for c in (WORLD, "::/0"))]
        spec = {"networking": {"ingress": [{"from": peers, "ports": [{"port": 443}]}]}}
        assert len(checked(exposure.nodes_closed, TARGET_GROUP_BINDING, {"spec": spec})) == 2

    def test_a_binding_that_leaves_security_groups_alone_opens_nothing(self) -> None:
        assert checked(exposure.nodes_closed, TARGET_GROUP_BINDING, {"spec": {"targetType": "ip"}}) == []

    @pytest.mark.parametrize("access", [{}, {"ec2SshKey": "ops", "sourceSecurityGroupIds": ["sg-1"]}])
    def test_nodes_without_ssh_or_with_a_group_for_it(self, access: dict[str, Any]) -> None:
        assert checked(exposure.nodes_closed, NODE_GROUP, {"remoteAccess": access}) == []


class TestTls:
    @pytest.mark.parametrize("protocol", ["HTTP", None])
    def test_plain_http_has_no_security_policy(self, protocol: str | None) -> None:
        assert checked(exposure.tls_policy, LISTENER, {"protocol": protocol}) == []

    @pytest.mark.parametrize(
        "policy",
        [
            "ELBSecurityPolicy-2016-08",
            "ELBSecurityPolicy-TLS-1-0-2015-04",
            "ELBSecurityPolicy-TLS-1-1-2017-01",
            "ELBSecurityPolicy-TLS13-1-1-2021-06",
            "ELBSecurityPolicy-TLS13-1-0-FIPS-2023-04",
            "ELBSecurityPolicy-TLS13-1-2-",
            "NotELBSecurityPolicy-TLS13-1-2-2021-06",
        ],
    )
    def test_old_or_unknown_policies_are_refused(self, policy: str) -> None:
        assert len(checked(exposure.tls_policy, LISTENER, {"protocol": "HTTPS", "sslPolicy": policy})) == 1

    @pytest.mark.parametrize(
        "policy",
        [
            "ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09",
            "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-PQ-2025-09",
            "ELBSecurityPolicy-TLS-1-2-Ext-2018-06",
            "ELBSecurityPolicy-FS-1-2-2019-08",
        ],
    )
    @pytest.mark.parametrize("minimum", ["1.2", "1.3"])
    def test_tls_1_2_is_enough_unless_a_team_wants_more(self, policy: str, minimum: str) -> None:
        listener = {"protocol": "TLS", "sslPolicy": policy}
        assert len(checked(exposure.tls_policy, LISTENER, listener, minimum_tls=minimum)) == (minimum == "1.3")

    def test_no_other_version_can_be_asked_for(self) -> None:
        listener = {"protocol": "HTTPS", "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06"}
        (message,) = checked(exposure.tls_policy, LISTENER, listener, minimum_tls="1.0")
        assert (message or "").startswith("config of the policy: minimum_tls is 1.0: ")

    def test_one_load_balancer_needs_no_arn_to_be_judged(self) -> None:
        edits = {
            "LoadBalancer chat": {"arn": UNKNOWN, "internal": False},
            "Listener chat": {"loadBalancerArn": UNKNOWN},
        }
        said = messages("ramp", edits, exposure.tls_when_internet_facing)
        assert [bool(message) for message in said] == [True]

    def test_a_listener_whose_arn_is_not_known_yet_still_has_to_redirect(self) -> None:
        edits = {"Listener chat-redirect": {"arn": UNKNOWN, "defaultActions[0].type": "forward",
                                            "defaultActions[0].redirect": GONE}}  # fmt: skip
        first, second = messages("public", edits, exposure.redirect)
        assert first is not None
        assert second is None, "not evaluated is not passed"

    def test_rules_on_the_https_listener_are_where_they_belong(self) -> None:
        edits = {
            "Listener chat": {"arn": "arn:Listener:chat"},
            "Listener chat-redirect": {"arn": "arn:Listener:chat-redirect"},
        }
        assert messages("public", edits, exposure.redirect) == []

    def test_without_https_there_is_nothing_to_redirect_to(self) -> None:
        assert messages("ramp", {"Listener chat": {"arn": "arn:Listener:chat"}}, exposure.redirect) == []

    def test_a_joined_listener_of_the_same_stack_redirects_too(self) -> None:
        tags = {"vllm-blue-green/service": "chat"}
        added = [
            Declared(type=LISTENER, name="tls", props={"tags": tags, "protocol": "HTTPS"}),
            Declared(type=LISTENER, name="plain", props={"tags": tags, "defaultActions": [{"type": "forward"}]}),
        ]
        resources = {**stack("joined"), **{one.key: one for one in added}}
        [violation] = judge(resources, policies=(exposure.redirect,))
        assert violation.resource == "Listener plain"

    def test_a_load_balancer_inside_may_speak_http(self) -> None:
        assert messages("ramp", {"LoadBalancer chat": {"internal": "true"}}, exposure.tls_when_internet_facing) == []


class TestDefaultDeny:
    @pytest.mark.parametrize("status", ["400", "404", 403, "499"])
    def test_4xx_refuses(self, status: Any) -> None:
        assert self.answer(status) == []

    @pytest.mark.parametrize("status", ["200", "503", "40", "4040", "1404", 500])
    def test_nothing_else_does(self, status: Any) -> None:
        assert len(self.answer(status)) == 1

    @staticmethod
    def answer(status: Any) -> list[str | None]:
        action = {"type": "fixed-response", "fixedResponse": {"statusCode": status}}
        tags = {"vllm-blue-green/service": "chat"}
        return checked(exposure.default_deny, LISTENER, {"tags": tags, "defaultActions": [action]})

    def test_who_a_client_is_does_not_make_pods_safe_by_default(self) -> None:
        actions = [{"type": "authenticate-oidc"}, {"type": "forward", "targetGroupArn": UNKNOWN}]
        tags = {"vllm-blue-green/service": "chat"}
        [message] = checked(exposure.default_deny, LISTENER, {"tags": tags, "defaultActions": actions})
        assert message is not None
        assert "defaultActions is authenticate-oidc, forward" in message

    def test_where_a_strangers_listener_leads_may_not_be_known_yet(self) -> None:
        actions = [{"type": "forward", "targetGroupArn": UNKNOWN}]
        assert checked(exposure.default_deny, LISTENER, {"defaultActions": actions}) == [None]


class TestApiOnly:
    @pytest.mark.parametrize("role", ["weighted-rule", "candidate-rule"])
    def test_our_rules_are_judged_before_anybody_knows_where_they_lead(self, role: str) -> None:
        rule = {
            "tags": {"vllm-blue-green/role": role},
            "conditions": [{"httpHeader": {"values": UNKNOWN}}],
            "actions": [{"type": "forward", "targetGroupArn": UNKNOWN}],
        }
        assert [bool(message) for message in checked(exposure.api_only, LISTENER_RULE, rule)] == [True]

    @pytest.mark.parametrize(
        ("paths", "safe"),
        [
            (["/v1/*"], True),
            (["/v1/"], True),
            (["/v1/chat/*", "/v1/completions"], True),
            (["/v1"], False),
            (["/V1/*"], False),
            (["*"], False),
            ([], False),
        ],
    )
    def test_paths(self, paths: list[str], safe: bool) -> None:
        assert (self.said(paths, ["/v1/*"]) == []) is safe

    def test_a_path_without_a_star_permits_nothing_below_it(self) -> None:
        assert self.said(["/version"], ["/version"]) == []
        assert len(self.said(["/version/secret"], ["/version"])) == 1

    def test_long_paths_make_no_long_message(self) -> None:
        [message] = self.said([f"/{'x' * 127}"] * 5, ["/v1/*"])
        assert message is not None
        assert len(message) <= 400

    @staticmethod
    def said(paths: list[str], allowed: list[str]) -> list[str | None]:
        rule = {
            "tags": {"vllm-blue-green/role": "weighted-rule"},
            "conditions": [{"pathPattern": None, "hostHeader": {"values": ["a"]}}, {"pathPattern": {"values": paths}}],
        }
        return checked(exposure.api_only, LISTENER_RULE, rule, paths=allowed)


class TestNodes:
    @pytest.mark.parametrize(
        ("interfaces", "count"),
        [
            ([], 1),
            ([{}], 1),
            ([{"associatePublicIpAddress": ""}], 1),
            ([{"associatePublicIpAddress": "false"}], 0),
            ([{"associatePublicIpAddress": False}], 0),
            ([{"associatePublicIpAddress": "false"}, {}], 0),
            ([{}, {}], 0),
            ([{}, {"associatePublicIpAddress": "true"}], 1),
        ],
    )
    def test_public_addresses(self, interfaces: list[dict[str, Any]], count: int) -> None:
        template = {"networkInterfaces": interfaces}
        assert len(checked(exposure.no_public_addresses, LAUNCH_TEMPLATE, template)) == count

    @pytest.mark.parametrize(
        ("group", "count"),
        [
            ({"amiType": "AL2_x86_64_GPU"}, 1),
            ({"amiType": "AL2023_ARM_64_NVIDIA"}, 1),
            ({"amiType": "CUSTOM", "tags": {"vllm-blue-green/service": "chat"}}, 1),
            ({"amiType": "CUSTOM"}, 0),
            ({}, 0),
            ({"amiType": "AL2_x86_64_GPU", "launchTemplate": {"id": UNKNOWN}}, 0),
        ],
    )
    def test_gpu_nodes_come_from_a_template(self, group: dict[str, Any], count: int) -> None:
        assert len(checked(exposure.nodes_by_template, NODE_GROUP, group)) == count

    def test_both_violations_of_metadata_are_named(self) -> None:
        assert len(checked(exposure.imds, LAUNCH_TEMPLATE, {"metadataOptions": {"httpEndpoint": "enabled"}})) == 2

    @pytest.mark.parametrize("hops", [0, 65])
    def test_aws_knows_no_such_number_of_hops(self, hops: int) -> None:
        template = {"metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1}}
        (message,) = checked(exposure.imds, LAUNCH_TEMPLATE, template, maximum_hops=hops)
        assert (message or "").startswith(f"config of the policy: maximum_hops is {hops}: ")

    def test_disks_of_the_instance_alone_leave_the_root_volume_to_the_ami(self) -> None:
        template = {"blockDeviceMappings": [{"deviceName": "/dev/xvdb", "virtualName": "ephemeral0"}]}
        assert len(checked(exposure.encrypted_volumes, LAUNCH_TEMPLATE, template)) == 1


class TestHeaders:
    @pytest.mark.parametrize("kind", ["network", "gateway"])
    def test_what_reads_no_headers_drops_none(self, kind: str) -> None:
        balancer = {"loadBalancerType": kind, "desyncMitigationMode": "monitor"}
        assert checked(exposure.drop_invalid_headers, LOAD_BALANCER, balancer) == []
        assert checked(exposure.desync_mitigation, LOAD_BALANCER, balancer) == []

    def test_an_application_load_balancer_is_what_aws_makes_of_none(self) -> None:
        assert len(checked(exposure.drop_invalid_headers, LOAD_BALANCER, {})) == 1
