"""Waits for AWS, and reads AWS's error codes."""

import time
from collections.abc import Callable

from rehearsal.providers.provider import ProviderError

_POLL_SECONDS = 0.5


def wait_until(done: Callable[[], bool], what: str, timeout_seconds: float) -> None:
    """Poll until ``done()`` is true. Raises ProviderError with ``what`` after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not done():
        if time.monotonic() > deadline:
            raise ProviderError(f"timed out after {timeout_seconds:g} s waiting for {what}")
        time.sleep(_POLL_SECONDS)


def error_code(error: Exception) -> str:
    """Return AWS's error code, such as ``ResourceInUse``; empty when the error is not from AWS."""
    response = getattr(error, "response", {})
    return response.get("Error", {}).get("Code", "")


def is_missing(error: Exception) -> bool:
    """Return whether the error means that the resource does not exist. Every service has its own code for that."""
    code = error_code(error)
    return "NotFound" in code or code in ("NoSuchEntity", "ResourceNotFoundException")


def missing_is_fine(call: Callable[[], object]) -> None:
    """Call a deletion and ignore that the resource is already gone."""
    try:
        call()
    except Exception as error:
        if not is_missing(error):
            raise
