"""Whether a model fits the GPUs of a replica: its weights and the KV cache of its longest request.

vLLM makes the same calculation when it starts, and exits when the longest request would not fit. It also counts its
activations, whose size is unknown here. So a model that does not fit here does not fit in vLLM either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from components.domain.nodes.gpu_instances import INSTANCE_TYPES, GpuInstance
from components.domain.vllm.serve_options import last_value, serve_options
from components.domain.vllm.vllm_options import whole_number

# vLLM's default. https://github.com/vllm-project/vllm/blob/main/vllm/config/cache.py
DEFAULT_UTILIZATION: Final = 0.92

# With these options, the GPUs do not contain what the release declares, or vLLM may use another share of them.
_INCALCULABLE_WITH: Final = ("--cpu-offload-gb", "--kv-cache-memory-bytes")
_KIB_PER_GIB: Final = 1024**2
_TENSOR_PARALLEL_SIZES: Final = (1, 2, 4, 8)


class DeclaredModel(Protocol):
    """What a release declares about its model."""

    @property
    def model(self) -> str:
        """The repository's id."""
        ...

    @property
    def weights_gib(self) -> float | None:
        """Size of the weights; None when it is not declared."""
        ...

    @property
    def kv_cache_kib_per_token(self) -> float | None:
        """Size of the KV cache for each token; None when it is not declared."""
        ...

    @property
    def engine_args(self) -> Sequence[str]:
        """Arguments for vLLM."""
        ...


@dataclass(frozen=True, kw_only=True)
class MemoryFit:
    """The GPU memory that a replica needs and has, over all its GPUs together."""

    instance: GpuInstance
    gpus: int
    utilization: float
    weights_gib: float
    kv_cache_kib_per_token: float
    """0 when unknown."""
    max_model_len: int
    """Tokens of the longest request; 0 when unknown."""

    @property
    def available_gib(self) -> float:
        """The memory that vLLM may use."""
        return self.instance.gpu_memory_mib / 1024 * self.gpus * self.utilization

    @property
    def kv_cache_gib(self) -> float:
        """The KV cache of one request of the greatest length."""
        return self.kv_cache_kib_per_token * self.max_model_len / _KIB_PER_GIB

    @property
    def needed_gib(self) -> float:
        """The least memory that a replica needs to start."""
        return self.weights_gib + self.kv_cache_gib

    @property
    def fits(self) -> bool:
        """Whether a replica can start, as far as is known."""
        return self.needed_gib <= self.available_gib

    @property
    def longest_requests(self) -> int | None:
        """The most requests of the greatest length that fit at once; None when unknown."""
        if not self.kv_cache_gib:
            return None
        return max(int((self.available_gib - self.weights_gib) / self.kv_cache_gib), 0)

    @property
    def longest_model_len(self) -> int:
        """The greatest length that a request could have, in tokens; 0 when none fits or it is unknown."""
        if not self.kv_cache_kib_per_token:
            return 0
        return max(int((self.available_gib - self.weights_gib) * _KIB_PER_GIB / self.kv_cache_kib_per_token), 0)


def memory_fit(release: DeclaredModel, instance: GpuInstance, gpus: int) -> MemoryFit | None:
    """Return how a release fits so many GPUs; None when too little is known."""
    options = serve_options(release.engine_args)
    utilization = float(last_value(options, "--gpu-memory-utilization") or DEFAULT_UTILIZATION)
    incalculable = any(last_value(options, name) is not None for name in _INCALCULABLE_WITH)
    if release.weights_gib is None or incalculable:
        return None
    max_model_len = whole_number(last_value(options, "--max-model-len") or "")
    return MemoryFit(
        instance=instance,
        gpus=gpus,
        utilization=utilization,
        weights_gib=release.weights_gib,
        kv_cache_kib_per_token=release.kv_cache_kib_per_token or 0,
        max_model_len=max(max_model_len or 0, 0),
    )


def memory_warning(release: DeclaredModel, instance: GpuInstance, gpus: int) -> str | None:
    """Return a warning about missing GPU memory, with the fix; None when the release fits or too little is known."""
    fit = memory_fit(release, instance, gpus)
    if fit is None or fit.fits:
        return None
    needs = f"weights {fit.weights_gib:.1f} GiB"
    if fit.kv_cache_gib:
        needs += f" and the KV cache of one request of {fit.max_model_len} tokens {fit.kv_cache_gib:.1f} GiB"
    return (
        f"{release.model} needs {fit.needed_gib:.1f} GiB of GPU memory ({needs}, activations not counted), "
        f"but a replica has {fit.available_gib:.1f} GiB ({gpus} × {instance.gpu_memory_mib / 1024:.1f} GiB of "
        f"{instance.name} × {fit.utilization:g}): {fit.needed_gib - fit.available_gib:.1f} GiB too little. {_fix(fit)}"
    )


def _fix(fit: MemoryFit) -> str:
    ways = [way for way in (_larger_replica(fit), _shorter_requests(fit)) if way]
    return f"Set {', or '.join(ways)}." if ways else "No known type fits it."


def _larger_replica(fit: MemoryFit) -> str | None:
    """Return the smallest change that makes room: more GPUs of the node, another node, or another GPU model."""
    choices = [
        replace(fit, instance=instance, gpus=gpus)
        for instance in INSTANCE_TYPES.values()
        for gpus in _TENSOR_PARALLEL_SIZES
        if gpus <= instance.gpus
    ]
    changes = [
        (one.instance != fit.instance, one.instance.gpu_model != fit.instance.gpu_model, one.available_gib, position)
        for position, one in enumerate(choices)
        if one.fits
    ]
    if not changes:
        return None
    least = choices[min(changes)[-1]]
    gpus = f"gpus_per_replica to {least.gpus}"
    return gpus if least.instance == fit.instance else f"instance_type to {least.instance.name} and {gpus}"


def _shorter_requests(fit: MemoryFit) -> str | None:
    return (
        f"--max-model-len to at most {fit.longest_model_len}" if fit.max_model_len and fit.longest_model_len else None
    )
