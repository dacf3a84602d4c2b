"""Whether Auto Scaling may use a KMS key, as the key's policy and grants say."""

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from rollout.adapters.aws.volume_key import policy_admits, read_volume_key
from rollout.model.account import VolumeKey

KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
ROLE = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
ROOT = "arn:aws:iam::123456789012:root"


def statement(principal: Any, *actions: str, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": list(actions), "Resource": "*"}


OF_ACCOUNT = statement({"AWS": ROOT}, "kms:*")
USE = statement({"AWS": [ROLE]}, "kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*")
GRANT = statement({"AWS": [ROLE]}, "kms:CreateGrant")


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.mark.parametrize(
    ("statements", "admitted"),
    [
        ((OF_ACCOUNT,), False),
        ((OF_ACCOUNT, USE), False),
        ((OF_ACCOUNT, USE, GRANT), True),
        ((statement({"AWS": ROLE}, "kms:*"),), True),
        ((statement({"AWS": f"{ROLE}_gpus"}, "kms:CreateGrant"),), True),
        ((statement({"AWS": "*"}, "kms:CreateGrant"),), True),
        ((statement("*", "kms:Create*"),), True),
        ((statement({"AWS": ROLE}, "kms:CreateGrant", effect="Deny"),), False),
        ((statement({"Service": "ec2.amazonaws.com"}, "kms:CreateGrant"),), False),
        ((), False),
    ],
)
def test_a_policy_admits_the_role_that_may_create_grants(statements: Any, admitted: bool) -> None:
    assert policy_admits(policy(*statements)) == admitted


def test_a_policy_may_have_one_statement_instead_of_a_list() -> None:
    assert policy_admits(json.dumps({"Statement": {**GRANT, "Action": "kms:CreateGrant"}}))


class Services:
    """EC2 and KMS, which give only the answers that a test sets."""

    def __init__(self) -> None:
        keys: Any = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        self.ec2: Any = boto3.client("ec2", **keys)
        self.kms: Any = boto3.client("kms", **keys)
        self.of_ec2, self.of_kms = Stubber(self.ec2), Stubber(self.kms)
        self.of_ec2.activate()
        self.of_kms.activate()

    def describe(self, **metadata: Any) -> None:
        described = {"KeyId": KEY, "Arn": KEY, "KeyState": "Enabled", "KeyManager": "CUSTOMER", **metadata}
        self.of_kms.add_response("describe_key", {"KeyMetadata": described}, {"KeyId": KEY})

    def answer(self, statements: Any, grants: Any) -> None:
        """Give a policy and grants; None for those that may not be read."""
        if statements is None:
            self.of_kms.add_client_error("get_key_policy", "AccessDeniedException")
        else:
            asked = {"KeyId": KEY, "PolicyName": "default"}
            self.of_kms.add_response("get_key_policy", {"Policy": policy(*statements)}, asked)
        if grants is None:
            self.of_kms.add_client_error("list_grants", "AccessDeniedException")
        else:
            self.of_kms.add_response("list_grants", {"Grants": grants}, {"KeyId": KEY})

    def read(self, arn: str | None = KEY) -> VolumeKey:
        return read_volume_key(self.ec2, self.kms, arn)


@pytest.fixture
def services() -> Services:
    return Services()


def test_awss_own_key_is_always_allowed(services: Services) -> None:
    services.of_ec2.add_response("get_ebs_default_kms_key_id", {"KmsKeyId": "alias/aws/ebs"}, {})
    assert services.read(None) == VolumeKey(arn="alias/aws/ebs", state="Enabled", auto_scaling_may_use=True)
    services.describe(KeyManager="AWS")
    assert services.read().auto_scaling_may_use is True


GRANTED = [{"GranteePrincipal": ROLE, "Operations": ["Decrypt", "CreateGrant"]}]
GRANTED_LESS = [{"GranteePrincipal": ROLE, "Operations": ["Decrypt"]}]
GRANTED_OTHERS = [{"GranteePrincipal": ROOT, "Operations": ["CreateGrant"]}]


@pytest.mark.parametrize(
    ("statements", "grants", "may_use"),
    [
        ([OF_ACCOUNT, GRANT], [], True),
        ([OF_ACCOUNT, GRANT], None, True),
        ([OF_ACCOUNT], GRANTED, True),
        (None, GRANTED, True),
        ([OF_ACCOUNT], GRANTED_LESS, False),
        ([OF_ACCOUNT], GRANTED_OTHERS, False),
        ([OF_ACCOUNT], None, None),
        (None, [], None),
        (None, None, None),
    ],
)
def test_a_customers_key_is_allowed_by_policy_or_grant_and_unknown_where_it_may_not_be_read(
    services: Services, statements: Any, grants: Any, may_use: bool | None
) -> None:
    services.of_ec2.add_response("get_ebs_default_kms_key_id", {"KmsKeyId": KEY}, {})
    services.describe()
    services.answer(statements, grants)
    assert services.read(None) == VolumeKey(arn=KEY, state="Enabled", auto_scaling_may_use=may_use)


def test_a_key_that_may_not_be_described_has_no_state(services: Services) -> None:
    services.of_kms.add_client_error("describe_key", "AccessDeniedException")
    services.answer(None, None)
    assert services.read() == VolumeKey(arn=KEY)


def test_other_errors_are_raised(services: Services) -> None:
    services.of_kms.add_client_error("describe_key", "NotFoundException")
    with pytest.raises(services.kms.exceptions.NotFoundException):
        services.read()
