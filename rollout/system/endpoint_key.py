"""The API key with which the scripts send requests of their own: the operator's, from the environment, never shown."""

import re
from collections.abc import Mapping
from typing import Final

from rollout.model.errors import RefusedError

VARIABLE: Final = "ENDPOINT_API_KEY"
FIX: Final = f"put the service's API key into the environment variable {VARIABLE}"


def endpoint_key(environment: Mapping[str, str], *, required: bool) -> str | None:
    """Return the key; none when there is none and the service asks for none.

    Raises:
        RefusedError: the service asks for a key and there is none, or no HTTP header can carry the one there is.
    """
    key = environment.get(VARIABLE, "")
    if not key:
        if required:
            raise RefusedError(f"{VARIABLE}: is not set, but the service has pods.api_key_secret; {FIX}")
        return None
    if re.fullmatch(r"[!-~]+", key) is None:
        raise RefusedError(f"{VARIABLE}: is not one word of plain characters (does it end in a newline?); {FIX}")
    return key
