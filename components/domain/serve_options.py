"""The options of a `vllm serve` command line, as vLLM's parser reads them. Nothing else in the product parses them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

# https://github.com/vllm-project/vllm/blob/main/vllm/engine/arg_utils.py
SHORT_NAMES: Final[Mapping[str, str]] = {
    "-ac": "--attention-config",
    "-cc": "--compilation-config",
    "-dc": "--diffusion-config",
    "-dcp": "--decode-context-parallel-size",
    "-dp": "--data-parallel-size",
    "-dpa": "--data-parallel-address",
    "-dpb": "--data-parallel-backend",
    "-dpe": "--data-parallel-external-lb",
    "-dph": "--data-parallel-hybrid-lb",
    "-dpl": "--data-parallel-size-local",
    "-dpm": "--data-parallel-multi-port-external-lb",
    "-dpn": "--data-parallel-rank",
    "-dpp": "--data-parallel-rpc-port",
    "-dpr": "--data-parallel-start-rank",
    "-ep": "--enable-expert-parallel",
    "-n": "--nnodes",
    "-pcp": "--prefill-context-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-q": "--quantization",
    "-r": "--node-rank",
    "-sc": "--speculative-config",
    "-tp": "--tensor-parallel-size",
}
# vLLM parses the values of these options as JSON, and exits when it cannot. A single key is set by --option.key=value.
# https://github.com/vllm-project/vllm/blob/main/vllm/engine/arg_utils.py
# https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/cli_args.py
JSON_OPTIONS: Final = frozenset(
    {
        *("--additional-config", "--allowed-headers", "--allowed-methods", "--allowed-origins", "--attention-config"),
        *("--aux-output-config", "--compilation-config", "--custom-histogram-buckets"),
        *("--default-chat-template-kwargs", "--default-mm-loras", "--diffusion-config", "--ec-manager-config"),
        *("--ec-transfer-config", "--engram-config", "--eplb-config", "--fault-tolerance-config", "--hf-overrides"),
        *("--ir-op-priority", "--kernel-config", "--kv-events-config", "--kv-transfer-config", "--limit-mm-per-prompt"),
        *("--logging-config", "--media-io-kwargs", "--mm-processor-kwargs", "--model-class-overrides"),
        *("--model-loader-extra-config", "--override-generation-config", "--pooler-config", "--profiler-config"),
        *("--quantization-config", "--reasoning-config", "--speculative-config", "--structured-outputs-config"),
        *("--watermark-config", "--weight-transfer-config"),
    }
)


@dataclass(frozen=True, kw_only=True)
class ServeOption:
    """One option with its values."""

    position: int
    """The place of the option in the list of words."""
    given: str
    """The option as it is written, without a value in the same word."""
    name: str
    """The full name with dashes, without ``--no-`` and without a key. An abbreviation stays one."""
    key: str
    """What follows the first dot: ``model`` in ``--speculative-config.model``; empty without a dot."""
    negated: bool
    """Whether it is written as ``--no-<name>``."""
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


def is_json(value: str) -> bool:
    """Return whether vLLM can parse a JSON option's value. An empty one and None leave the option unset."""
    if value in ("", "None"):
        return True
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def _option(position: int, word: str, following: Sequence[str]) -> ServeOption:
    found = re.match(r"([^=\s]*)(=|\s+)?(.*)", word, re.DOTALL)
    given, separator, rest = found.groups() if found else (word, None, "")
    plain, _, key = given.partition(".")
    plain = plain.replace("_", "-") if plain.startswith("--") else plain
    negated = plain.startswith("--no-")
    name = "--" + plain.removeprefix("--no-") if negated else SHORT_NAMES.get(plain, plain)
    inline = separator is not None
    return ServeOption(
        position=position,
        given=given,
        name=name,
        key=key,
        negated=negated,
        joined=inline and separator != "=",
        inline=inline,
        values=(*((rest,) if inline else ()), *following),
    )
