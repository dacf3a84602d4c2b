"""The whole program: order, ownership, outputs, and how few resources a traffic change updates."""

from itertools import pairwise
from typing import Any

import pulumi
import pytest

from components.config.release.release import Release
from components.config.sections.router_settings import LISTENER
from components.domain.naming import COLORS
from tests.components.example import SECRET, config, release, run_program, run_program_on
from tests.components.registrations import Registrations

BOTH_COLORS: dict[str, Any] = {
    "blue": {"replicas": 2, "release": release()},
    "green": {"replicas": 2, "release": release(model_revision="beef123")},
}
WEIGHTED_RULE = ("ListenerRule", "llm")


@pytest.fixture(scope="module")
def before() -> Registrations:
    return run_program(**BOTH_COLORS, green_weight=1)


def test_a_change_of_traffic_changes_only_the_weighted_rule(before: Registrations) -> None:
    after = run_program(
        **BOTH_COLORS, green_weight=25, active_color="green", keep_until="2026-11-22T08:00:00Z", rollout_serial=9
    )
    assert set(after.resources) == set(before.resources)
    changed = {
        reference
        for reference, resource in after.resources.items()
        if (resource.inputs, resource.dependencies, resource.parent, resource.protect, resource.timeouts)
        != (
            before[reference].inputs,
            before[reference].dependencies,
            before[reference].parent,
            before[reference].protect,
            before[reference].timeouts,
        )
    }
    assert changed == {WEIGHTED_RULE}
    old, new = before[WEIGHTED_RULE].inputs, after[WEIGHTED_RULE].inputs
    assert {name for name in new if new[name] != old[name]} == {"actions", "tags"}


def test_a_step_of_the_ramp_changes_only_the_weights(before: Registrations) -> None:
    after = run_program(**BOTH_COLORS, green_weight=25)
    old, new = before[WEIGHTED_RULE].inputs, after[WEIGHTED_RULE].inputs
    assert {name for name in new if new[name] != old[name]} == {"actions"}


def test_announcements_and_rollout_settings_reach_no_resource(before: Registrations) -> None:
    after = run_program(**BOTH_COLORS, green_weight=1, announced="3 because", rollout={"soak_seconds": 60})
    assert {reference: resource.inputs for reference, resource in after.resources.items()} == {
        reference: resource.inputs for reference, resource in before.resources.items()
    }


@pytest.mark.parametrize("color", COLORS)
def test_namespace_service_rules_binding_and_nodes_come_before_the_pods_in_this_order(
    before: Registrations, color: str
) -> None:
    name = f"llm-{color}"
    order = [("Namespace", "llm"), ("Service", name), ("TargetGroupBinding", name), ("Deployment", name)]
    for earlier, later in pairwise(order):
        assert earlier in before.precede(later)
    assert before.precede(("TargetGroupBinding", name)) >= {WEIGHTED_RULE, ("ListenerRule", f"{name}-candidate")}
    assert ("NodeGroup", name) in before.precede(("Deployment", name))


@pytest.mark.parametrize("color", COLORS)
def test_one_colour_never_waits_for_the_others_pods_or_nodes(before: Registrations, color: str) -> None:
    other = "green" if color == "blue" else "blue"
    waited_for = before.precede(("Deployment", f"llm-{color}"))
    assert waited_for.isdisjoint({("Deployment", f"llm-{other}"), ("NodeGroup", f"llm-{other}")})


def test_the_namespace_asks_for_the_readiness_gate_and_admits_restricted_pods_only(before: Registrations) -> None:
    labels = before["Namespace", "llm"].inputs["metadata"]["labels"]
    assert labels["elbv2.k8s.aws/pod-readiness-gate-inject"] == "enabled"
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn", "audit")} == {"restricted"}


def test_everything_belongs_to_the_service(before: Registrations) -> None:
    tops = {
        resource.reference
        for resource in before.resources.values()
        if resource.parent == ("Stack", "vllm-blue-green-test")
    }
    assert tops == {("BlueGreenService", "llm")}


