"""The options of a `vllm serve` command line, as vLLM's parser reads them. Nothing else in the product parses them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from components.domain.vllm.vllm_options import SHORT_NAMES, opposite_of


@dataclass(frozen=True, kw_only=True)
class ServeOption:
    """One option with its values."""

    position: int
    """The place of the option in the list of words."""
    given: str
    """The option as it is written, without a value in the same word."""
    name: str
    """The full name with dashes, without ``--no-`` and without a key. An abbreviation stays one. The name of a flag's
    opposite, such as ``--disable-lora``, is that of the flag."""
    key: str
    """What follows the first dot: ``model`` in ``--speculative-config.model``; empty without a dot."""
    negated: bool
    """Whether it turns ``name`` off: ``--no-<name>``, or the flag's opposite."""
    joined: bool
    """Whether white space separates option and value within one word. vLLM does not recognise such a word."""
    inline: bool
    """Whether the first value is in the option's own word."""
    values: tuple[str, ...]

    @property
    def value(self) -> str:
        """The first value; empty without one."""
        return self.values[0] if self.values else ""

    def value_position(self, index: int) -> int:
        """Return the place of a value in the list of words."""
        return self.position + index + (0 if self.inline else 1)


def is_option(word: str) -> bool:
    """Return whether a word begins an option. A negative number is a value, although it begins with a dash."""
    return word.startswith("-") and not re.match(r"-\.?[0-9]", word)


def leading_words(words: Sequence[str]) -> list[str]:
    """Return the words before the first option: the program and the model."""
    end = next((place for place, word in enumerate(words) if is_option(word)), len(words))
    return list(words[:end])


def serve_options(words: Sequence[str]) -> list[ServeOption]:
    """Return the options of a command line in the order given.

    ``--option=value`` and ``--option value`` are equal, and so are dashes and underscores in a name.
    """
    starts = [place for place, word in enumerate(words) if is_option(word)]
    ends = [*starts[1:], len(words)]
    return [_option(start, words[start], words[start + 1 : end]) for start, end in zip(starts, ends, strict=False)]


def last_value(options: Sequence[ServeOption], name: str) -> str | None:
    """Return the value that vLLM uses for an option, the last one; None when it is not given."""
    given = [one for one in options if one.name == name and not (one.key or one.negated or one.joined)]
    return given[-1].value if given else None


def json_object(options: Sequence[ServeOption], name: str) -> Mapping[str, Any]:
    """Return an option's JSON object, with the keys that are set one by one; empty when it is not given."""
    merged: dict[str, Any] = {}
    for option in options:
        if option.name == name and option.key:
            merged[option.key.replace("-", "_")] = option.value
        elif option.name == name:
            merged |= parsed_object(option.value)
    return merged


def parsed_object(text: str) -> Mapping[str, Any]:
    """Return a text's JSON object; empty when it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast(Mapping[str, Any], value) if isinstance(value, dict) else {}


def _split(word: str) -> tuple[str, str | None, str]:
    """Return an option as it is written, what separates it from its value in the same word, and that value."""
    # As for argparse, the value of an option of one letter may follow it at once: -n2, -O3.
    if (short := word[: len("-n")]) in SHORT_NAMES and re.match(r"[^=\s]", word[len(short) :]):
        return short, "", word[len(short) :]
    found = re.match(r"([^=\s]*)(=|\s+)?(.*)", word, re.DOTALL)
    given, separator, rest = found.groups() if found else (word, None, "")
    return given, separator, rest


def _option(position: int, word: str, following: Sequence[str]) -> ServeOption:
    given, separator, rest = _split(word)
    plain, _, key = given.partition(".")
    plain = plain.replace("_", "-") if plain.startswith("--") else plain
    negated = plain.startswith("--no-")
    name = "--" + plain.removeprefix("--no-") if negated else SHORT_NAMES.get(plain, plain)
    if (opposite := opposite_of(name)) is not None:
        name, negated = opposite, not negated
    inline = separator is not None
    return ServeOption(
        position=position,
        given=given,
        name=name,
        key=key,
        negated=negated,
        joined=inline and separator not in ("", "="),
        inline=inline,
        values=(*((rest,) if inline else ()), *following),
    )
