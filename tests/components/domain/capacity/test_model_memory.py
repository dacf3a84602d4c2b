"""The model's memory: a warning with all numbers exactly when weights and longest request do not fit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.release.release import Release
from components.domain.capacity.model_memory import MemoryFit, memory_fit, memory_warning
from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from tests.components.example import release, run_program

G6E = INSTANCE_TYPES["g6e.12xlarge"]  # 4 × 44.7 GiB
INSTANCES = st.sampled_from(sorted(INSTANCE_TYPES.values(), key=lambda instance: instance.name))


def large(*engine_args: str, **changes: Any) -> Release:
    """A model of 70 billion parameters: 131.4 GiB of weights, 320 KiB a token."""
    sizes = {"weights_gib": 131.4, "kv_cache_kib_per_token": 320, **changes}
    return Release(**release(engine_args=list(engine_args), **sizes))


def fit_of(*engine_args: str, gpus: int = 4) -> MemoryFit:
    fit = memory_fit(large(*engine_args), G6E, gpus)
    assert fit is not None
    return fit


def test_a_model_that_fits_is_not_warned_of() -> None:
    assert memory_warning(large("--max-model-len=65536"), G6E, 4) is None


def test_the_warning_has_all_numbers_and_both_ways_out() -> None:
    assert memory_warning(large("--max-model-len=131072"), G6E, 4) == (
        "org/model needs 171.4 GiB of GPU memory (weights 131.4 GiB and the KV cache of one request of 131072 tokens "
        "40.0 GiB, activations not counted), but a replica has 164.5 GiB (4 × 44.7 GiB of g6e.12xlarge × 0.92): "
        "6.9 GiB too little. "
        "Set instance_type to g6e.48xlarge and gpus_per_replica to 8, or --max-model-len to at most 108486."
    )


def test_more_gpus_of_the_same_node_are_named_first() -> None:
    warning = memory_warning(large(), G6E, 2)
    assert warning is not None
    assert "(weights 131.4 GiB, activations not counted)" in warning
    assert warning.endswith(
        "82.3 GiB (2 × 44.7 GiB of g6e.12xlarge × 0.92): 49.1 GiB too little. Set gpus_per_replica to 4."
    )


def test_a_model_that_fits_no_node_gets_a_warning() -> None:
    warning = memory_warning(large(weights_gib=3000), G6E, 4)
    assert warning is not None
    assert warning.endswith("No known type fits it.")


@pytest.mark.parametrize(
    ("engine_args", "max_model_len"),
    [
        (["--max-model-len=8192"], 8192),
        (["--max-model-len", "8192"], 8192),
        (["--max_model_len=8192"], 8192),
        (["--max-model-len=8k"], 8000),
        (["--max-model-len=8K"], 8192),
        (["--max-model-len=25.6k"], 25_600),
        (["--max-model-len=1024", "-O3", "--max-model-len", "2048"], 2048),
        (["--max-model-len=auto"], 0),
        (["--max-model-len=-1"], 0),
        (["-O3"], 0),
    ],
)
def test_the_longest_request_is_read_as_vllm_reads_it(engine_args: list[str], max_model_len: int) -> None:
    assert fit_of(*engine_args).max_model_len == max_model_len


def test_vllms_share_of_the_memory_is_its_default_or_what_the_release_says() -> None:
    assert fit_of().utilization == 0.92
    assert fit_of("--gpu-memory-utilization=0.8").available_gib == pytest.approx(4 * 45776 / 1024 * 0.8)
    assert fit_of("--gpu-memory-utilization", ".95").utilization == 0.95


@pytest.mark.parametrize(
    "unknown",
    [
        large(weights_gib=None),
        large("--cpu-offload-gb=40"),
        large("--kv-cache-memory-bytes=8G"),
    ],
)
def test_what_is_not_known_is_not_warned_of(unknown: Release) -> None:
    assert memory_fit(unknown, INSTANCE_TYPES["g5.xlarge"], 1) is None
    assert memory_warning(unknown, INSTANCE_TYPES["g5.xlarge"], 1) is None


def test_the_requests_that_find_room_at_once_are_counted() -> None:
    assert fit_of("--max-model-len=16384").longest_requests == 6
    assert fit_of("--max-model-len=131072").longest_requests == 0
    assert fit_of().longest_requests is None


@given(INSTANCES, st.sampled_from([1, 2, 4, 8]), st.floats(0.1, 2000), st.floats(1, 2000), st.integers(1, 1_000_000))
def test_the_verdict_the_counts_and_the_ways_out_agree(
    instance: Any, gpus: int, weights_gib: float, kib_per_token: float, max_model_len: int
) -> None:
    given_args = f"--max-model-len={max_model_len}"
    served = large(given_args, weights_gib=weights_gib, kv_cache_kib_per_token=kib_per_token)
    fit = memory_fit(served, instance, gpus)
    assert fit is not None
    assert fit.fits == (fit.longest_requests != 0) == (fit.longest_model_len >= max_model_len)
    warning = memory_warning(served, instance, gpus)
    assert (warning is None) == fit.fits
    if fit.fits or not fit.longest_model_len:
        return
    shorter = large(
        f"--max-model-len={fit.longest_model_len}",
        weights_gib=weights_gib,
        kv_cache_kib_per_token=kib_per_token,
    )
    assert memory_warning(shorter, instance, gpus) is None


def test_the_program_warns_of_each_colour_and_declares_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    too_large = release(weights_gib=100)
    registrations = run_program(blue={"replicas": 1, "release": too_large}, green={"replicas": 1, "release": release()})
    assert ("Deployment", "llm-blue") in registrations
    (message,) = caplog.messages
    assert message.startswith("llm-blue: org/model needs 100.0 GiB of GPU memory")
