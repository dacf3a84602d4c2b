"""An ELBv2 client with fast retries: a throttled or lost call is repeated almost at once.

botocore's own retries back off for up to 20 s and share one retry quota among all calls of a client. Users on a failing
candidate cannot wait that long. One call at a time, a few times a second, is little load even for a throttled account.
https://boto3.amazonaws.com/v1/documentation/api/latest/guide/retries.html
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final, cast

from rollout.system.waits import name_calls

if TYPE_CHECKING:
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

CONNECT_TIMEOUT_SECONDS: Final = 1
READ_TIMEOUT_SECONDS: Final = 3
BUDGET_SECONDS: Final = 10.0
FIRST_DELAY_SECONDS: Final = 0.03
LONGEST_DELAY_SECONDS: Final = 0.4

_THROTTLED: Final = frozenset(
    {"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException"}
    | {"RequestThrottled", "RequestThrottledException", "BandwidthLimitExceeded", "SlowDown", "RequestTimeout"}
)
_BEGAN: Final = "rollout_began"


def elbv2_client(region: str | None) -> ElasticLoadBalancingv2Client:
    """Return a client that retries each call for up to ``BUDGET_SECONDS``."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    client = boto3.client("elbv2", region_name=region, config=config)
    name_calls(client, at_most_seconds=BUDGET_SECONDS + CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS)
    # botocore waits for the seconds that the first handler of this event returns; the type stubs do not cover that.
    client.meta.events.register("needs-retry.elastic-load-balancing-v2", cast(Any, _delay_seconds))
    return client


def is_passing(error: BaseException) -> bool:
    """Return whether the same call may succeed a little later."""
    from botocore import exceptions as aws

    if isinstance(error, aws.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or error.response.get("Error", {}).get("Code") in _THROTTLED
    return isinstance(error, aws.HTTPClientError | aws.ConnectionError)


def _delay_seconds(
    response: tuple[Any, dict[str, Any]] | None,
    attempts: int,
    caught_exception: Exception | None,
    request_dict: dict[str, Any],
    **_: object,
) -> float | None:
    """Return the seconds to wait before the next attempt. None for no retry (botocore's ``needs-retry``)."""
    if not _is_passing(response, caught_exception):
        return None
    began = request_dict["context"].setdefault(_BEGAN, time.monotonic())
    if time.monotonic() - began > BUDGET_SECONDS:
        return None
    return min(FIRST_DELAY_SECONDS * 2 ** (attempts - 1), LONGEST_DELAY_SECONDS) * random.uniform(0.5, 1)


def _is_passing(response: tuple[Any, dict[str, Any]] | None, caught_exception: Exception | None) -> bool:
    if caught_exception is not None:
        return is_passing(caught_exception)
    if response is None:
        return False
    answered, parsed = response
    return answered.status_code >= 500 or parsed.get("Error", {}).get("Code") in _THROTTLED
