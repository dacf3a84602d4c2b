"""What a replica needs of its node's memory: its processes, what the loader reads, what is offloaded, and /dev/shm.

The processes' sizes are estimates. What a loader or an offload needs follows from the release's options.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from components.domain.vllm.serve_options import ServeOption, json_object, last_value, serve_options

# A process of Python with PyTorch, without a GPU: each API server, and with several GPUs the engine beside its workers.
SERVER_MIB: Final = 1024
# A worker with its CUDA context: 3 GiB. https://github.com/vllm-project/vllm/issues/57469
WORKER_MIB: Final = 3072
# The largest file of a model's weights. Most tools split them into files of at most 10 GB.
# https://huggingface.co/docs/transformers/v4.40.0/en/big_models
FILE_GIB: Final = 10.0
# https://github.com/run-ai/runai-model-streamer/blob/master/docs/src/env-vars.md
STREAMER_GIB: Final = 40 * 1000**3 / 1024**3
STREAMER_VARIABLE: Final = "RUNAI_STREAMER_MEMORY_LIMIT"
# They read a whole file into memory before its weights go to the GPU. Safetensors are mapped instead: what is mapped
# is in the page cache, which gives way when memory is short.
# https://github.com/vllm-project/vllm/blob/main/vllm/model_executor/model_loader/weight_utils.py
_WHOLE_FILES: Final = frozenset({"pt", "npcache"})
# Where vLLM's streamer loads models from.
# https://github.com/vllm-project/vllm/blob/main/vllm/transformers_utils/runai_utils.py
OBJECT_STORES: Final = ("s3://", "gs://", "az://")
_STREAMERS: Final = frozenset({"runai_streamer", "runai_streamer_sharded"})


class LoadedModel(Protocol):
    """What a release declares about what is loaded, and how."""

    @property
    def model(self) -> str:
        """The repository's id, a path, or s3://…"""
        ...

    @property
    def weights_gib(self) -> float | None:
        """Size of the weights; None when it is not declared."""
        ...

    @property
    def engine_args(self) -> Sequence[str]:
        """Arguments for vLLM."""
        ...

    @property
    def env(self) -> Mapping[str, str]:
        """Variables of the server's environment."""
        ...


@dataclass(frozen=True, kw_only=True)
class HostMemory:
    """The memory that one replica needs of its node, in MiB, by what needs it."""

    parts: Mapping[str, int]
    """What a running replica uses for certain."""
    shared_memory_mib: int
    """The most that /dev/shm may come to hold, which counts as memory of the pod, too."""

    @property
    def least_mib(self) -> int:
        """The least memory with which a replica starts."""
        return sum(self.parts.values())

    @property
    def most_mib(self) -> int:
        """The memory that a replica may come to use."""
        return self.least_mib + self.shared_memory_mib

    def arithmetic(self, *, shared_memory: bool) -> str:
        """Return the sum with its parts, in MiB."""
        parts = {**self.parts, "/dev/shm": self.shared_memory_mib} if shared_memory else self.parts
        terms = " + ".join(f"{mib} for {what}" for what, mib in parts.items())
        return f"{terms} = {sum(parts.values())} MiB"


def host_memory(release: LoadedModel | None, *, gpus: int, gpu_memory_mib: int, shared_memory_gib: int) -> HostMemory:
    """Return what a replica needs.

    Args:
        release: what it serves; None for a colour that has none yet.
        gpus: GPUs of the replica; each has a worker.
        gpu_memory_mib: memory of each GPU. Weights of undeclared size are assumed to fill them.
        shared_memory_gib: size of /dev/shm.
    """
    options = serve_options(release.engine_args) if release is not None else []
    servers = max(int(_number(options, "--api-server-count") or 1), 1)
    parts = {
        _counted(servers, "API server"): servers * SERVER_MIB,
        **({"the engine": SERVER_MIB} if gpus > 1 else {}),
        _counted(gpus, "GPU worker"): gpus * WORKER_MIB,
    }
    if release is not None:
        weights_gib = release.weights_gib or gpus * gpu_memory_mib / 1024
        for what, gib in (
            *_loader(release, options, gpus, weights_gib),
            ("--cpu-offload-gb on each GPU", gpus * _number(options, "--cpu-offload-gb")),
            ("--kv-offloading-size", _number(options, "--kv-offloading-size")),
            # Each API server has one, and so has the engine.
            ("--mm-processor-cache-gb in each server", (servers + 1) * _number(options, "--mm-processor-cache-gb")),
        ):
            if gib > 0:
                parts[what] = math.ceil(gib * 1024)
    return HostMemory(parts=parts, shared_memory_mib=shared_memory_gib * 1024)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _loader(
    release: LoadedModel, options: Sequence[ServeOption], gpus: int, weights_gib: float
) -> list[tuple[str, float]]:
    """Return what the loader holds while it loads, in GiB: each worker reads by itself."""
    given = (last_value(options, "--load-format") or "auto").casefold()
    # https://github.com/vllm-project/vllm/blob/main/vllm/config/vllm.py
    form = "runai_streamer" if given == "auto" and release.model.startswith(OBJECT_STORES) else given
    if form in _STREAMERS:
        return [
            (f"--load-format={form}, a buffer on each GPU", gpus * _buffer_gib(release, options, gpus, weights_gib))
        ]
    eager = last_value(options, "--safetensors-load-strategy") == "eager"
    if form in _WHOLE_FILES or (eager and form in ("auto", "safetensors", "mistral")):
        what = f"--load-format={form}" if form in _WHOLE_FILES else "--safetensors-load-strategy=eager"
        return [(f"{what}, a file on each GPU", gpus * min(FILE_GIB, weights_gib))]
    return []


def _buffer_gib(release: LoadedModel, options: Sequence[ServeOption], gpus: int, weights_gib: float) -> float:
    """Return the size of one worker's buffer: all that it reads, unless there is a limit."""
    extra: Mapping[str, Any] = json_object(options, "--model-loader-extra-config")
    distributed = str(extra.get("distributed", False)).casefold() == "true"
    limit_gib = math.inf if distributed else STREAMER_GIB
    given = str(extra.get("memory_limit", release.env.get(STREAMER_VARIABLE, "")))
    if re.fullmatch(r"-?[0-9]{1,18}", given):
        limit_gib = int(given) / 1024**3 if int(given) >= 0 else math.inf
    # Distributed, each worker reads its share, and gets the rest from the others.
    return min(limit_gib, weights_gib / gpus if distributed else weights_gib)


def _number(options: Sequence[ServeOption], name: str) -> float:
    """Return an option's number; 0 when it is not set, or is no number."""
    try:
        value = float(last_value(options, name) or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
