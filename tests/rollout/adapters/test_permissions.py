"""What IAM's simulation is asked, and how its answer is read. botocore checks both against the services' models."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from rollout.adapters.aws.permissions import denied_actions
from rollout.model.errors import RolloutError
from rollout.model.permissions import NEEDS
from rollout.system.failures import describe_error

KEYS: Any = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
VALUES = {"region": "us-east-1", "cluster": "main", "service": "chat", "boundary": ""}
ROLE = "arn:aws:iam::123456789012:role/ci/ramp"
USER = "arn:aws:iam::123456789012:user/ann"


class Iam:
    """IAM and STS that know one caller, and give the answers that a test sets."""

    def __init__(self, caller: str) -> None:
        self.iam, sts = boto3.client("iam", **KEYS), boto3.client("sts", **KEYS)
        self.sts: Any = sts
        self.stub = Stubber(self.iam)
        sts_stub = Stubber(sts)
        sts_stub.add_response("get_caller_identity", {"Arn": caller, "Account": "123456789012", "UserId": "A"})
        sts_stub.activate()
        self.stub.activate()

    def simulate(
        self,
        principal: str,
        denied: frozenset[str] = frozenset(),
        *,
        dashboard: bool = False,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """Answer one simulation for each statement that a service needs."""
        without = without if dashboard else without | {"Dashboards"}
        for need in (one for one in NEEDS if one.sid not in without):
            asked = {
                "PolicySourceArn": principal,
                "ActionNames": list(need.actions),
                "ResourceArns": [
                    need.resource.format(partition=principal.split(":")[1], account="123456789012", **VALUES)
                ],
                "ContextEntries": ANY,
            }
            results = [
                {"EvalActionName": action, "EvalDecision": "implicitDeny" if action in denied else "allowed"}
                for action in need.actions
            ]
            self.stub.add_response("simulate_principal_policy", {"EvaluationResults": results}, asked)

    def denied(self, *, dashboard: bool = False, node_groups: bool = True) -> list[str]:
        return list(denied_actions(self.iam, self.sts, VALUES, dashboard=dashboard, node_groups=node_groups))


def test_a_session_s_policies_are_those_of_its_role_with_its_path() -> None:
    iam = Iam("arn:aws:sts::123456789012:assumed-role/ramp/GitHubActions")
    role = {"Arn": ROLE, "Path": "/ci/", "RoleName": "ramp", "RoleId": "A" * 16, "CreateDate": "2026-01-01T00:00:00Z"}
    iam.stub.add_response("get_role", {"Role": role}, {"RoleName": "ramp"})
    iam.simulate(ROLE, frozenset({"iam:PassRole", "ec2:RunInstances"}))
    assert iam.denied() == ["ec2:RunInstances", "iam:PassRole"]
    iam.stub.assert_no_pending_responses()


def test_a_user_is_asked_about_as_it_is() -> None:
    iam = Iam(USER)
    iam.simulate(USER)
    assert iam.denied() == []
    iam.stub.assert_no_pending_responses()


def test_the_resources_are_in_the_caller_s_part_of_aws() -> None:
    user = "arn:aws-us-gov:iam::123456789012:user/ann"
    iam = Iam(user)
    iam.simulate(user)
    assert iam.denied() == []
    iam.stub.assert_no_pending_responses()


def test_a_service_on_others_nodes_needs_neither_node_groups_nor_their_roles() -> None:
    iam = Iam(USER)
    of_node_groups = frozenset(
        {"NodeGroups", "NodeRoles", "NodeRolesInTheirBoundary", "PoliciesOfNodes", "RolesOfServices"}
    )
    iam.simulate(USER, frozenset({"eks:CreateNodegroup", "iam:CreateRole"}), without=of_node_groups)
    assert iam.denied(node_groups=False) == []
    iam.stub.assert_no_pending_responses()


def test_only_a_service_with_a_dashboard_needs_what_that_takes() -> None:
    iam = Iam(USER)
    iam.simulate(USER, frozenset({"cloudwatch:PutDashboard"}), dashboard=True)
    assert iam.denied(dashboard=True) == ["cloudwatch:PutDashboard"]
    iam.stub.assert_no_pending_responses()


def test_the_account_itself_may_do_everything() -> None:
    assert Iam("arn:aws:iam::123456789012:root").denied() == []


def test_another_kind_of_caller_cannot_be_simulated() -> None:
    with pytest.raises(RolloutError, match="neither a user nor a role"):
        Iam("arn:aws:sts::123456789012:federated-user/ann").denied()


def test_who_may_not_ask_is_named_with_the_action() -> None:
    iam = Iam(USER)
    iam.stub.add_client_error("simulate_principal_policy", "AccessDenied", "no")
    with pytest.raises(ClientError) as raised:
        iam.denied()
    assert "AWS SimulatePrincipalPolicy: AccessDenied" in describe_error(raised.value)
