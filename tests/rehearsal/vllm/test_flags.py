"""The command lines that the stand-in accepts, and their results."""

import pytest

from rehearsal.vllm.flags import LoraModule, parse


def test_the_arguments_of_our_deployment_are_understood() -> None:
    arguments = parse(
        [
            *(
                "acme/assistant-8b",
                "--revision",
                "aaaaaaa",
                "--served-model-name",
                "assistant",
                "--max-model-len",
                "8k",
            ),
            *("--tensor-parallel-size", "2", "--gpu-memory-utilization", "0.9", "--shutdown-timeout", "120"),
            *(
                "--fingerprint-mode",
                "custom",
                "--fingerprint-value",
                "blue-0123456789ab",
                "--load-format",
                "runai_streamer",
            ),
            *("--safetensors-load-strategy", "prefetch", "--disable-uvicorn-access-log", "--enable-request-id-headers"),
            *("--override-generation-config", '{"temperature": 0.2}', "--host", "127.0.0.1", "--port", "8000"),
        ]
    )
    assert (arguments.model, arguments.revision) == ("acme/assistant-8b", "aaaaaaa")
    assert arguments.served_model_names == ("assistant",)
    assert arguments.max_model_len_tokens == 8000
    assert arguments.shutdown_timeout_seconds == 120
    assert arguments.fingerprint_value == "blue-0123456789ab"
    assert not arguments.access_log


@pytest.mark.parametrize(
    "flags",
    [
        ["--disable-log-requests"],
        ["--max-model-length", "4096"],
        ["--fingerprint-mode", "colour"],
        ["--tensor-parallel-size", "two"],
        ["--override-generation-config", "{temperature"],
        ["--shutdown-timeout", "-1"],
    ],
)
def test_flags_that_vllm_refuses_exit_with_2(flags: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(["acme/tiny", *flags])
    assert stopped.value.code == 2


def test_underscores_may_stand_for_dashes_and_switches_may_be_negated() -> None:
    arguments = parse(["acme/tiny", "--max_model_len=4K", "--no-enable-prefix-caching", "-tp", "4"])
    assert arguments.max_model_len_tokens == 4096
    assert not arguments.enable_prefix_caching
    assert arguments.tensor_parallel_size == 4


def test_keys_come_from_the_flag_or_else_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "from-environment")
    assert parse(["acme/tiny"]).api_keys == {"from-environment"}
    assert parse(["acme/tiny", "--api-key", "one", "two"]).api_keys == {"one", "two"}


def test_adapters_are_read_in_both_notations() -> None:
    arguments = parse(["acme/tiny", "--lora-modules", "haiku=/a/haiku", '{"name": "limerick", "path": "/a/limerick"}'])
    assert arguments.lora_modules == (LoraModule("haiku", "/a/haiku"), LoraModule("limerick", "/a/limerick"))
