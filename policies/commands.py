"""Read containers' commands: which programs they run, directly or through a shell."""

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from policies.resources import items

_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh"})
_INLINE: Final = re.compile(r"\b(python[0-9.]*|perl|ruby|node) (-\w+ )*?-[A-Za-z]*[ce] ")
_SEPARATORS: Final = re.compile(r"[;&|\n(){}]+")
# Words that may come before a program's name, because they run it or are shell keywords.
_BEFORE: Final = frozenset(
    {"exec", "env", "time", "timeout", "nice", "if", "then", "else", "elif", "while", "until", "do", "!"}
)
_NO_PROGRAM: Final = re.compile(r"-.*|[0-9]+[smh]?|[A-Za-z_][A-Za-z0-9_]*=.*|[0-9]*[<>].*")
_SLEEP: Final = re.compile(r"(?<![\w-])sleep\s+([0-9]+)(s?)(?![\w.])")


def words(*parts: Any) -> list[str]:
    """Return the words of a command given in parts; for a shell with ``-c``, the words of its script."""
    given = [str(word) for part in parts for word in items(part)]
    script = _script(given)
    if script is None:
        return given
    try:
        return shlex.split(script.replace("\\\n", " "), comments=True)
    except ValueError:
        # A quote is not closed, so split the script at white space instead.
        return script.split()


def programs(command: Any) -> set[str]:
    """Return the names of the programs that a command runs, without their folders."""
    given = [str(word) for word in items(command)]
    script = _script(given)
    commands = [given] if script is None else [part.split() for part in _SEPARATORS.split(script)]
    return {program for one in commands if (program := _program(one))}


def is_inline_code(command: Any) -> bool:
    """Return whether a command contains all the code that it runs, as after ``python3 -c``."""
    return _INLINE.search(" ".join(str(word) for word in items(command))) is not None


def slept_seconds(command: Any) -> int | None:
    """Return how many seconds a command sleeps, as in ``sleep 30``; None when it does not sleep, or it is unknown."""
    naps = [int(seconds) for seconds, _ in _SLEEP.findall(" ".join(words(command)))]
    return sum(naps) if naps else None


def _script(given: Sequence[str]) -> str | None:
    """Return the script that a shell runs with ``-c``."""
    if _program(given) not in _SHELLS:
        return None
    return next((script for flag, script in pairwise(given) if re.fullmatch(r"-[a-z]*c", flag)), None)


def _program(command: Sequence[str]) -> str | None:
    return next((_name(word) for word in command if word not in _BEFORE and not _NO_PROGRAM.fullmatch(word)), None)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
