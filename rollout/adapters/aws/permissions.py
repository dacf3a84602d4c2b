"""What IAM's policies allow to whoever runs this, by IAM's own simulation. Read-only: no action is called.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rollout.model.errors import RolloutError
from rollout.model.permissions import NEEDS, Need

_ALLOWED: Final = "allowed"
# A session's ARN names its role without the role's path.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
_SESSION: Final = re.compile(r"arn:[\w-]+:sts::\d+:assumed-role/([^/]+)/.*")
_USER: Final = re.compile(r"arn:[\w-]+:iam::\d+:user/.+")
_ROOT: Final = re.compile(r"arn:[\w-]+:iam::\d+:root")


def denied_actions(
    iam: Any, sts: Any, values: Mapping[str, str], *, dashboard: bool, node_groups: bool
) -> Sequence[str]:
    """Return the actions that are not allowed, in order.

    Args:
        iam: the client for IAM.
        sts: the client for STS.
        values: the values for the example resources: region, cluster, service and boundary.
        dashboard: whether the service has a dashboard.
        node_groups: whether the program declares the service's nodes.

    Raises:
        RolloutError: the caller is neither a user nor a role.
    """
    caller = sts.get_caller_identity()
    principal = _principal(iam, str(caller["Arn"]))
    if principal is None:
        return ()  # the account itself may do everything
    # GovCloud's and China's ARNs begin otherwise: with aws-us-gov and aws-cn.
    known = {**values, "account": str(caller["Account"]), "partition": principal.split(":")[1]}
    needs = [
        need for need in NEEDS if (dashboard or not need.for_dashboard) and (node_groups or not need.for_node_groups)
    ]
    denied = {action for need in needs for action in _denied(iam, principal, need, known)}
    return sorted(denied)


def _principal(iam: Any, arn: str) -> str | None:
    """Return the ARN of the user or role whose policies count. None for the account itself."""
    if session := _SESSION.fullmatch(arn):
        return str(iam.get_role(RoleName=session[1])["Role"]["Arn"])
    if _USER.fullmatch(arn):
        return arn
    if _ROOT.fullmatch(arn):
        return None
    raise RolloutError(f"the permissions of {arn} cannot be simulated: it is neither a user nor a role")


def _denied(iam: Any, principal: str, need: Need, values: Mapping[str, str]) -> list[str]:
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value.format(**values)], "ContextKeyType": "string"}
        for key, value in need.context.items()
        if value.format(**values)
    ]
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=principal,
        ActionNames=list(need.actions),
        ResourceArns=[need.resource.format(**values)],
        ContextEntries=context,
    )
    return [
        str(one["EvalActionName"])
        for page in pages
        for one in page["EvaluationResults"]
        if one["EvalDecision"] != _ALLOWED
    ]