def test_outputs_tell_how_to_reach_the_service_and_what_it_serves(before: Registrations) -> None:
    blue, green = Release(**release()), Release(**release(model_revision="beef123"))
    assert before.stack_outputs() == {
        "llm": {
            "endpoint": "http://llm.elb.example",
            "active_color": "blue",
            "green_weight": 1,
            "release_ids": {"blue": blue.release_id, "green": green.release_id},
            "semantic_cache_namespace": blue.semantic_cache_namespace,
            "colors": {
                color: {
                    "state": "serving",
                    "release_id": served.release_id,
                    "semantic_cache_namespace": served.semantic_cache_namespace,
                }
                for color, served in (("blue", blue), ("green", green))
            },
            "headroom_usd_per_hour": pytest.approx(2 * 2.24208),
            "reservation_ends": {"blue": None, "green": None},
            "namespace": "llm",
            "load_balancer_dns_name": "llm.elb.example",
            "required_idle_timeout_seconds": 130,
            "weighted_rule_arn": "arn:ListenerRule:llm",
            "target_group_arns": {"blue": "arn:TargetGroup:llm-blue", "green": "arn:TargetGroup:llm-green"},
        }
    }


def test_an_endpoint_of_ones_own_takes_the_load_balancers_place() -> None:
    outputs = run_program(endpoint_url="https://llm.example.com").stack_outputs()["llm"]
    assert outputs["endpoint"] == "https://llm.example.com"


def test_a_new_stack_has_no_release_and_a_whole_way_to_it() -> None:
    declared = run_program(blue=None, green=None)
    assert declared.of_type("Deployment") == {}
    assert set(declared.of_type("TargetGroupBinding")) == {"llm-blue", "llm-green"}
    assert declared.stack_outputs()["llm"]["semantic_cache_namespace"] is None
    unused = {"state": "unused", "release_id": None, "semantic_cache_namespace": None}
    assert declared.stack_outputs()["llm"]["colors"] == {"blue": unused, "green": unused}
    for color in COLORS:
        assert declared["NodeGroup", f"llm-{color}"].inputs["scalingConfig"]["desiredSize"] == 0


def test_the_secret_is_nowhere_in_the_clear(before: Registrations) -> None:
    holders = {reference for reference, resource in before.resources.items() if SECRET in str(resource.inputs)}
    assert holders == {("ListenerRule", f"llm-{color}-candidate") for color in COLORS}
    assert all(before[reference].secrets for reference in holders)
    assert SECRET not in str(before.outputs)


def test_several_services_share_nothing_but_the_stack() -> None:
    services: dict[str, Any] = {"chat": BOTH_COLORS, "code": BOTH_COLORS}
    declared = run_program(blue=None, green=None, services=services)
    assert set(declared.of_type("BlueGreenService")) == {"chat", "code"}
    assert set(declared.of_type("Deployment")) == {"chat-blue", "chat-green", "code-blue", "code-green"}
    assert set(declared.stack_outputs()) == {"chat", "code"}
    for name in ("chat", "code"):
        waited_for = declared.precede(("Deployment", f"{name}-blue"))
        assert all(reference[1].startswith(name) for reference in waited_for)


def _joined(**changes: Any) -> dict[str, Any]:
    listener = {"arn": LISTENER.example, "security_group_id": "sg-0e", "idle_timeout_seconds": 300, **changes}
    return {**BOTH_COLORS, "endpoint_url": f"https://{changes.get('host', 'llm.example.com')}", "listener": listener}


def test_several_services_share_a_listener_by_their_hosts() -> None:
    names = ("chat", "code", "search")
    services = {
        name: _joined(rule_priority=10 * position, host=f"{name}.example.com")
        for position, name in enumerate(names, start=1)
    }
    declared = run_program(blue=None, green=None, services=services)
    rules = declared.of_type("ListenerRule")
    priorities = [rule.inputs["priority"] for rule in rules.values()]
    assert len(set(priorities)) == len(priorities) == 9
    for name, rule in rules.items():
        assert {"hostHeader": {"values": [f"{name.split('-')[0]}.example.com"]}} in rule.inputs["conditions"]
    for name, outputs in declared.stack_outputs().items():
        assert outputs["endpoint"] == f"https://{name}.example.com"
        assert outputs["load_balancer_dns_name"] is None
        assert outputs["required_idle_timeout_seconds"] == 130


def test_behind_a_joined_listener_pods_let_its_load_balancer_in_and_outwait_it() -> None:
    declared = run_program(**_joined(rule_priority=40))
    for color in COLORS:
        (ingress,) = declared["TargetGroupBinding", f"llm-{color}"].inputs["spec"]["networking"]["ingress"]
        assert ingress["from"] == [{"securityGroup": {"groupID": "sg-0e"}}]
        (container,) = declared["Deployment", f"llm-{color}"].inputs["spec"]["template"]["spec"]["containers"]
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert environment["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"] == "310"


