"""What a replica needs of its node's memory, by its release's options."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.capacity.capacity import ReplicaShape, misfits
from components.domain.nodes.gpu_instances import INSTANCE_TYPES
from components.domain.nodes.host_memory import HostMemory, host_memory


@dataclass(frozen=True)
class Model:
    engine_args: tuple[str, ...] = ()
    model: str = "org/model"
    weights_gib: float | None = 15
    env: dict[str, str] = field(default_factory=dict[str, str])


def need(model: Model | None, *, gpus: int = 1, shared_memory_gib: int = 8) -> HostMemory:
    return host_memory(model, gpus=gpus, gpu_memory_mib=80 * 1024, shared_memory_gib=shared_memory_gib)


def loaded_mib(model: Model, *, gpus: int = 1) -> int:
    """What the release needs beyond a colour without one."""
    return need(model, gpus=gpus).most_mib - need(None, gpus=gpus).most_mib


@pytest.mark.parametrize(("gpus", "least_mib"), [(1, 4096), (2, 8192), (8, 26_624)])
def test_each_gpu_has_a_worker_and_several_have_an_engine_besides(gpus: int, least_mib: int) -> None:
    assert need(Model(), gpus=gpus).least_mib == least_mib
    assert need(None, gpus=gpus).least_mib == least_mib
    assert need(Model(), gpus=gpus).most_mib == least_mib + 8192


def test_each_api_server_is_a_process() -> None:
    assert loaded_mib(Model(("--api-server-count=4",))) == 3 * 1024


@pytest.mark.parametrize(
    ("model", "gpus", "gib"),
    [
        # Mapped files are in the page cache.
        (Model(), 1, 0),
        (Model(("--load-format=safetensors", "--safetensors-load-strategy=lazy")), 1, 0),
        (Model(("--load-format=tensorizer", "--safetensors-load-strategy=eager")), 1, 0),
        (Model(("--load-format", "dummy")), 8, 0),
        # Whole files are read by each worker.
        (Model(("--safetensors-load-strategy=eager",)), 1, 10),
        (Model(("--safetensors-load-strategy=eager",), weights_gib=4), 2, 8),
        (Model(("--load-format=pt",)), 4, 40),
        (Model(("--load_format=NPCACHE",)), 1, 10),
        # Streamed weights are in a buffer, which has a limit.
        (Model(model="s3://models/llm"), 1, 15),
        (Model(("--load-format=runai_streamer",), weights_gib=140), 1, 40 * 1000**3 / 1024**3),
        (Model(("--load-format=runai_streamer",), weights_gib=20), 2, 40),
        (Model(("--load-format=runai_streamer", '--model-loader-extra-config={"memory_limit": 1073741824}')), 4, 4),
        (Model(("--load-format=runai_streamer", '--model-loader-extra-config={"memory_limit": -1}')), 2, 30),
        (Model(("--load-format=runai_streamer", '--model-loader-extra-config={"distributed": true}')), 4, 15),
        (Model(("--load-format=runai_streamer", "--model-loader-extra-config.memory_limit", "0")), 4, 0),
        (Model(("--load-format=runai_streamer",), env={"RUNAI_STREAMER_MEMORY_LIMIT": "2147483648"}), 1, 2),
        # Weights of unknown size fill the GPUs.
        (Model(model="s3://models/llm", weights_gib=None), 1, 40 * 1000**3 / 1024**3),
        # What is offloaded.
        (Model(("--cpu-offload-gb=10",)), 2, 20),
        (Model(("--kv-offloading-size", "12.5")), 4, 12.5),
        (Model(("--mm-processor-cache-gb=2", "--api-server-count=1")), 1, 4),
    ],
)
def test_the_loader_and_what_is_offloaded_need_memory(model: Model, gpus: int, gib: float) -> None:
    assert loaded_mib(model, gpus=gpus) == pytest.approx(gib * 1024, abs=1)


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "-4"])
def test_a_value_that_is_no_size_needs_nothing(value: str) -> None:
    assert loaded_mib(Model((f"--cpu-offload-gb={value}", f"--api-server-count={value}"))) == 0


def test_the_arithmetic_names_each_part() -> None:
    model = Model(("--cpu-offload-gb=10",))
    assert need(model, gpus=2).arithmetic(shared_memory=True) == (
        "1024 for 1 API server + 1024 for the engine + 6144 for 2 GPU workers + 20480 for --cpu-offload-gb on each GPU "
        "+ 8192 for /dev/shm = 36864 MiB"
    )
    assert need(None).arithmetic(shared_memory=False) == "1024 for 1 API server + 3072 for 1 GPU worker = 4096 MiB"


options = st.lists(
    st.sampled_from(["--load-format=pt", "--cpu-offload-gb=4", "--api-server-count=2", "--load-format=runai_streamer"]),
    unique=True,
)


@given(options, st.integers(1, 8), st.integers(1, 64))
def test_a_release_never_needs_less_than_none_and_a_larger_replica_never_less(
    given_options: list[str], gpus: int, shared_memory_gib: int
) -> None:
    model = Model(tuple(given_options))
    mine = need(model, gpus=gpus, shared_memory_gib=shared_memory_gib)
    assert mine.least_mib >= need(None, gpus=gpus, shared_memory_gib=shared_memory_gib).least_mib
    assert need(model, gpus=gpus + 1, shared_memory_gib=shared_memory_gib).most_mib > mine.most_mib
    assert mine.most_mib == mine.least_mib + shared_memory_gib * 1024


@pytest.mark.parametrize("name", INSTANCE_TYPES)
def test_every_type_has_room_for_what_mapped_weights_need(name: str) -> None:
    instance = INSTANCE_TYPES[name]
    for gpus in {1, instance.gpus}:
        shape = ReplicaShape(gpus=gpus, millicpus=100, memory_mib=need(Model(), gpus=gpus).most_mib)
        assert misfits(instance, shape) == {}
