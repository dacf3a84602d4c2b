"""Texts that look like secrets. They must be neither in plain config nor in an error message."""

import re
from typing import Final

_KINDS: Final = (
    ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{16,}"),
    ("an API key", r"\bsk-[A-Za-z0-9_-]{16,}"),
    ("an AWS access key", r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("an AWS secret key", r"(?i:\baws_?secret_?(access_?)?key)[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}"),
    ("a GitHub token", r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
    ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{16,}"),
    ("a Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    ("a Google API key", r"\bAIza[A-Za-z0-9_-]{30,}"),
    ("a Pulumi access token", r"\bpul-[0-9a-f]{32,}"),
    ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\."),
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("a password in a URL", r"\b[a-z][a-z0-9+.-]*://[^\s/@:]*:[^\s/@]+@"),
)
_PATTERNS: Final = tuple((kind, re.compile(pattern, re.ASCII)) for kind, pattern in _KINDS)

# A name that ends in a word for a secret: HF_TOKEN, but not HF_TOKEN_PATH or MAX_TOKENS.
_SECRET_NAME: Final = re.compile(
    r"([A-Z0-9]+[_-])*(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)|.*(APIKEY|PASSWORD)", re.IGNORECASE
)


def names_secret(name: str) -> bool:
    """Return whether a variable or an option of this name contains a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def secret_kind(text: str) -> str | None:
    """Return the kind of secret that a text contains; None when it contains none."""
    return next((kind for kind, pattern in _PATTERNS if pattern.search(text)), None)