def test_a_wrong_config_is_one_clean_error() -> None:
    with pytest.raises(
        pulumi.RunError, match=r"vllm-blue-green:instance_typ: is not a known key\. Did you mean instance_type\?"
    ):
        run_program(instance_typ="g6e.2xlarge")


@pytest.mark.parametrize(
    ("secret", "encrypted", "expected"),
    [
        (None, True, "is required but not set"),
        (SECRET, False, "is a secret, but is in the config in plain text"),
        ("short", True, "must be 16 to 100 letters, digits, '-' or '_', and has 5 characters"),
        ("with a space, and long enough", True, "must be 16 to 100 letters, digits, '-' or '_'."),
    ],
)
def test_a_secret_in_plain_text_is_reported_with_the_command_and_without_the_value(
    secret: str | None, encrypted: bool, expected: str
) -> None:
    with pytest.raises(pulumi.RunError) as raised:
        run_program_on(config(candidate_route_secret=secret), encrypted=encrypted)
    message = str(raised.value)
    assert f"vllm-blue-green:candidate_route_secret: {expected}" in message
    assert "pulumi config set --secret candidate_route_secret" in message
    assert secret is None or secret not in message


def test_the_secret_is_reported_in_the_same_list_as_all_else() -> None:
    with pytest.raises(pulumi.RunError) as raised:
        run_program(candidate_route_secret=None, green_weight=101)
    assert len(str(raised.value).splitlines()) == 3


def test_a_project_of_another_name_is_one_clean_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulumi.get_project", lambda: "mine")
    with pytest.raises(pulumi.RunError) as raised:
        run_program()
    assert str(raised.value) == (
        "the project is named mine, but its config keys begin with vllm-blue-green: Set name: vllm-blue-green in "
        "Pulumi.yaml; the stacks' names distinguish your deployments"
    )


def test_an_old_python_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 0))
    with pytest.raises(pulumi.RunError, match=r"is too old: this program needs 3\.11 or newer"):
        run_program()


def test_a_teardown_needs_the_protection_to_be_lifted_first(before: Registrations) -> None:
    def protected(declared: Registrations) -> set[str]:
        return {reference[0] for reference, resource in declared.resources.items() if resource.protect}

    assert protected(before) == {
        *("Namespace", "LoadBalancer", "Listener", "TargetGroup", "ListenerRule"),
        *("NodeGroup", "Deployment"),
    }
    assert protected(run_program(protect=False)) == set()


