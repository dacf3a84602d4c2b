"""The arguments of `vllm serve`: all flags of the newest known version, and the few that this server acts on.

Like vLLM, this parser refuses any other flag (a typo, a removed flag), and a value of another kind, with exit status 2,
so a rehearsal fails where a real pod would crash-loop.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from components.domain.vllm.vllm_options import OPTIONS, OptionKind, VllmOption, whole_number

_LORA = "--lora-modules"


@dataclass(frozen=True, slots=True)
class LoraModule:
    """An adapter that is served under its own name."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class ServeArguments:
    """The arguments that this server acts on. All others are checked, then ignored."""

    model: str
    revision: str | None
    served_model_names: tuple[str, ...]
    host: str
    port: int
    api_keys: frozenset[str]
    max_model_len_tokens: int | None
    max_num_seqs: int | None
    stream_interval: int | None
    tensor_parallel_size: int
    gpu_memory_utilization: float
    enable_prefix_caching: bool
    shutdown_timeout_seconds: int
    fingerprint_mode: str
    fingerprint_value: str | None
    access_log: bool
    access_log_excluded: frozenset[str]
    request_id_headers: bool
    per_request_metrics: bool
    prompt_tokens_details: bool
    force_include_usage: bool
    server_load_tracking: bool
    lora_modules: tuple[LoraModule, ...]
    chat_template: str | None


def _lora_module(text: str) -> LoraModule:
    if "=" in text and "," not in text:
        name, _, path = text.partition("=")
        return LoraModule(name, path)
    entry: dict[str, str] = json.loads(text)
    return LoraModule(entry["name"], entry["path"])


_KINDS: dict[OptionKind, dict[str, Any]] = {
    OptionKind.FLAG: {"action": argparse.BooleanOptionalAction},
    OptionKind.SWITCH: {"action": "store_true"},
    OptionKind.LIST: {"nargs": "+"},
    OptionKind.MAYBE: {"nargs": "?", "const": True},
}


def _value(option: VllmOption) -> Callable[[str], Any]:
    """Return what reads a value of an option, and refuses one that vLLM refuses."""

    def read(text: str) -> Any:
        if not option.takes(text):
            raise argparse.ArgumentTypeError(f"{text!r} is not {option.expected}")
        if option.unsettable and text in ("", "None"):
            return None
        match option.kind:
            case OptionKind.INTEGER | OptionKind.SIZE | OptionKind.LENGTH:
                return -1 if text == "auto" else whole_number(text)
            case OptionKind.NUMBER:
                return float(text)
            case _:
                return text

    return read


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"usage: vllm serve [model_tag] [options]\nvllm serve: error: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `vllm serve` with all flags of the table."""
    # The table has --help, too.
    parser = _Parser(prog="vllm serve", allow_abbrev=False, add_help=False)
    parser.add_argument("model_tag", nargs="?")
    for option in OPTIONS.values():
        if option.until is None:
            how = _KINDS.get(option.kind, {})
            reads: dict[str, Any] = (
                {} if "action" in how else {"type": _lora_module if option.name == _LORA else _value(option)}
            )
            parser.add_argument(option.name, *option.short, **how, **reads)
    parser.set_defaults(
        port=8000, shutdown_timeout=0, tensor_parallel_size=1, gpu_memory_utilization=0.92, fingerprint_mode="full"
    )
    return parser


def _dashed(argument: str) -> str:
    """Replace underscores: vLLM accepts --max_model_len for --max-model-len."""
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value if flag.startswith("--") else argument


def parse(arguments: Sequence[str]) -> ServeArguments:
    """Read the command line of `vllm serve` and the keys in `VLLM_API_KEY`. Exits with 2 on errors, like argparse."""
    parser = build_parser()
    options = parser.parse_args([_dashed(argument) for argument in arguments])
    model: str | None = options.model_tag or options.model
    if model is None:
        parser.error("a model is required")
    keys: list[str] = options.api_key or [key for key in [os.environ.get("VLLM_API_KEY")] if key]
    max_model_len: int | None = options.max_model_len
    return ServeArguments(
        model=model,
        revision=options.revision,
        served_model_names=tuple(options.served_model_name or [model]),
        host=options.host or "0.0.0.0",  # vLLM's own default
        port=options.port,
        api_keys=frozenset(keys),
        max_model_len_tokens=None if max_model_len in (None, -1) else max_model_len,
        max_num_seqs=options.max_num_seqs,
        stream_interval=options.stream_interval,
        tensor_parallel_size=options.tensor_parallel_size,
        gpu_memory_utilization=options.gpu_memory_utilization,
        enable_prefix_caching=options.enable_prefix_caching is not False,
        shutdown_timeout_seconds=options.shutdown_timeout,
        fingerprint_mode=options.fingerprint_mode,
        fingerprint_value=options.fingerprint_value,
        access_log=not options.disable_uvicorn_access_log,
        access_log_excluded=frozenset((options.disable_access_log_for_endpoints or "").split(",")),
        request_id_headers=bool(options.enable_request_id_headers),
        per_request_metrics=bool(options.enable_per_request_metrics),
        prompt_tokens_details=bool(options.enable_prompt_tokens_details),
        force_include_usage=bool(options.enable_force_include_usage),
        server_load_tracking=bool(options.enable_server_load_tracking),
        lora_modules=tuple(options.lora_modules or ()),
        chat_template=options.chat_template,
    )
