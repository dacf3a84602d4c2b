"""Times as Kubernetes writes them."""

import datetime


def timestamp(*, micro: bool = False) -> str:
    """Return the current UTC time to the second, or to the microsecond where the API wants a MicroTime."""
    now = datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")