def test_colours_that_share_their_nodes_select_those_of_the_service() -> None:
    declared = run_program(**BOTH_COLORS, headroom_mode="always", node_groups="shared")
    assert set(declared.of_type("NodeGroup")) == set(declared.of_type("LaunchTemplate")) == {"llm"}
    assert set(declared.of_type("Role")) == {"llm"}
    group = declared["NodeGroup", "llm"]
    assert group.inputs["scalingConfig"] == {"minSize": 0, "desiredSize": 4, "maxSize": 4}
    assert group.protect
    for color in COLORS:
        pod = declared["Deployment", f"llm-{color}"].inputs["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"vllm-blue-green/service": "llm"}
        assert pod["nodeSelector"].items() <= group.inputs["labels"].items()
        assert ("NodeGroup", "llm") in declared.precede(("Deployment", f"llm-{color}"))


def test_colours_that_share_too_few_places_get_one_group_for_one_of_them_and_the_surge() -> None:
    blue, green = ({**BOTH_COLORS[color], "replicas": 4} for color in COLORS)
    declared = run_program(
        blue={**blue, "running_replicas": 1},
        green=green,
        green_weight=100,
        active_color="green",
        headroom_mode="surge",
        node_groups="shared",
        surge_replicas=1,
    )
    assert declared["NodeGroup", "llm"].inputs["scalingConfig"] == {"minSize": 0, "desiredSize": 5, "maxSize": 5}
    running = {color: declared["Deployment", f"llm-{color}"].inputs["spec"]["replicas"] for color in COLORS}
    assert running == {"blue": 1, "green": 4}
    evicted = {
        color: declared["PodDisruptionBudget", f"llm-{color}"].inputs["spec"]["maxUnavailable"] for color in COLORS
    }
    assert evicted == {"blue": 0, "green": 1}, "nothing can replace a single replica"
    tags = declared["ListenerRule", "llm"].inputs["tags"]
    assert tags["vllm-blue-green/shared-capacity"] == "4+1 at 105"
    assert tags["vllm-blue-green/blue"].endswith(" x1")


@pytest.mark.parametrize("parked", [True, False])
def test_what_one_colour_does_leaves_shared_nodes_alone(parked: bool) -> None:
    green = {**BOTH_COLORS["green"], "parked": parked}
    shared = {"headroom_mode": "always", "node_groups": "shared", "green_weight": 0}
    groups = [
        run_program(blue=BOTH_COLORS["blue"], green=colored, **shared)["NodeGroup", "llm"]
        for colored in (green, {"replicas": 2})
    ]
    assert groups[0].inputs == groups[1].inputs


def test_the_roles_of_all_nodes_stay_within_the_accounts_boundary(before: Registrations) -> None:
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    roles = run_program(**BOTH_COLORS, node_permissions_boundary_arn=boundary).of_type("Role")
    assert {role.inputs["permissionsBoundary"] for role in roles.values()} == {boundary}
    assert all("permissionsBoundary" not in role.inputs for role in before.of_type("Role").values())


def test_each_colours_pods_select_its_own_nodes(before: Registrations) -> None:
    for color in COLORS:
        pod = before["Deployment", f"llm-{color}"].inputs["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"vllm-blue-green/service": "llm", "vllm-blue-green/color": color}
        assert pod["nodeSelector"].items() <= before["NodeGroup", f"llm-{color}"].inputs["labels"].items()


def test_on_others_nodes_the_program_declares_none_and_pods_say_where_they_may_run(before: Registrations) -> None:
    nodes = {
        "node_selector": {"team": "llm"},
        "tolerations": [{"key": "team", "value": "llm", "effect": "NoSchedule"}, {"key": "spot"}],
        "topology": ["topology.kubernetes.io/zone", "rack"],
    }
    declared = run_program(**BOTH_COLORS, green_weight=1, existing_nodes=nodes)
    gone = before.resources.keys() - declared.resources.keys()
    assert {kind for kind, _ in gone} == {"GpuNodeGroup", "NodeGroup", "LaunchTemplate", "Role", "RolePolicyAttachment"}
    assert declared.resources.keys() < before.resources.keys()
    for color in COLORS:
        template = declared["Deployment", f"llm-{color}"].inputs["spec"]["template"]
        assert template["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
        assert template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
        pod = template["spec"]
        assert pod["nodeSelector"] == {"team": "llm"}
        assert pod["tolerations"] == [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "team", "operator": "Equal", "value": "llm", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists"},
        ]
        spread = {one["topologyKey"]: one["whenUnsatisfiable"] for one in pod["topologySpreadConstraints"]}
        assert spread == {"topology.kubernetes.io/zone": "ScheduleAnyway", "rack": "ScheduleAnyway"}
    assert declared.stack_outputs()["llm"]["headroom_usd_per_hour"] == pytest.approx(2 * 2.24208)


POOL: dict[str, Any] = {"existing_nodes": {"karpenter_node_pool": {"node_class": "gpu"}}}


def test_a_node_pool_of_each_colour_is_declared_before_its_pods_and_kept_while_they_run() -> None:
    green = {**BOTH_COLORS["green"], "parked": True}
    declared = run_program(blue=BOTH_COLORS["blue"], green=green, **POOL)
    assert set(declared.of_type("NodePool")) == {"llm-blue", "llm-green"}
    assert not declared.of_type("NodeGroup")
    for color, budget in {"blue": "0", "green": "100%"}.items():
        pool = declared["NodePool", f"llm-{color}"]
        assert pool.token == "kubernetes:karpenter.sh/v1:NodePool"
        assert pool.protect is (color == "blue")
        labels = {"vllm-blue-green/service": "llm", "vllm-blue-green/color": color}
        assert pool.inputs["metadata"] == {"name": f"llm-{color}", "labels": labels}
        spec = pool.inputs["spec"]
        assert spec["limits"] == {"nvidia.com/gpu": "2"}
        assert spec["disruption"] == {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": "1m",
            "budgets": [{"nodes": budget}],
        }
        template = declared["Deployment", f"llm-{color}"].inputs["spec"]["template"]
        assert template["spec"]["nodeSelector"].items() <= spec["template"]["metadata"]["labels"].items()
        assert template["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
        assert ("NodePool", f"llm-{color}") in declared.precede(("Deployment", f"llm-{color}"))
        assert ("ListenerRule", "llm") in declared.precede(("NodePool", f"llm-{color}"))


def test_a_node_pool_says_what_its_nodes_are() -> None:
    pool = {"node_class": "gpu", "zones": ["us-east-1a"], "capacity_reservation_ids": ["cr-0a", "cr-0b"]}
    spec = run_program(existing_nodes={"karpenter_node_pool": pool})["NodePool", "llm-blue"].inputs["spec"]["template"]
    assert spec["spec"] == {
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "gpu"},
        "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}],
        "requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g6e.2xlarge"]},
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["reserved"]},
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a"]},
            {"key": "karpenter.k8s.aws/capacity-reservation-id", "operator": "In", "values": ["cr-0a", "cr-0b"]},
        ],
        "expireAfter": "Never",
    }
    assert spec["metadata"]["labels"]["nvidia.com/gpu.present"] == "true"


