"""A violation of a setting, in one line: where, what it must be, the value given, the fix. Secrets are never shown."""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic_core import PydanticCustomError

from components.config.secret_values import secret_kind

MAX_SHOWN_CHARACTERS: Final = 80

Path = tuple[str | int, ...]


class _Unset:
    """There is no value to show, or none that may be shown."""


UNSET: Final = _Unset()


@dataclass(frozen=True)
class Violation:
    """What is wrong at a path; ``fix`` is a sentence of its own, where ``what`` does not say it already."""

    path: Path
    what: str
    fix: str = ""
    value: object = UNSET

    def line(self, prefix: str = "") -> str:
        """Write it as one line; the prefix goes before the path."""
        got = "" if self.value is UNSET else f" (got {shown(self.value)})"
        where = prefix + (dotted(self.path) or "all of it")
        return f"{where}: {self.what}{got}." + (f" {self.fix}" if self.fix else "")


def wrong(*violations: Violation) -> PydanticCustomError:
    """Return what a validator raises; each path is relative to what it validates."""
    return PydanticCustomError(
        "violations", "{text}", {"text": "; ".join(one.what for one in violations), "violations": violations}
    )


def dotted(path: Path) -> str:
    """Write a path as ``pulumi config set --path`` takes it."""
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
    """Write a value for a person: on one line, not too long, and never a secret."""
    text = _escaped(value)
    if any(secret_kind(part) for part in (text, *(part for _, part in _texts(value, ())))):
        return "a secret, not shown here"
    if len(text) > MAX_SHOWN_CHARACTERS:
        text = f"{text[:MAX_SHOWN_CHARACTERS]}… {len(text)} characters"
    foreign = next((character for character in text if ord(character) > 127 and character != "…"), None)
    return text if foreign is None else f"{text}, with U+{ord(foreign):04X} {unicodedata.name(foreign, '?')}"


def text_violations(tree: object, path: Path = ()) -> Iterator[Violation]:
    """Find texts that no setting may hold, keys included, in a tree of plain values."""
    for where, text in _texts(tree, path):
        if kind := secret_kind(text):
            fix = "Take it out, and replace it where it came from: others have seen it."
            yield Violation(tuple("…" if part == text else part for part in where), f"holds {kind} in plain text", fix)
        elif any("\ud800" <= character <= "\udfff" for character in text):
            yield Violation(where, "holds half a character, a lone surrogate", "Write the character whole.", text)


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield every text of a tree and where it is; a key is where its value is."""
    waiting: list[tuple[Path, Any]] = [(path, value)]
    while waiting:  # not by recursion: the tree may be deeper than the stack
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
