"""docs/permissions.md lists exactly the permissions for the calls in the code."""

import ast
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from rollout.model.permissions import NEEDS
from tests.syntax import tree_of

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "permissions.md").read_text()

# IAM's service names by boto3's, and IAM's names of the actions that the API names differently.
PREFIXES: dict[str, str] = {
    "elbv2": "elasticloadbalancing",
    "cloudwatch": "cloudwatch",
    "autoscaling": "autoscaling",
    "ec2": "ec2",
    "eks": "eks",
    "kms": "kms",
    "service-quotas": "servicequotas",
    "resource-groups": "resource-groups",
    "s3": "s3",
    "sns": "sns",
    "iam": "iam",
    "sts": "sts",
}
OTHERWISE = {"s3:ListObjectsV2": "s3:ListBucket"}

VERBS = {"list": "list", "read": "get"}
RESOURCES = {
    "node": "nodes",
    "pod": "pods",
    "secret": "secrets",
    "persistent_volume_claim": "persistentvolumeclaims",
    "service_account": "serviceaccounts",
    "daemon_set": "daemonsets",
    "event": "events",
}


ASKING = {
    "adapters/aws/account.py": ("autoscaling", "ec2", "eks", "service-quotas", "resource-groups"),
    "adapters/aws/permissions.py": ("iam", "sts"),
    "adapters/aws/volume_key.py": ("ec2", "kms"),
    "adapters/aws/cloudwatch.py": ("cloudwatch",),
    "adapters/aws/load_balancer.py": ("elbv2",),
    "adapters/notifier.py": ("sns",),
    "checks/recorded_prompts.py": ("s3",),
    "journal/store.py": ("s3",),
}


def names_in(pattern: str) -> set[str]:
    """Return every method name, and every string that may be one (paginators, and calls by name)."""
    found: set[str] = set()
    for path in (ROOT / "rollout").glob(pattern):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


def called_actions(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for service, prefix in PREFIXES.items():
        names = {name for file, services in ASKING.items() if service in services for name in names_in(file)}
        client: Any = boto3.client(service, region_name="us-east-1")  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]
        for method, operation in client.meta.method_to_api_mapping.items():
            if method in names:
                action = f"{prefix}:{operation}"
                yield OTHERWISE.get(action, action)


def test_the_policy_allows_what_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = json.loads(block("json"))
    allowed = [action for statement in policy["Statement"] for action in statement["Action"]]
    assert sorted(allowed) == sorted(set(called_actions(monkeypatch)))
    assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])


def test_every_client_that_the_code_opens_has_a_prefix() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "rollout").rglob("*.py"))
    assert set(re.findall(r'boto3\.client\(\s*"([a-z0-9-]+)"', sources)) <= PREFIXES.keys()


def test_the_roles_allow_what_is_called() -> None:
    called: set[tuple[str, str]] = set()
    for name in names_in("**/*.py"):
        if found := re.fullmatch(r"(list|read)_(?:namespaced_)?([a-z_]+?)(?:_for_all_namespaces)?", name):
            verb, resource = found.groups()
            if resource in RESOURCES:
                called.add((VERBS[verb], RESOURCES[resource]))
    # Custom objects have one method, and their kinds are texts.
    called |= {("list", one) for one in ("nodepools", "nodeclaims") if one in names_in("adapters/kubernetes/*.py")}
    roles = yaml.safe_load_all(block("yaml").replace("<", "").replace(">", ""))
    allowed = {
        (verb, resource)
        for role in roles
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert allowed == called


STATEMENTS: list[dict[str, Any]] = [
    statement
    for text in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    for statement in json.loads(text)["Statement"]
    # The lock tries the records. Only some stacks have a topic, and a rollout goes on without it.
    if statement["Sid"] not in ("KeepRecords", "Notify")
]


def test_the_doctor_asks_about_exactly_what_the_policies_allow() -> None:
    asked = {need.sid: need.actions for need in NEEDS}
    assert asked == {statement["Sid"]: tuple(statement["Action"]) for statement in STATEMENTS}


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda one: one["Sid"])
def test_the_doctor_asks_about_a_resource_and_with_a_context_that_the_statement_allows(
    statement: dict[str, Any],
) -> None:
    (need,) = [one for one in NEEDS if one.sid == statement["Sid"]]
    patterns = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    values = {"partition": "aws", "region": "us-east-1", "account": "123456789012"}
    values |= {"cluster": "<cluster>", "service": "<service>"}
    assert any(fnmatch(need.resource.format(**values), pattern) for pattern in patterns)
    conditions = {key: allowed for test in statement.get("Condition", {}).values() for key, allowed in test.items()}
    assert need.context.keys() == conditions.keys()
    for key, value in need.context.items():
        assert value.format(partition="aws", boundary="<node_permissions_boundary_arn>") in conditions[key]
