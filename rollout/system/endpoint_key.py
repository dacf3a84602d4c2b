"""The API key for the scripts' own requests: the operator's, from the environment. It is never shown."""

import re
from collections.abc import Mapping
from typing import Final

from rollout.model.errors import RefusedError

VARIABLE: Final = "ENDPOINT_API_KEY"
FIX: Final = f"put the service's API key into the environment variable {VARIABLE}"


def endpoint_key(environment: Mapping[str, str], *, required: bool) -> str | None:
    """Return the key. None when none is set and the service needs none.

    Raises:
        RefusedError: the service needs a key and none is set, or the key cannot be sent in an HTTP header.
    """
    key = environment.get(VARIABLE, "")
    if not key:
        if required:
            raise RefusedError(f"{VARIABLE}: is not set, but the service has pods.api_key_secret; {FIX}")
        return None
    if re.fullmatch(r"[!-~]+", key) is None:
        raise RefusedError(f"{VARIABLE}: is not one word of printable ASCII (does it end in a newline?); {FIX}")
    return key
