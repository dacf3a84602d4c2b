"""Arguments that vLLM cannot read, or that break a rollout, are refused by position, with the fix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.reading.violations import Violation
from components.config.release.engine_args import (
    DERIVED_ENGINE_ARGS,
    HARMFUL_ENGINE_ARGS,
    engine_args_violations,
    unknown_options_warning,
)
from components.config.release.removed_args import REMOVED_ENGINE_ARGS
from components.domain.vllm.vllm_options import KEYED, OPTIONS, VALUELESS, OptionKind
from tests.components.domain.vllm.test_vllm_options import good_values
from tests.components.example import release, run_program

JSON_OPTIONS = {name for name, option in OPTIONS.items() if option.kind in KEYED}
REFUSED = sorted(DERIVED_ENGINE_ARGS | HARMFUL_ENGINE_ARGS.keys())


def only(engine_args: list[str]) -> Violation:
    (violation,) = engine_args_violations(engine_args)
    return violation


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("space", [" ", "  ", "\u00a0"])
def test_a_refused_option_and_its_value_in_one_element_are_refused_without_the_value(name: str, space: str) -> None:
    violations = list(engine_args_violations(["--seed=1", f"{name}{space}precious"]))
    assert {one.path for one in violations} == {(1,)}
    assert name in violations[-1].line()
    assert not any("precious" in one.line() for one in violations)


def test_an_option_and_its_value_in_one_element_are_refused() -> None:
    violation = only(["--seed=1", "--max-model-len 8192"])
    assert violation.path == (1,)
    assert violation.fix == "Write --max-model-len=8192, or make 8192 the next element."
    assert '(got "--max-model-len 8192")' in violation.line()


def test_what_follows_an_option_that_vllm_does_not_have_is_not_shown() -> None:
    violation = only(["--seed=1", "--api-kye precious"])
    assert violation.fix == "Write --api-kye=<value>, or make the value the next element."
    assert "precious" not in violation.line()


@pytest.mark.parametrize(
    "engine_args",
    [
        ["--dtype=half --enforce-eager"],
        ["--dtype", "half --enforce-eager"],
        ["--dtype=half  -O3"],
        ["--allowed-media-domains", "a", "b --api-key=precious"],
    ],
)
def test_a_second_option_in_a_value_is_refused(engine_args: list[str]) -> None:
    violation = only(engine_args)
    assert violation.path == (len(engine_args) - 1,)
    assert "second option" in violation.what
    assert "precious" not in violation.line()


@pytest.mark.parametrize("argument", [" --api-key=x", "--dtype=half ", " half"])
def test_an_element_has_no_space_around_it(argument: str) -> None:
    violation = next(engine_args_violations(["--seed", argument]))
    assert violation.path == (1,)
    assert violation.what == "must not begin or end with a space"


def test_a_stray_first_element_does_not_show_what_follows_its_first_word() -> None:
    for stray in ("api-key precious", "api-key=precious"):
        assert "precious" not in only([stray]).line()
        assert "api-key" in only([stray]).line()


@pytest.mark.parametrize("name", sorted(JSON_OPTIONS - DERIVED_ENGINE_ARGS))
@pytest.mark.parametrize("value", ["'{\"a\": 1}'", "{a: 1}", "{'a': 1}", "a", "1", '"a"', "null"])
def test_what_is_no_json_of_its_type_is_refused_at_the_value(name: str, value: str) -> None:
    assert only([f"{name}={value}"]).path == (0,)
    violation = only([name, value])
    assert violation.path == (1,)
    assert violation.what.startswith(f"{name} needs a JSON ")
    assert violation.value == value


def test_an_object_is_no_list_and_a_list_is_no_object() -> None:
    assert only(['--speculative-config=["ngram"]']).what.endswith('needs a JSON object, e.g. {"key": "value"}')
    assert only(["--allowed-origins=*"]).what.endswith('needs a JSON list, e.g. ["a", "b"]')
    assert list(engine_args_violations(['--allowed-origins=["*"]'])) == []


@pytest.mark.parametrize("name", sorted(JSON_OPTIONS - DERIVED_ENGINE_ARGS))
def test_json_and_single_keys_are_accepted(name: str) -> None:
    unset = [f"{name}=", f"{name}=None"] if OPTIONS[name].unsettable else []
    whole = ['["x -y"]', "[]"] if OPTIONS[name].array else ['{"a b": "x -y"}', "{}"]
    accepted = [f"{name}={whole[0]}", f"{name}.key=text", *unset]
    assert list(engine_args_violations([*accepted, name, whole[1]])) == []


@pytest.mark.parametrize(
    "option",
    ["-pp", "-dp", "-pcp", "-dpl", "-dpn", "-n", "-r", "--headless", "--prefill_context_parallel_size", "--nno"],
)
def test_what_makes_a_replica_larger_is_refused(option: str) -> None:
    for violation in (only([option, "2"]), only([f"{option}=2"])):
        assert "a replica" in violation.what
        assert violation.fix == "Remove it."


def test_every_option_for_several_nodes_is_refused() -> None:
    spread = [name for name in OPTIONS if name.startswith(("--data-parallel", "--nnodes", "--node-", "--master-"))]
    assert len(spread) > 12
    assert set(spread) <= HARMFUL_ENGINE_ARGS.keys()


@pytest.mark.parametrize("argument", ["--runner=pooling", "--runner=draft", "--convert=embed", "--conv=reward"])
def test_a_model_that_generates_no_text_is_refused(argument: str) -> None:
    violation = only([argument])
    assert "do not generate text" in violation.what
    assert "auto" in violation.fix


@pytest.mark.parametrize("argument", ["--runner=generate", "--runner=auto", "--convert=none", "-dcp=2"])
def test_the_same_options_with_other_values_are_accepted(argument: str) -> None:
    assert list(engine_args_violations([argument])) == []


NAMED = sorted(OPTIONS.keys() - set(REFUSED) - {"--runner", "--convert"})


NEEDED = {"--enable-auto-tool-choice": "--tool-call-parser=hermes", "--enable-log-outputs": "--enable-log-requests"}


def words_of(name: str) -> list[str]:
    """An option as vLLM accepts it."""
    option = OPTIONS[name]
    if name in NEEDED:
        return [name, NEEDED[name]]
    return [name] if option.kind in VALUELESS else [f"{name}={good_values(option)[0]}"]


def test_no_option_of_vllms_is_taken_for_an_abbreviation_of_a_refused_one() -> None:
    assert [name for name in NAMED if list(engine_args_violations(words_of(name)))] == []


@pytest.mark.parametrize(
    ("words", "what", "fix"),
    [
        (["--max-modl-len=8192"], "--max-modl-len is no option of vLLM 0.21 to 0.33", "Did you mean --max-model-len?"),
        (["--max_modl_len", "8192"], "--max_modl_len is no option", "Did you mean --max-model-len?"),
        (["--gpu-memory-utilisation=0.9"], "is no option", "Did you mean --gpu-memory-utilization?"),
        (["--Enforce-Eager"], "is no option", "Did you mean --enforce-eager?"),
        (["--max-num-seqs=-1"], "--max-num-seqs needs a whole number of at least 1", ""),
        (["--max-num-seqs", "0"], "--max-num-seqs needs a whole number of at least 1", ""),
        (["--max-num-seqs=many"], "--max-num-seqs needs a whole number", ""),
        (["--max-num-seqs"], "--max-num-seqs needs a value", "Write --max-num-seqs=<value>: a whole number"),
        (["--max-num-seqs", "8", "16"], "--max-num-seqs takes one value", "Remove it."),
        (["--max-num-seqs.part=8"], "--max-num-seqs.part is no key of an option in JSON", "Remove the key."),
        (["--no-max-num-seqs"], "--max-num-seqs has no form with --no-", "Write --max-num-seqs with its value"),
        (["--gpu-memory-utilization=1.5"], "--gpu-memory-utilization needs a number above 0 and at most 1", ""),
        (["--gpu-memory-utilization=90%"], "--gpu-memory-utilization needs a number", ""),
        (["--max-model-len=1.5K"], "--max-model-len needs a whole number of at least 1, such as 8192", ""),
        (["--max-model-len=8,192"], "--max-model-len needs a whole number of at least 1, such as 8192", ""),
        (["--enforce-eager=true"], "--enforce-eager takes no value", "--no-enforce-eager to turn it off."),
        (["--enable-prefix-caching", "false"], "takes no value", "Write --enable-prefix-caching alone"),
        (["--tokenizer-mode"], "--tokenizer-mode needs a value", "Write --tokenizer-mode=<value>: a text."),
        (["--uvicorn-log-level=warn"], "--uvicorn-log-level needs one of ", "Did you mean warning?"),
        (["--cpu-offload-gb=16GiB"], "--cpu-offload-gb needs a number of at least 0", "Write 16: 16GiB in GiB."),
        (["--kv-offloading-size", "512MiB"], "--kv-offloading-size needs a number", "Write 0.5: 512MiB in GiB."),
        (["--mm-processor-cache-gb=4Gi"], "--mm-processor-cache-gb needs a number", "Write 4: 4Gi in GiB."),
        (["--dtype=bfloat-16"], "--dtype needs one of ", "Did you mean bfloat16?"),
        (["--dtype=fp16"], "--dtype needs one of auto, bfloat16, ", "If that choice is of a newer vLLM"),
        (["--max-lora-rank=24"], "--max-lora-rank needs one of 1, 8, 16, ", ""),
        (["--kv-cache-dtype=fp4"], "--kv-cache-dtype needs one of auto, ", ""),
        (["--kv-cache-dtype", "int8"], "--kv-cache-dtype needs one of auto, ", ""),
        (["--quantization=awq-marlin"], "--quantization needs one of ", "Did you mean awq_marlin?"),
        (["-q", "AWQ"], "-q needs one of ", "Did you mean awq?"),
        (["--max-num=8"], "--max-num is the beginning of several options", "Write the whole name."),
        (['--limit-mm-per-prompt={"image": 2k}'], "--limit-mm-per-prompt needs a JSON object", ""),
        (["--max-model-len='8192'"], "--max-model-len needs a whole number", "Write --max-model-len=8192: vLLM would"),
        (["--dtype", '"half"'], "--dtype needs one of ", "Write --dtype=half: vLLM would get the quotes, too."),
        (["--api-server-count=0"], "--api-server-count needs a whole number of at least 1", ""),
        (["-O9"], "-O needs one of 0, 1, 2, 3", ""),
        (["-O.mode=3"], "-O needs one of 0, 1, 2, 3", ""),
        (["-tp2"], "-tp2 is no option: only one of a single letter takes its value", "Write -tp=2."),
        (["--help"], "--help makes vLLM print its options and end", "Remove it."),
        (["-h"], "--help makes vLLM print its options and end", "Remove it."),
        (["-n2"], "--nnodes spreads a replica over several pods or nodes", "Remove it."),
        (["-qfp9"], "-q needs one of ", "Did you mean fp8?"),
        (["--"], "-- is no option of `vllm serve`", "Remove it."),
        (["--version"], "--version is no option of `vllm serve`", "Remove it."),
    ],
)
def test_what_vllm_would_refuse_is_refused_with_the_fix(words: list[str], what: str, fix: str) -> None:
    violation = only(["--seed=1", *words])
    assert what in violation.what
    assert fix in violation.fix
    assert violation.path in ((1,), (2,), (3,))


@pytest.mark.parametrize("name", REMOVED_ENGINE_ARGS)
def test_an_option_that_vllm_had_before_is_refused_with_what_took_its_place(name: str) -> None:
    for words in ([f"{name}=precious"], [name.replace("-", "_").replace("__", "--", 1), "precious"]):
        violation = only(["--seed=1", *words])
        since = REMOVED_ENGINE_ARGS[name].since
        assert violation.what.endswith(
            f"no longer exists since vLLM 0.{since[1]}: newer versions exit when they get it"
        )
        assert violation.fix == REMOVED_ENGINE_ARGS[name].fix
        assert "precious" not in violation.line()
        assert unknown_options_warning(words) is None


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["--enable-auto-tool-choice"], "--tool-call-parser"),
        (["--enable-auto-tool"], "--tool-call-parser"),
        (["--tool-call-parser=", "--enable-auto-tool-choice"], "--tool-call-parser"),
        (["--tool-call-parser=hermes", "--enable-auto-tool-choice", "--tool-call-parser=None"], "--tool-call-parser"),
        (["--enable-log-outputs"], "--enable-log-requests"),
        (["--enable-log-outputs", "--no-enable-log-requests"], "--enable-log-requests"),
    ],
)
def test_an_option_that_needs_another_one_is_refused_without_it(words: list[str], needed: str) -> None:
    violation = only(["--seed=1", *words])
    assert violation.what.endswith(f" needs {needed}, which is not set")
    assert violation.fix.startswith(f"Add {needed}")


@pytest.mark.parametrize(
    "words",
    [
        ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"],
        ["--tool-call=hermes", "--enable_auto_tool_choice"],
        ["--enable-auto-tool-choice", "--no-enable-auto-tool-choice"],
        ["--enable-log-outputs", "--enable-log-requests"],
    ],
)
def test_an_option_with_what_it_needs_is_accepted(words: list[str]) -> None:
    assert list(engine_args_violations(words)) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--max-model-len=25.6k"],
        ["--max-model-len", "8K"],
        ["--max-model-len=auto"],
        ["--max-model-len=-1"],
        ["--max-num-batched-tokens=16k"],
        ["--max-num-seqs=1_024"],
        ["--seed", "-1"],
        ['--kv-transfer-config={"kv_connector_extra_config": {"cpu_bytes_to_use": 80m}}'],
        ["--kv-transfer-config.kv_connector_extra_config.cpu_bytes_to_use", "80g"],
        ["--kv-cache-memory-bytes=10G"],
        ["--gpu-mem=0.9"],
        ["--no-enable-prefix-caching"],
        ["--allowed-media-domains", "a", "b"],
        ["--middleware=a", "--middleware=b"],
        ["-cc.mode=3"],
        ["-O3"],
        ["-O=2"],
        ["-O", "1"],
        ["-qfp8"],
    ],
)
def test_what_vllm_accepts_is_accepted(words: list[str]) -> None:
    assert list(engine_args_violations(words)) == []
    assert unknown_options_warning(words) is None


@pytest.mark.parametrize("words", [["--quantum-decoding=on"], ["--brand-new", "1", "2"], ["-zz"]])
def test_an_option_like_none_is_a_warning(words: list[str]) -> None:
    assert list(engine_args_violations(words)) == []
    warning = unknown_options_warning(["--seed=1", *words])
    assert warning is not None
    assert f"vLLM 0.21 to 0.33 do not have {words[0].partition('=')[0]}: " in warning


@pytest.mark.parametrize(
    ("name", "value"), [("--kv-offloading-backend", "quux"), ("--quantization", "int4")], ids=["newer", "plug-in"]
)
def test_a_choice_that_may_be_added_is_a_warning_unless_the_image_says_that_it_is_known(name: str, value: str) -> None:
    words = [f"{name}={value}"]
    assert list(engine_args_violations(words)) == list(engine_args_violations(words, (0, 34))) == []
    warning = unknown_options_warning(words)
    assert warning is not None
    assert f'do not have {name} with "{value}": unless the image is newer, or has a plug-in for it, ' in warning
    (violation,) = engine_args_violations(words, (0, 33))
    assert violation.what == f"{name} needs {OPTIONS[name].expected}"


@pytest.mark.parametrize("words", [["--dtype=fp16"], ["--kv-cache-dtype=fp8_e4m4"], ["--max-lora-rank=24"]])
def test_an_image_that_is_newer_than_the_table_may_have_any_choice(words: list[str]) -> None:
    assert len(list(engine_args_violations(words, (0, 33)))) == 1
    assert list(engine_args_violations(words, (0, 34))) == []
    assert unknown_options_warning(words) is not None


def test_the_program_warns_of_an_option_like_none(caplog: pytest.LogCaptureFixture) -> None:
    registrations = run_program(green={"replicas": 1, "release": release(engine_args=["--quantum-decoding=on"])})
    assert ("Deployment", "llm-green") in registrations
    (message,) = caplog.messages
    assert message.startswith("llm-green: vLLM 0.21 to 0.33 do not have --quantum-decoding: unless the image is newer")


def test_the_images_version_decides_what_exists() -> None:
    later = next(one for one in OPTIONS.values() if one.since > (0, 21) and one.kind is OptionKind.FLAG)
    assert list(engine_args_violations([later.name], later.since)) == []
    (violation,) = engine_args_violations([later.name], (0, 21))
    assert violation.what.startswith(f"{later.name} exists from vLLM 0.{later.since[1]} on, but the image has 0.21")
    gone = next(one for one in OPTIONS.values() if one.until is not None and one.name not in REFUSED)
    assert gone.until is not None
    assert list(engine_args_violations(words_of(gone.name), (0, gone.until[1] - 1))) == []
    (violation,) = engine_args_violations(words_of(gone.name), gone.until)
    assert violation.what.startswith(f"{gone.name} no longer exists since vLLM 0.{gone.until[1]}")


def test_the_images_version_decides_which_choices_exist() -> None:
    words = ["--seed=1", "--kv-cache-dtype", "nvfp4_4over6"]
    assert list(engine_args_violations(words)) == list(engine_args_violations(words, (0, 28))) == []
    (violation,) = engine_args_violations(words, (0, 27))
    assert violation.path == (2,)
    assert violation.what == "--kv-cache-dtype has nvfp4_4over6 from vLLM 0.28 on, but the image has 0.27"


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("--max-model-len = 8192", "Write --max-model-len=8192, or make 8192 the next element."),
        (
            "--max-model-len 8192 --gpu-memory-utilization 0.9",
            "Make each option an element of its own, the first as --max-model-len=8192.",
        ),
        ("--enforce-eager --dtype half", "Make each option an element of its own."),
    ],
)
def test_a_command_line_in_one_element_is_taken_apart(word: str, fix: str) -> None:
    assert only([word]).fix == fix


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["--disable-log-requests"], "--no-enable-log-requests"),
        (["--disable_prefix_caching"], "--no-enable-prefix-caching"),
        (["--enable-sliding-window"], "--no-disable-sliding-window"),
        (["--no-disable-prefix-caching"], "--enable-prefix-caching"),
    ],
)
def test_the_opposite_of_a_flag_is_only_for_versions_that_take_it(words: list[str], written: str) -> None:
    violation = only(words)
    assert violation.what == f"{words[0]} exists only from vLLM 0.33 on"
    assert violation.fix == f"Write {written}, which older versions have, too."
    assert list(engine_args_violations(words, (0, 32))) == [violation]
    assert list(engine_args_violations(words, (0, 33))) == []
    assert list(engine_args_violations([written], (0, 21))) == []


def test_the_opposite_of_a_derived_flag_is_derived_too() -> None:
    (violation,) = engine_args_violations(["--disable-request-id-headers"], (0, 33))
    assert "is derived by the program" in violation.what


def test_an_image_that_is_newer_than_the_table_may_have_any_option() -> None:
    assert list(engine_args_violations(["--max-modl-len=8192"], (0, 34))) == []
    assert unknown_options_warning(["--max-modl-len=8192"]) is not None
    assert only(["--max-modl-len=8192"]).fix.endswith("in the image: vllm/vllm-openai:v0.34.0@sha256:…")


def test_no_value_that_may_be_a_secret_is_shown() -> None:
    for words in (["--api-kye=precious"], ["--seed", "1", "precious"], ["--quantum", "precious"]):
        shown = [one.line() for one in engine_args_violations(words)]
        assert not any("precious" in line for line in [*shown, unknown_options_warning(words) or ""])


@given(st.lists(st.text("-=ab ._{}", max_size=8), max_size=6))
def test_each_violation_is_in_its_place(engine_args: list[str]) -> None:
    for violation in engine_args_violations(engine_args):
        (position,) = violation.path
        assert isinstance(position, int)
        assert 0 <= position < len(engine_args)
