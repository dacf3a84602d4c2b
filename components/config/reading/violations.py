"""A violation of a setting in one line: path, what it must be, given value, fix. Secrets are never shown."""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic_core import PydanticCustomError

from components.config.reading.secret_values import secret_kind

MAX_SHOWN_CHARACTERS: Final = 80

Path = tuple[str | int, ...]


class _Unset:
    """Marks that there is no value to show, or that the value must not be shown."""


UNSET: Final = _Unset()


@dataclass(frozen=True)
class Violation:
    """What is wrong at a path. ``fix`` is a separate sentence; it is empty when ``what`` already implies it."""

    path: Path
    what: str
    fix: str = ""
    value: object = UNSET

    def line(self, prefix: str = "") -> str:
        """Return the violation as one line; the prefix goes before the path."""
        got = "" if self.value is UNSET else f" (got {shown(self.value)})"
        where = prefix + (dotted(self.path) or "all of it")
        return f"{where}: {self.what}{got}." + (f" {self.fix}" if self.fix else "")


def wrong(*violations: Violation) -> PydanticCustomError:
    """Return the error for a validator to raise; each path is relative to the validated value."""
    return PydanticCustomError(
        "violations", "{text}", {"text": "; ".join(one.what for one in violations), "violations": violations}
    )


def dotted(path: Path) -> str:
    """Return a path in the format of ``pulumi config set --path``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part == "" or not part.isprintable() or set(part) & set('.[]" :'):
            text += f"[{_escaped(part)}]"
        else:
            text += f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """Return a value for a message: on one line, shortened to 80 characters, and never a secret."""
    text = _escaped(value)
    if any(secret_kind(part) for part in (text, *(part for _, part in texts_of(value, ())))):
        return "a secret, not shown here"
    if len(text) > MAX_SHOWN_CHARACTERS:
        text = f"{text[:MAX_SHOWN_CHARACTERS]}… {len(text)} characters"
    foreign = next((character for character in text if ord(character) > 127 and character != "…"), None)
    return text if foreign is None else f"{text}, with U+{ord(foreign):04X} {unicodedata.name(foreign, '?')}"


def text_violations(tree: object, path: Path = ()) -> Iterator[Violation]:
    """Find secrets and broken characters in a tree of plain values, keys included."""
    for where, text in texts_of(tree, path):
        if kind := secret_kind(text):
            fix = "Remove it, and issue a new one: others may have seen it."
            hidden = tuple("…" if part == text else part for part in where)
            yield Violation(hidden, f"contains {kind} in plain text", fix)
        elif any("\ud800" <= character <= "\udfff" for character in text):
            what = "contains a lone surrogate, which is half a character"
            yield Violation(where, what, "Write the whole character.", text)


def texts_of(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield every text of a tree with its path; a key has the path of its value."""
    waiting: list[tuple[Path, Any]] = [(path, value)]
    while waiting:  # a loop, not recursion: the tree may be deeper than the call stack
        where, one = waiting.pop()
        if isinstance(one, str):
            yield where, one
        elif isinstance(one, Mapping):
            items = cast(Mapping[object, object], one).items()
            keyed = [((*where, str(key)), key, below) for key, below in items]
            yield from ((there, key) for there, key, _ in keyed if isinstance(key, str))
            waiting += [(there, below) for there, _, below in keyed]
        elif isinstance(one, Sequence):
            waiting += [((*where, position), below) for position, below in enumerate(cast(Sequence[object], one))]


def _escaped(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__} that cannot be written as JSON"
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
