"""The guards are bound to their resources, and read a hook's arguments as engines pass them."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.domain.balancer.traffic import Traffic
from components.domain.naming import COLORS, Color
from components.resources import guard_hooks
from components.resources.guard_hooks import ServiceGuards, UnsafeChangeError
from rollout.model.changes import RULE_TYPE
from tests.components.example import release, run_program, service_settings
from tests.components.registrations import Reference, Registrations

SERIAL = 7
SCALING: dict[str, Any] = {
    "autoscaling": {"min_replicas": 2, "max_replicas": 6, "target": 5, "prometheus_url": "http://prometheus:9090"},
    "blue": {"release": release()},
    "green": {"release": release(model_revision="beef123"), "parked": True},
}
BEHIND_THE_RULE = ("Deployment", "NodeGroup", "LaunchTemplate")
BOTH_COLORS: dict[str, Any] = {
    "blue": {"replicas": 2, "release": release()},
    "green": {"replicas": 2, "release": release(model_revision="beef123")},
}


@pytest.fixture(scope="module")
def declared() -> Registrations:
    return run_program(blue=None, green=None, services={"chat": BOTH_COLORS, "code": BOTH_COLORS, "tuned": SCALING})


def test_each_service_has_one_hook_that_previews_run_too(declared: Registrations) -> None:
    assert declared.hooks == {"chat-guards": True, "code-guards": True, "tuned-guards": True}


@pytest.mark.parametrize("service", ["chat", "code"])
def test_rule_pods_and_nodes_are_guarded_against_updates_and_nothing_else_is(
    declared: Registrations, service: str
) -> None:
    bound = {
        reference: resource.hooks
        for reference, resource in declared.resources.items()
        if resource.hooks and reference[1].startswith(service)
    }
    guarded: set[Reference] = {("ListenerRule", service)}
    guarded |= {(kind, f"{service}-{color}") for kind in BEHIND_THE_RULE for color in COLORS}
    # There is no hook for deletions: with one, `pulumi destroy` would need the program. `protect` covers deletions.
    assert bound == {reference: {"beforeUpdate": [f"{service}-guards"]} for reference in guarded}
    # A launch template goes with its node group.
    assert {reference[0] for reference in guarded if not declared[reference].protect} == {"LaunchTemplate"}


@pytest.mark.parametrize("color", COLORS)
def test_what_an_autoscaler_may_do_is_guarded_too_and_comes_after_the_pods(
    declared: Registrations, color: Color
) -> None:
    scaled = ("ScaledObject", f"tuned-{color}")
    assert declared[scaled].hooks == {"beforeUpdate": ["tuned-guards"]}
    assert not declared[scaled].protect, "or autoscaling could not be switched off"
    assert ("Deployment", f"tuned-{color}") in declared.precede(scaled)


@pytest.mark.parametrize("color", COLORS)
def test_the_rule_is_judged_before_pods_and_nodes(declared: Registrations, color: Color) -> None:
    for kind in BEHIND_THE_RULE:
        assert ("ListenerRule", "chat") in declared.precede((kind, f"chat-{color}"))


def test_guards_and_scripts_know_the_names_of_the_types_that_the_program_declares(declared: Registrations) -> None:
    # The SDKs have other names for some types. Guards and scripts see only what the program declares.
    pools = run_program(**BOTH_COLORS, existing_nodes={"karpenter_node_pool": {"node_class": "gpu"}})
    resources = [*declared.resources.values(), *pools.resources.values()]
    guarded = {resource.token for resource in resources if resource.hooks}
    assert guarded == {RULE, NODE_GROUP, DEPLOYMENT, LAUNCH_TEMPLATE, SCALED_OBJECT, NODE_POOL}
    source = Path(guard_hooks.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'type_ == "([^"]+)"', source)) == guarded
    assert declared["ListenerRule", "chat"].token == RULE_TYPE


# Engines pass numbers as floats, inputs with secrets as outputs, and values that a preview does not know as Unknown.

RULE, NODE_GROUP, LAUNCH_TEMPLATE, DEPLOYMENT, SCALED_OBJECT, NODE_POOL = (
    "aws:lb/listenerRule:ListenerRule",
    "aws:eks/nodeGroup:NodeGroup",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "kubernetes:apps/v1:Deployment",
    "kubernetes:keda.sh/v1alpha1:ScaledObject",
    "kubernetes:karpenter.sh/v1:NodePool",
)


class TargetGroup:
    def __init__(self, arn: str) -> None:
        self.arn = pulumi.Output.from_input(arn)


class Rule:
    """A rule that is not updated: its outputs are what is recorded."""

    def __init__(self, green: int, tags: dict[str, str]) -> None:
        weights = {"blue": 100 - green, "green": green}
        groups = [_Typed(arn=f"arn:{color}", weight=weight) for color, weight in weights.items()]
        self.actions = pulumi.Output.from_input([_Typed(forward=_Typed(target_groups=groups))])
        self.tags = pulumi.Output.from_input(tags)


class _Typed:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def tags(serial: Any = SERIAL, active: str = "blue", keep_until: str = "") -> dict[str, str]:
    key = "vllm-blue-green/"
    return {f"{key}rollout-serial": str(serial), f"{key}active-color": active, f"{key}keep-until": keep_until}


def rule_inputs(green: float, **changes: Any) -> dict[str, Any]:
    groups = [{"arn": "arn:green", "weight": green}, {"arn": "arn:blue", "weight": 100.0 - green}]
    actions = [{"type": "forward", "forward": {"targetGroups": groups}}]
    return {"actions": actions, "tags": tags(), **changes}


def deployment(replicas: float = 2.0, release_id: str = "aaaa", color: str = "blue") -> dict[str, Any]:
    labels = {"vllm-blue-green/color": color}
    template = {"metadata": {"labels": {**labels, "vllm-blue-green/release": release_id}}}
    return {"metadata": {"labels": labels}, "spec": {"replicas": replicas, "template": template}}


def scaled_object(floor: float = 4.0, ceiling: float = 6.0, *, parked: bool = False) -> dict[str, Any]:
    annotations = {"autoscaling.keda.sh/paused-replicas": "0"} if parked else {}
    metadata = {"labels": {"vllm-blue-green/color": "blue"}, "annotations": annotations}
    return {"metadata": metadata, "spec": {"minReplicaCount": floor, "maxReplicaCount": ceiling}}


def node_group(desired: float = 2.0, version: Any = "3", color: str | None = "blue", **more: Any) -> dict[str, Any]:
    return {
        "labels": {} if color is None else {"vllm-blue-green/color": color},
        "scalingConfig": {"desiredSize": desired, "maxSize": 3.0, "minSize": 0.0},
        "launchTemplate": {"id": "lt-1", "version": version},
        "instanceTypes": ["g6e.2xlarge"],
        **more,
    }


def node_pool(gpus: str = "8", nodes: str = "0", color: str | None = "blue", **more: Any) -> dict[str, Any]:
    labels = {} if color is None else {"vllm-blue-green/color": color}
    disruption = {"budgets": [{"nodes": nodes}], "consolidationPolicy": "WhenEmpty"}
    return {
        "metadata": {"labels": labels},
        "spec": {"limits": {"nvidia.com/gpu": gpus}, "disruption": disruption} | more,
    }


def judge(
    *updates: tuple[str, dict[str, Any], dict[str, Any]],
    green: int = 0,
    serial: int = SERIAL,
    recorded: tuple[int, dict[str, str]] | None = None,
    secret: bool = False,
    **more: Any,
) -> str:
    """Return the refusal of the last update; the updates before it must pass."""

    async def run() -> str:
        settings = service_settings(**BOTH_COLORS, green_weight=green, rollout_serial=serial, **more)
        desired = Traffic(
            weights={"blue": 100 - green, "green": green}, active_color="blue", keep_until=None, rollout_serial=serial
        )
        guards, refusal = ServiceGuards("chat", settings, desired), ""
        live: Any = Rule(*(recorded or (green, tags(serial))))
        groups: Any = {color: TargetGroup(f"arn:{color}") for color in COLORS}
        guards.watch(live, groups)
        for kind, old, new in updates:
            assert not refusal
            if secret:
                old, new = ({key: pulumi.Output.secret(value) for key, value in one.items()} for one in (old, new))
            try:
                await guards.check(pulumi.ResourceHookArgs("urn", "id", "name", kind, new_inputs=new, old_inputs=old))
            except UnsafeChangeError as error:
                refusal = str(error)
        return refusal

    return asyncio.run(run())


def test_weights_are_read_by_target_group_not_by_their_order() -> None:
    assert "may not go from 10 to 80" in judge((RULE, rule_inputs(10.0), {}), green=80)
    assert judge((RULE, rule_inputs(90.0), {}), green=80) == ""


def test_a_rule_whose_tags_are_gone_is_taken_to_be_as_the_config_says() -> None:
    assert judge((RULE, rule_inputs(25.0, tags=None), {}), green=50) == ""
    assert "may not go from 25 to 90" in judge((RULE, rule_inputs(25.0, tags={}), {}), green=90)
    nonsense = tags(serial="seven", active="red", keep_until="never")
    assert "may not go from 25 to 90" in judge((RULE, rule_inputs(25.0, tags=nonsense), {}), green=90)


def test_a_rule_of_other_target_groups_or_none_has_unknown_weights() -> None:
    for actions in (None, [], [{"type": "fixed-response"}], [{"forward": {"targetGroups": [{"arn": "arn:x"}]}}]):
        assert "weights are unknown" in judge((RULE, rule_inputs(25.0, actions=actions), {}), green=25)


def test_the_clock_and_the_limits_of_the_settings_count() -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    kept_warm = rule_inputs(0.0, tags=tags(keep_until=soon))
    assert "stays warm" in judge((RULE, kept_warm, {}))
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert judge((RULE, rule_inputs(0.0, tags=tags(keep_until=past)), {})) == ""
    assert "max_step_points is 10" in judge((RULE, rule_inputs(0.0), {}), green=11, max_step_points=10)
    assert judge((RULE, rule_inputs(0.0), {}), green=100, announced=f"{SERIAL} now") == ""


def test_what_the_rule_was_before_its_update_is_what_pods_and_nodes_are_judged_by() -> None:
    moved = (RULE, rule_inputs(25.0), {})
    parked = (DEPLOYMENT, deployment(color="green"), deployment(0.0, color="green"))
    shrunk = (NODE_GROUP, node_group(color="green"), node_group(0.0, color="green"))
    assert "chat-green: replicas may not go from 2 to 0" in judge(moved, parked)
    assert "chat-green nodes: may not go from 2 to 0" in judge(moved, shrunk)
    assert judge(parked) == judge(shrunk) == ""


def test_a_rule_that_is_not_updated_says_itself_what_is_deployed() -> None:
    parked = (DEPLOYMENT, deployment(color="green"), deployment(0.0, color="green"))
    assert "25 % of requests go to green" in judge(parked, recorded=(25, tags()))
    assert "rollout_serial 7 of the config is behind the deployed 9" in judge(parked, recorded=(0, tags(serial=9)))


def test_pods_are_judged_by_release_and_size_alone() -> None:
    old = deployment()
    assert "release may not go from aaaa to bbbb" in judge((DEPLOYMENT, old, deployment(release_id="bbbb")))
    assert judge((DEPLOYMENT, old, deployment(3.0))) == ""
    assert judge((DEPLOYMENT, old, {**old, "spec": {**old["spec"], "progressDeadlineSeconds": 5.0}})) == ""


def test_an_autoscaler_is_judged_by_floor_ceiling_and_pause() -> None:
    old = scaled_object()
    assert "fewest replicas may not go from 4 to 3" in judge((SCALED_OBJECT, old, scaled_object(3.0)))
    assert "most replicas may not go from 6 to 5" in judge((SCALED_OBJECT, old, scaled_object(ceiling=5.0)))
    assert "fewest replicas may not go from 4 to 0" in judge((SCALED_OBJECT, old, scaled_object(parked=True)))
    assert judge((SCALED_OBJECT, old, scaled_object(5.0, 7.0))) == ""
    assert judge((SCALED_OBJECT, scaled_object(parked=True), old)) == ""
    undeclared = deployment()
    del undeclared["spec"]["replicas"]
    assert judge((DEPLOYMENT, deployment(), undeclared)) == judge((DEPLOYMENT, undeclared, undeclared)) == ""


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (node_group(1.0), "may not go from 2 to 1"),
        (node_group(version=pulumi.output.UNKNOWN), "(launchTemplate lt-1 3 to lt-1 one not known yet)"),
        (node_group(version="4"), "(launchTemplate lt-1 3 to lt-1 4)"),
        (node_group(instanceTypes=["g6.xlarge", "g5.xlarge"]), "(instanceTypes g6e.2xlarge to g6.xlarge, g5.xlarge)"),
        (node_group(diskSize=200.0), "(diskSize unset to 200)"),
        (node_group(releaseVersion="1.31-1"), "(releaseVersion unset to 1.31-1)"),
        (node_group(), ""),
        (node_group(3.0), ""),
        (node_group(tags={"team": "ml"}, updateConfig={"maxUnavailable": 1.0}), ""),
    ],
)
def test_nodes_are_judged_by_number_and_make(new: dict[str, Any], said: str) -> None:
    refusal = judge((NODE_GROUP, node_group(), new))
    assert said in refusal
    assert bool(refusal) == bool(said)


def test_a_launch_template_makes_no_new_version_for_nodes_that_serve() -> None:
    old: dict[str, Any] = {
        "tags": {"vllm-blue-green/color": "blue"},
        "description": "GPU nodes",
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 200.0, "__defaults": []}}],
    }
    kind = "aws:ec2/launchTemplate:LaunchTemplate"
    larger = {**old, "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 300.0}}]}
    said = "(blockDeviceMappings /dev/xvda 200 to /dev/xvda 300)"
    assert said in judge((kind, old, larger))
    assert judge((kind, old, larger), green=100) == ""
    assert "replaced in place (userData)" in judge((kind, old, {**old, "userData": "x" * 100}))
    tagged = {"vllm-blue-green/color": "blue", "team": "ml"}
    assert judge((kind, old, {**old, "tags": tagged, "name": "x", "updateDefaultVersion": True})) == ""


def test_nodes_without_a_colour_are_both_colours_nodes() -> None:
    update = (NODE_GROUP, node_group(color=None), node_group(1.0, color=None))
    assert judge(update, green=100).startswith("chat nodes: may not go from 2 to 1")
    assert judge(update, green=0).startswith("chat nodes: may not go from 2 to 1")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            node_pool(),
            node_pool("4"),
            "chat-blue nodes: may not go from 8 GPUs to 4 GPUs, 8 is the least: 100 % of requests go to",
        ),
        (
            node_pool(),
            node_pool(nodes="100%"),
            "chat-blue nodes: may not be replaced in place (disruption.budgets unset to 100%): 100 % of requests",
        ),
        (node_pool(nodes="10%"), node_pool(nodes="100%"), "(disruption.budgets 10% to 100%)"),
        (node_pool(nodes="100%"), node_pool(), ""),
        (node_pool(), node_pool("16", template={"spec": {"expireAfter": "Never"}}), ""),
        (node_pool(color="green"), node_pool("4", nodes="100%", color="green"), ""),
        (node_pool(color=None), node_pool("4", color=None), "chat nodes: may not go from 8 GPUs to 4 GPUs"),
    ],
)
def test_a_node_pool_is_judged_by_what_it_permits(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    refusal = judge((NODE_POOL, old, new))
    assert said in refusal
    assert bool(refusal) == bool(said)


def test_inputs_that_hold_a_secret_are_read_all_the_same() -> None:
    for update in ((DEPLOYMENT, deployment(), deployment(1.0)), (NODE_GROUP, node_group(), node_group(1.0))):
        assert "may not go from 2 to 1" in judge(update, secret=True)


def test_a_resource_without_a_guard_must_not_be_bound() -> None:
    with pytest.raises(TypeError, match="there is no guard for aws:s3/bucket:Bucket"):
        judge(("aws:s3/bucket:Bucket", {}, {}))
