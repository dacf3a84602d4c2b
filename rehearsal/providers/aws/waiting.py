"""Waiting for AWS to finish something, and AWS's error codes."""

import time
from collections.abc import Callable

from rehearsal.providers.provider import ProviderError

_POLL_SECONDS = 0.5


def wait_until(done: Callable[[], bool], what: str, timeout_seconds: float) -> None:
    """Poll until ``done``; raises ProviderError with ``what`` when that takes too long."""
    deadline = time.monotonic() + timeout_seconds
    while not done():
        if time.monotonic() > deadline:
            raise ProviderError(f"timed out after {timeout_seconds:g} s waiting for {what}")
        time.sleep(_POLL_SECONDS)


def error_code(error: Exception) -> str:
    """AWS's error code, such as ``ResourceInUse``; empty when the error is not an answer of AWS."""
    response = getattr(error, "response", {})
    return response.get("Error", {}).get("Code", "")


def is_missing(error: Exception) -> bool:
    """Whether AWS says that the thing does not exist; every service has its own code for that."""
    code = error_code(error)
    return "NotFound" in code or code in ("NoSuchEntity", "ResourceNotFoundException")


def missing_is_fine(call: Callable[[], object]) -> None:
    """Delete something; what is gone already is deleted."""
    try:
        call()
    except Exception as error:
        if not is_missing(error):
            raise