def test_on_auto_mode_a_node_lives_as_long_as_it_may() -> None:
    pool = {"node_class": "default", "node_class_kind": "NodeClass"}
    spec = run_program(existing_nodes={"karpenter_node_pool": pool})["NodePool", "llm-blue"].inputs["spec"]["template"]
    assert spec["spec"]["nodeClassRef"] == {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": "default"}
    assert spec["spec"]["expireAfter"] == "480h"
    assert spec["spec"]["requirements"][1]["values"] == ["reserved", "on-demand"]


def test_types_are_taken_in_order_by_a_node_group_and_by_one_node_pool_for_each() -> None:
    types = {"instance_type": "g6e.4xlarge", "fallback_instance_types": ["g6e.2xlarge"]}
    group = run_program(**BOTH_COLORS, **types)["NodeGroup", "llm-blue"]
    assert group.inputs["instanceTypes"] == ["g6e.4xlarge", "g6e.2xlarge"]
    declared = run_program(**BOTH_COLORS, **types, **POOL)
    pools = declared.of_type("NodePool")
    assert set(pools) == {"llm-blue", "llm-blue-2", "llm-green", "llm-green-2"}
    first, second = (pools[name].inputs["spec"] for name in ("llm-blue", "llm-blue-2"))
    assert [one["template"]["spec"]["requirements"][0]["values"] for one in (first, second)] == [
        ["g6e.4xlarge"],
        ["g6e.2xlarge"],
    ]
    assert first["weight"] > second["weight"]
    assert first["limits"] == second["limits"] == {"nvidia.com/gpu": "2"}
    assert {("NodePool", "llm-blue"), ("NodePool", "llm-blue-2")} <= declared.precede(("Deployment", "llm-blue"))


def test_colours_that_share_too_few_places_get_one_node_pool_for_them_all() -> None:
    declared = run_program(**BOTH_COLORS, **POOL, headroom_mode="surge", surge_replicas=2)
    (pool,) = declared.of_type("NodePool").values()
    assert pool.name == "llm"
    assert pool.inputs["spec"]["limits"] == {"nvidia.com/gpu": "4"}
    assert pool.inputs["metadata"]["labels"] == {"vllm-blue-green/service": "llm"}
    for color in COLORS:
        template = declared["Deployment", f"llm-{color}"].inputs["spec"]["template"]
        assert template["spec"]["nodeSelector"] == {"vllm-blue-green/service": "llm"}


def test_headroom_costs_what_is_up_beyond_the_active_colour() -> None:
    one_up = run_program(blue=BOTH_COLORS["blue"], green={"replicas": 2})
    assert one_up.stack_outputs()["llm"]["headroom_usd_per_hour"] == 0
    p5e = {"instance_type": "p5e.48xlarge", "gpus_per_replica": 8}
    assert run_program(**BOTH_COLORS, **p5e).stack_outputs()["llm"]["headroom_usd_per_hour"] is None


def test_the_end_of_a_reservation_and_an_ami_release_are_one_colours_own() -> None:
    ends = "2026-12-01T08:00:00Z"
    green = {
        **BOTH_COLORS["green"],
        "reservation": {"kind": "on_demand", "id": "cr-1", "subnet_id": "subnet-2", "ends": ends},
        "node_release_version": "1.33.4-20260801",
    }
    declared = run_program(blue=BOTH_COLORS["blue"], green=green, headroom_mode="reserved")
    assert declared.stack_outputs()["llm"]["reservation_ends"] == {"blue": None, "green": ends}
    plain = run_program(**BOTH_COLORS)
    assert declared["NodeGroup", "llm-blue"].inputs == plain["NodeGroup", "llm-blue"].inputs
    assert declared["LaunchTemplate", "llm-blue"].inputs == plain["LaunchTemplate", "llm-blue"].inputs
    assert declared["NodeGroup", "llm-green"].inputs["releaseVersion"] == "1.33.4-20260801"
