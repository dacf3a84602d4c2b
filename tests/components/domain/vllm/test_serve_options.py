"""The options of a command line are read as vLLM's parser reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.vllm.serve_options import json_object, last_value, leading_words, serve_options


@pytest.mark.parametrize(
    ("words", "name", "values"),
    [
        (["--max-model-len=8192"], "--max-model-len", ("8192",)),
        (["--max_model_len", "8192"], "--max-model-len", ("8192",)),
        (["-tp", "2"], "--tensor-parallel-size", ("2",)),
        (["-tp=2"], "--tensor-parallel-size", ("2",)),
        (["--seed", "-1"], "--seed", ("-1",)),
        (["--seed", "-.5"], "--seed", ("-.5",)),
        (["--lora-modules", "a=/a", "b=/b"], "--lora-modules", ("a=/a", "b=/b")),
        (["--enable-lora"], "--enable-lora", ()),
        (["--hf-overrides={}"], "--hf-overrides", ("{}",)),
        (["--x=a b=c"], "--x", ("a b=c",)),
        (["--x="], "--x", ("",)),
        (["-O3"], "--optimization-level", ("3",)),
        (["-O=3"], "--optimization-level", ("3",)),
        (["-O", "3"], "--optimization-level", ("3",)),
        (["-qfp8"], "--quantization", ("fp8",)),
    ],
)
def test_an_option_has_its_name_and_values(words: list[str], name: str, values: tuple[str, ...]) -> None:
    (option,) = serve_options(words)
    assert (option.name, option.values, option.joined) == (name, values, False)


def test_a_switch_may_be_negated_and_a_key_may_be_set() -> None:
    switch, key, short = serve_options(["--no-enable_lora", "--speculative_config.model=x", "-cc.mode=3"])
    assert (switch.name, switch.negated, switch.given) == ("--enable-lora", True, "--no-enable_lora")
    assert (key.name, key.key, key.value) == ("--speculative-config", "model", "x")
    assert (short.name, short.key, short.value) == ("--compilation-config", "mode", "3")


@pytest.mark.parametrize("space", [" ", "  ", "\t"])
def test_an_option_and_its_value_in_one_word_are_joined(space: str) -> None:
    (option,) = serve_options([f"--tensor-parallel-size{space}2"])
    assert option.joined
    assert (option.name, option.given, option.values) == ("--tensor-parallel-size",) * 2 + (("2",),)
    assert last_value([option], "--tensor-parallel-size") is None


def test_words_before_the_first_option_are_the_program_and_the_model() -> None:
    words = ["vllm", "serve", "org/model", "--seed", "1"]
    assert leading_words(words) == ["vllm", "serve", "org/model"]
    assert [one.position for one in serve_options(words)] == [3]


def test_the_last_value_counts() -> None:
    options = serve_options(["--seed=1", "--seed", "2", "--seed.part=3", "--no-seed"])
    assert last_value(options, "--seed") == "2"
    assert last_value(options, "--dtype") is None
    assert last_value(serve_options(["--seed"]), "--seed") == ""


def test_keys_that_are_set_one_by_one_are_part_of_the_object() -> None:
    options = serve_options(['--speculative-config={"model": "a", "method": "x"}', "--speculative-config.model=b"])
    assert json_object(options, "--speculative-config") == {"model": "b", "method": "x"}
    assert json_object(serve_options(["--speculative-config=[1]"]), "--speculative-config") == {}
    assert json_object(serve_options(["--speculative-config={"]), "--speculative-config") == {}


words = st.lists(st.text("-=abc12 ._", max_size=8), max_size=8)


@given(words)
def test_every_word_is_somewhere_and_in_its_place(given_words: list[str]) -> None:
    options = serve_options(given_words)
    leading = leading_words(given_words)
    assert len(leading) + sum(1 + len(one.values) - one.inline for one in options) == len(given_words)
    for option in options:
        for index, value in enumerate(option.values):
            if index or not option.inline:
                assert given_words[option.value_position(index)] == value
        assert given_words[option.position].startswith(option.given)
