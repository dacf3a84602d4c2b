"""The secret part of the candidate routes: it must be a Pulumi secret, and a value that fits an HTTP header."""

import re
from typing import Final

from components.config.reading.violations import Violation

KEY: Final = "candidate_route_secret"
COMMAND: Final = f'pulumi config set --secret {KEY} "$(openssl rand -hex 16)"'

# Header conditions allow wildcards: a value of "*" would send every client to the candidate.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_HttpHeaderConditionConfig.html
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{16,100}", re.ASCII)
_SET: Final = f"Set one with: {COMMAND}"


def missing() -> Violation:
    """Return the violation for a secret that is not set."""
    return Violation((KEY,), "is required but not set", _SET)


def in_plain_text() -> Violation:
    """Return the violation for a secret that is in the config file in plain text."""
    return Violation(
        (KEY,), "is a secret, but is in the config in plain text", f"Replace it; others may have seen it. {_SET}"
    )


def value_violation(secret: str) -> Violation | None:
    """Return what is wrong with a decrypted secret, or None; the violation does not show the secret."""
    if not secret:
        return missing()
    if _FORM.fullmatch(secret):
        return None
    length = f"16 to 100 letters, digits, '-' or '_', and has {len(secret)} characters"
    return Violation((KEY,), f"must be {length if not 16 <= len(secret) <= 100 else length.split(', and')[0]}", _SET)
