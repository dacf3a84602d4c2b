"""The KMS key of the nodes' volumes: its state, and whether Auto Scaling may use it. Read-only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast

from rollout.model.account import VolumeKey

_T = TypeVar("_T")

# The key that AWS makes and manages. Auto Scaling may always use it.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html
_AWS_KEY: Final = "alias/aws/ebs"
_ROLE: Final = "AWSServiceRoleForAutoScaling"
_CREATE_GRANT: Final = frozenset({"kms:CreateGrant", "kms:Create*", "kms:*", "*"})
_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"})


def read_volume_key(ec2: Any, kms: Any, arn: str | None) -> VolumeKey:
    """Return a key, or without an ARN the account's default key for EBS. What may not be read stays unknown."""
    key = arn or ec2.get_ebs_default_kms_key_id()["KmsKeyId"]
    if key.endswith(_AWS_KEY):
        return VolumeKey(arn=key, state="Enabled", auto_scaling_may_use=True)
    described: Mapping[str, Any] = _allowed(lambda: kms.describe_key(KeyId=key)["KeyMetadata"]) or {}
    state = str(described.get("KeyState", ""))
    if described.get("KeyManager") == "AWS":
        return VolumeKey(arn=key, state=state, auto_scaling_may_use=True)
    policy = _allowed(lambda: kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    grants = _allowed(
        lambda: [g for page in kms.get_paginator("list_grants").paginate(KeyId=key) for g in page["Grants"]]
    )
    may_use = (policy is not None and policy_admits(policy)) or any(map(_admits, grants or ()))
    unknown = not may_use and (policy is None or grants is None)
    return VolumeKey(arn=key, state=state, auto_scaling_may_use=None if unknown else may_use)


def policy_admits(policy: str) -> bool:
    """Return whether a key policy lets Auto Scaling's role create grants, as a launch does.

    Conditions are not evaluated: the usual ones narrow a statement to EC2 or to AWS's own grants. The account itself
    as a principal is not enough, because the role's own policy allows no customer key.
    """
    statements = json.loads(policy).get("Statement", [])
    return any(_states(statement) for statement in _list(statements))


def _states(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal", {})
    named = _list(principal.get("AWS", [])) if isinstance(principal, dict) else _list(principal)
    admits = any(one == "*" or _ROLE in one for one in named)
    return (
        statement.get("Effect") == "Allow" and admits and bool(_CREATE_GRANT & set(_list(statement.get("Action", []))))
    )


def _admits(grant: Mapping[str, Any]) -> bool:
    return _ROLE in grant.get("GranteePrincipal", "") and "CreateGrant" in grant.get("Operations", [])


def _list(value: Any) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value]
    return [value] if isinstance(value, Mapping) else list(cast(Iterable[Any], value))


def _allowed(ask: Callable[[], _T]) -> _T | None:
    """Return the answer. None when we may not ask."""
    from botocore.exceptions import ClientError

    try:
        return ask()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _DENIED:
            return None
        raise
