"""The `vllm serve` command line."""

import json
from collections.abc import Mapping

from components.config.release.environment import DERIVED_VARIABLES
from components.config.release.release import Release
from components.domain.naming import Color
from components.domain.pods.drain_chain import drain_chain
from components.domain.pods.pod_times import pod_times
from components.resources.serve_command import serve_arguments, serve_environment
from tests.components.example import release

CHAIN = drain_chain(120, 30)


def _arguments(color: Color = "green", **changes: object) -> list[str]:
    return serve_arguments(
        Release(**release(**changes)), color=color, served_model_name="chat", gpus_per_replica=4, drain_chain=CHAIN
    )


TIMES = pod_times(
    cold_start_seconds=1800,
    node_start_seconds=600,
    probe_period_seconds=10,
    readiness_threshold_seconds=20,
    health_check_interval_seconds=10,
    drain_chain=CHAIN,
)


def _environment(**changes: object) -> Mapping[str, str]:
    return serve_environment(Release(**release(**changes)), CHAIN, TIMES)


def _value(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_the_model_comes_first_and_its_revision_is_pinned() -> None:
    arguments = _arguments()
    assert arguments[0] == "org/model"
    assert _value(arguments, "--revision") == "c0ffee0"


def test_every_answer_names_its_colour_and_release() -> None:
    arguments = _arguments("green")
    assert _value(arguments, "--fingerprint-mode") == "custom"
    assert _value(arguments, "--fingerprint-value") == f"green-{Release(**release()).release_id}"


def test_both_colours_serve_under_the_same_name() -> None:
    assert _value(_arguments("blue"), "--served-model-name") == _value(_arguments("green"), "--served-model-name")


def test_the_server_drains_as_long_as_the_longest_request() -> None:
    assert _value(_arguments(), "--shutdown-timeout") == "120"
    assert _environment()["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"] == "140"


def test_vllm_waits_for_its_engine_as_long_as_the_startup_probe_does() -> None:
    assert _environment()["VLLM_ENGINE_READY_TIMEOUT_S"] == str(TIMES.startup_seconds) == "2700"


def test_the_releases_own_variables_are_added_and_may_replace_none() -> None:
    assert _environment(env={"A": "b"}) == {**_environment(), "A": "b"}
    assert _environment().keys() <= DERIVED_VARIABLES.keys()


def test_images_share_no_folder_of_compiled_kernels() -> None:
    roots = {_environment(image=f"vllm@sha256:{digit * 64}")["VLLM_CACHE_ROOT"] for digit in "ab"}
    assert roots == {"/var/cache/compile/aaaaaaaaaaaa", "/var/cache/compile/bbbbbbbbbbbb"}
    assert _environment(model_revision="beef123") == _environment()


def test_a_bare_release_adds_nothing() -> None:
    absent = {"--chat-template", "--override-generation-config", "--enable-lora", "--lora-modules"}
    assert absent.isdisjoint(_arguments())


def test_chat_template_sampling_and_adapters_come_from_the_release() -> None:
    arguments = _arguments(
        prompts={"chat_template.jinja": "{{ messages }}", "notes.txt": "not a template"},
        sampling={"top_p": 0.8, "temperature": 0.7},
        lora_adapters={"law": "/adapters/law", "code": "/adapters/code"},
    )
    assert _value(arguments, "--chat-template") == "/etc/vllm/prompts/chat_template.jinja"
    assert json.loads(_value(arguments, "--override-generation-config")) == {"temperature": 0.7, "top_p": 0.8}
    position = arguments.index("--lora-modules")
    assert arguments[position - 1 : position + 3] == [
        "--enable-lora",
        "--lora-modules",
        "code=/adapters/code",
        "law=/adapters/law",
    ]


def test_further_arguments_come_last_so_that_adapters_do_not_swallow_them() -> None:
    arguments = _arguments(lora_adapters={"law": "/adapters/law"}, engine_args=["--max-model-len", "8192"])
    assert arguments[-2:] == ["--max-model-len", "8192"]
