"""The arguments of `vllm serve`: all flags with their kinds, and the few that this server acts on.

The table beside this file contains the flags of vLLM's main branch in summer 2026 and of release 0.32. Like vLLM, this
parser refuses any other flag (a typo, a removed flag) with exit status 2, so a rehearsal fails where a real pod would
crash-loop.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

FINGERPRINT_MODES = ("full", "hash", "custom", "none")

TABLE = Path(__file__).parent / "flags.txt"


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


def token_count(text: str) -> int:
    """Parse a number of tokens as vLLM does: `8192`, `8k` (thousands), `8K` (1024s), also M and G; -1 is automatic."""
    if text == "auto":
        return -1
    factors = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
    factor = factors.get(text[-1:], 1)
    return int(float(text[:-1]) * factor) if factor > 1 else int(text)


def _lora_module(text: str) -> LoraModule:
    if "=" in text and "," not in text:
        name, _, path = text.partition("=")
        return LoraModule(name, path)
    entry: dict[str, str] = json.loads(text)
    return LoraModule(entry["name"], entry["path"])


_KINDS: dict[str, dict[str, Any]] = {
    "switch": {"action": argparse.BooleanOptionalAction},
    "plain-switch": {"action": "store_true"},
    "integer": {"type": int},
    "number": {"type": float},
    "json": {"type": json.loads},
    "text": {},
    "list": {"nargs": "+"},
    "lora-list": {"nargs": "+", "type": _lora_module},
}


def _table() -> list[list[str]]:
    lines = TABLE.read_text(encoding="ascii").splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"usage: vllm serve [model_tag] [options]\nvllm serve: error: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `vllm serve` with all flags of the table."""
    parser = _Parser(prog="vllm serve", allow_abbrev=False)
    parser.add_argument("model_tag", nargs="?")
    for name, kind, *short in _table():
        parser.add_argument(f"--{name}", *short, **_KINDS[kind])
    parser.add_argument("--max-model-len", type=token_count)
    parser.add_argument("--fingerprint-mode", choices=FINGERPRINT_MODES, default="full")
    parser.set_defaults(port=8000, shutdown_timeout=0, tensor_parallel_size=1, gpu_memory_utilization=0.92)
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
    if options.shutdown_timeout < 0:
        parser.error("argument --shutdown-timeout: must be 0 (abort) or more (wait)")
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
