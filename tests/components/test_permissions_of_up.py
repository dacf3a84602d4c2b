"""docs/permissions.md lists the permissions for every type of resource that the program declares."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import boto3
import pytest
import yaml

from tests.components.example import ROOT, release, run_program
from tests.components.registrations import Registered
from tests.policies.stacks import CONFIGS

pytestmark = pytest.mark.slow

GUIDE: Final = (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8").partition("## `pulumi up`")[2]
ROWS: Final[Mapping[str, set[str]]] = {
    row[1]: set(re.findall(r"`([a-z0-9]+:\w+)`", row[2]))
    for row in re.finditer(r"^\| `?([\w/]+)`? \| (.*) \|$", GUIDE, re.MULTILINE)
}
"""Actions by type of resource."""
SERVICES: Final = {
    "elasticloadbalancing": "elbv2",
    "ec2": "ec2",
    "eks": "eks",
    "iam": "iam",
    "cloudwatch": "cloudwatch",
}
PERMISSION_ONLY: Final = {"iam:PassRole"}
"""Actions that no call has."""
TAGGED: Final = {"elasticloadbalancing": "AddTags", "ec2": "CreateTags", "eks": "TagResource", "iam": "TagRole"}

EVERYTHING: Final[Mapping[str, Any]] = {
    "vpc_cni_uses_node_role": True,
    "node_permissions_boundary_arn": "arn:aws:iam::123456789012:policy/boundary",
    "blue": {"replicas": 2, "release": release(prompts={"system.txt": "Be kind."})},
    "nodes": {"ssm_access": True},
    "pods": {"pod_monitor": True},
    "dashboard": True,
}


@pytest.fixture(scope="module")
def declared() -> list[Registered]:
    """What the program declares for many configs."""
    stacks = [run_program(**config) for config in (*CONFIGS.values(), EVERYTHING)]
    return [resource for stack in stacks for resource in stack.resources.values()]


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert len(found) == 1
    return found[0]


def statements() -> list[dict[str, Any]]:
    return json.loads(block("json"))["Statement"]


def of(declared: Iterable[Registered], provider: str) -> set[str]:
    """The types of a provider, such as ``lb/listener`` or ``apps/v1:Deployment``."""
    return {one.token.partition(":")[2] for one in declared if one.token.startswith(f"{provider}:")}


def test_every_type_that_the_program_declares_has_its_actions(declared: list[Registered]) -> None:
    assert ROWS.keys() - {"tags"} == {type_.partition(":")[0] for type_ in of(declared, "aws")}


def test_the_policy_allows_the_listed_actions_and_no_others() -> None:
    allowed = [action for statement in statements() for action in statement["Action"]]
    assert sorted(allowed) == sorted(set().union(*ROWS.values()))
    assert all(statement["Effect"] == "Allow" for statement in statements())


def test_every_action_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    known = set(PERMISSION_ONLY)
    for prefix, service in SERVICES.items():
        client: Any = boto3.client(service, region_name="us-east-1")  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]
        known |= {f"{prefix}:{operation}" for operation in client.meta.method_to_api_mapping.values()}
    assert set().union(*ROWS.values()) <= known


@pytest.mark.parametrize("type_", sorted(ROWS.keys() - {"tags"}))
def test_a_type_can_be_created_read_and_deleted(type_: str) -> None:
    verbs = {re.split("(?=[A-Z])", action.partition(":")[2])[1] for action in ROWS[type_]}
    assert verbs & {"Create", "Put", "Attach", "Authorize"}
    assert verbs & {"Describe", "Get", "List"}
    assert verbs & {"Delete", "Detach", "Revoke"}


def test_what_the_program_tags_may_be_tagged(declared: list[Registered]) -> None:
    tagged = {one.token.split(":")[1] for one in declared if "tags" in one.inputs}
    prefixes = {action.partition(":")[0] for type_ in tagged for action in ROWS[type_] if "Create" in action}
    assert {f"{prefix}:{TAGGED[prefix]}" for prefix in prefixes & TAGGED.keys()} <= ROWS["tags"]
    assert "cloudwatch:TagResource" in ROWS["tags"]


def test_whoever_creates_node_groups_may_start_what_their_launch_template_describes() -> None:
    # https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html#launch-template-tagging
    assert {"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"} <= ROWS["eks/nodeGroup"]


def test_only_the_policies_that_nodes_get_may_be_attached(declared: list[Registered]) -> None:
    (statement,) = [one for one in statements() if "iam:AttachRolePolicy" in one["Action"]]
    attached = {one.inputs["policyArn"].rpartition("/")[2] for one in declared if "policyArn" in one.inputs}
    allowed: list[str] = statement["Condition"]["ArnEquals"]["iam:PolicyARN"]
    assert {arn.rpartition("/")[2] for arn in allowed} == attached


def test_roles_are_those_of_a_services_nodes(declared: list[Registered]) -> None:
    roles = [one for one in declared if one.token == "aws:iam/role:Role"]
    # Pulumi adds a dash and a random suffix to the name.
    assert {one.name.partition("-")[0] for one in roles} == {"llm", "chat", "code", "search"}
    for statement in statements():
        if any(action.startswith("iam:") and action != "iam:CreateServiceLinkedRole" for action in statement["Action"]):
            assert statement["Resource"] == "arn:aws:iam::*:role/<service>-*"


def test_the_cluster_role_has_every_kind_that_the_program_declares(declared: list[Registered]) -> None:
    kinds = {type_.rpartition("/")[0] + "/" + type_.rpartition(":")[2] for type_ in of(declared, "kubernetes")}
    plural = {f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s" for kind in kinds}
    expected = {name.lower().removeprefix("core/") for name in plural}
    rules = yaml.safe_load(block("yaml"))["rules"]
    writable = {
        "/".join(filter(None, (group, resource)))
        for rule in rules
        if "create" in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert writable == expected
    assert all(
        rule["verbs"][-3:] == ["create", "patch", "delete"] or rule["verbs"] == ["list", "watch"] for rule in rules
    )
