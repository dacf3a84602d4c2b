"""The `vllm serve` arguments of a release that may change its answers: all except a few that are known not to."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

# Options with one value that do not change answers: the engine's load limits, its logs and metrics, its HTTP details.
# Options that affect numerics, weights, prompts, sampling or the answer's format are not listed. Options that should
# not change answers, but might (kernels, block sizes, prefix caching, loaders), are not listed either: an unnecessary
# new cache namespace only costs a cold cache.
NEUTRAL_OPTIONS: Final = frozenset(
    {
        *("--gpu-memory-utilization", "--kv-cache-memory-bytes", "--num-gpu-blocks-override"),
        *("--max-num-seqs", "--max-num-batched-tokens", "--max-num-queued-reqs", "--max-num-queued-tokens"),
        *("--scheduling-policy", "--api-server-count", "--stream-interval", "--sse-keep-alive-interval"),
        *("--distributed-timeout-seconds", "--cpu-distributed-timeout-seconds"),
        *("--download-dir", "--max-parallel-loading-workers"),
        *("--log-level", "--uvicorn-log-level", "--log-config-file", "--max-log-len"),
        *("--disable-access-log-for-endpoints", "--otlp-traces-endpoint", "--collect-detailed-traces"),
        *("--show-hidden-metrics-for-version", "--kv-cache-metrics-sample"),
        *("--h11-max-header-count", "--h11-max-incomplete-event-size"),
    }
)
NEUTRAL_SWITCHES: Final = frozenset(
    {
        *("--enable-log-requests", "--enable-log-outputs", "--enable-log-deltas", "--log-error-stack"),
        *("--disable-uvicorn-access-log", "--enable-logging-iteration-details", "--use-tqdm-on-load"),
        *("--kv-cache-metrics", "--cudagraph-metrics", "--enable-mfu-metrics", "--enable-server-load-tracking"),
        *("--disable-fastapi-docs",),
    }
)


def answer_arguments(engine_args: Sequence[str]) -> list[list[str]]:
    """Return the arguments that may change answers: each option with its values, in the order given.

    ``--option=value`` and ``--option value`` are equal. No other spellings are normalised.
    """
    return [words for words in _options(engine_args) if not _is_neutral(words)]


def _is_neutral(words: Sequence[str]) -> bool:
    option = words[0].replace("_", "-")
    if len(words) == 1:
        return f"--{option.removeprefix('--no-').removeprefix('--')}" in NEUTRAL_SWITCHES
    return len(words) == 2 and option in NEUTRAL_OPTIONS


def _options(engine_args: Sequence[str]) -> Iterator[list[str]]:
    words: list[str] = []
    for argument in engine_args:
        # A negative number is a value, although it begins with a dash.
        if not argument.startswith("-") or re.match(r"-\.?[0-9]", argument):
            words.append(argument)
            continue
        if words:
            yield words
        option, equals, value = argument.partition("=")
        words = [option, value] if equals and argument.startswith("--") else [argument]
    if words:
        yield words
