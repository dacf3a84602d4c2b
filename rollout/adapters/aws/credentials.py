"""When the AWS credentials of this process end. Asks AWS nothing, unless they come from a service such as EC2's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.config.reading.violations import shown
from components.domain.moments import parse_rfc3339
from rollout.model.account import Credentials
from rollout.model.errors import RolloutError
from rollout.system.waits import waiting

# botocore reads the end of credentials from this variable only if they come from the environment, and then "refreshes"
# them from the same environment, which a running process cannot get anew.
# https://github.com/boto/botocore/blob/develop/botocore/credentials.py (EnvProvider)
VARIABLE: Final = "AWS_CREDENTIAL_EXPIRATION"
_ENVIRONMENT: Final = "env"


def read_credentials(environment: Mapping[str, str]) -> Credentials:
    """Return when the credentials end that boto3 finds for this process.

    Raises:
        RolloutError: AWS_CREDENTIAL_EXPIRATION is not a time.
        NoCredentialsError: there are none.
    """
    import boto3
    from botocore.credentials import RefreshableCredentials
    from botocore.exceptions import NoCredentialsError

    text = environment.get(VARIABLE, "")
    try:
        with waiting("AWS credentials"):
            found = boto3.Session().get_credentials()
        if found is None:
            raise NoCredentialsError
        if found.method == _ENVIRONMENT and text:
            return Credentials(ends=parse_rfc3339(text))
    except ValueError as error:
        raise RolloutError(
            f"{VARIABLE}: must be a time with its zone, such as 2026-12-01T08:00:00Z (got {shown(text)})"
        ) from error
    # All other sources with an end can be asked again: IAM Identity Center, a role, EC2, a process.
    if isinstance(found, RefreshableCredentials):
        return Credentials()
    return Credentials(end_unknown=bool(found.token))
