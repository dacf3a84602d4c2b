"""Which `vllm serve` arguments of a release may change what it answers: all but the few that are known not to."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

# Each takes one value: how much the engine takes on at once, what it logs and shows, how it talks HTTP. Whatever
# touches numbers, weights, prompts, sampling or the answer's form is not here, and neither is what merely should not
# (kernels, block sizes, prefix caching, ways of loading): a cache that is cold once too often does no harm.
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

    ``--option=value`` and ``--option value`` are the same; nothing else is taken for the same.
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
        # A number below zero is a value, whatever it begins with.
        if not argument.startswith("-") or re.match(r"-\.?[0-9]", argument):
            words.append(argument)
            continue
        if words:
            yield words
        option, equals, value = argument.partition("=")
        words = [option, value] if equals and argument.startswith("--") else [argument]
    if words:
        yield words
