"""The `vllm serve` arguments of a release that may change its answers: all except a few that are known not to."""

from collections.abc import Sequence
from typing import Final

from components.domain.vllm.serve_options import ServeOption, leading_words, serve_options

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
        "--max-parallel-loading-workers",
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
    leading = leading_words(engine_args)
    changing = [[one.given, *one.values] for one in serve_options(engine_args) if not _is_neutral(one)]
    return [leading, *changing] if leading else changing


def _is_neutral(option: ServeOption) -> bool:
    if option.key or option.joined:
        return False
    if not option.values:
        return option.name in NEUTRAL_SWITCHES
    return len(option.values) == 1 and not option.negated and option.name in NEUTRAL_OPTIONS
