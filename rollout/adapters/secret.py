"""Reads a secret from where the settings say: a variable of the environment, or a file.

No secret is part of a message. A message names where the secret comes from.
"""

import os
import re
from pathlib import Path
from typing import Final

from components.config.sections.prometheus_settings import SecretSource
from rollout.model.errors import RolloutError

SecretForm = tuple[re.Pattern[str], str]
WORD: Final = (re.compile(r"[!-~]+"), "one word of printable ASCII")
LINE: Final = (re.compile(r"[!-~]([ -~]*[!-~])?"), "one line of printable ASCII without spaces around it")
TEXT: Final = (re.compile(r"[^\x00-\x1f\x7f]+"), "one line of text without control characters")


def read_secret(field: str, source: SecretSource, folder: Path, form: SecretForm, what: str = "the secret") -> str:
    """Read a secret, without the line's end.

    Args:
        field: the setting, for messages.
        source: where the secret is. A relative path is below ``folder``.
        folder: the folder of the program.
        form: the pattern that the secret must match, and its name.
        what: what it is, for messages.

    Raises:
        RolloutError: the secret is missing or unusable.
    """
    where = place_of(source)
    if source.env is not None:
        value = os.environ.get(source.env)
        if value is None:
            raise RolloutError(f"{field}.env: {where} is not set. Set it to {what}, or name another one")
    else:
        value = _content(f"{field}.file", folder / str(source.file))
    value = value.rstrip("\r\n")
    if not value:
        raise RolloutError(f"{field}: {where} is empty. Put {what} there, or name another place")
    pattern, form_name = form
    if pattern.fullmatch(value) is None:
        raise RolloutError(f"{field}: the content of {where} must be {form_name}. It is not shown. Correct it")
    return value


def place_of(source: SecretSource) -> str:
    """Return where a secret is, for messages."""
    return f"the file {source.file}" if source.env is None else f"the variable {source.env}"


def unreadable(field: str, path: Path, error: OSError) -> str:
    """Return the message for a file that cannot be read."""
    return f"{field}: {path} cannot be read ({error.strerror or error}). Mount or write it, or set another path"


def _content(field: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        # The error itself contains a part of the secret.
        raise RolloutError(
            f"{field}: {path} is not text in UTF-8. Write the secret there, or set another file"
        ) from None
    except OSError as error:
        raise RolloutError(unreadable(field, path, error)) from error
