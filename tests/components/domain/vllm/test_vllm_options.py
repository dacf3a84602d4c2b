"""The options of vLLM: the table is whole, and values are read as vLLM reads them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.release.engine_args import DERIVED_ENGINE_ARGS, HARMFUL_ENGINE_ARGS
from components.config.release.removed_args import REMOVED_ENGINE_ARGS
from components.domain.vllm.vllm_options import (
    KEYED,
    NEWEST,
    OPTIONS,
    SHORT_NAMES,
    VALUELESS,
    OptionKind,
    VllmOption,
    find_options,
    is_json,
    likely_meant,
    opposite_of,
    whole_number,
)
from components.domain.vllm.vllm_version import MIN_VLLM

_NUMBERS = ("1", "2", "4", "0.5", "0.25", "8", "16", "32", "128", "0", "-1", "1024", "8000", "100000")


def good_values(option: VllmOption) -> list[str]:
    """Return two values that vLLM accepts, or the only one."""
    if option.choices:
        return list(option.choices[:2])
    if option.kind in KEYED:
        return ['["a"]', '["b"]'] if option.array else ['{"a": 1}', '{"b": 2}']
    if option.kind in (OptionKind.INTEGER, OptionKind.SIZE, OptionKind.LENGTH, OptionKind.NUMBER):
        return [number for number in _NUMBERS if option.takes(number)][:2]
    return ["x", "y"]


def test_the_table_has_every_option_once_and_in_order() -> None:
    assert list(OPTIONS) == sorted(OPTIONS)
    assert len(OPTIONS) > 300
    assert {option.kind for option in OPTIONS.values()} == set(OptionKind)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_row_is_sound(name: str) -> None:
    option = OPTIONS[name]
    assert re.fullmatch(r"--[a-z0-9]+(-[a-z0-9]+)*", name)
    assert MIN_VLLM <= option.since <= NEWEST
    assert option.until is None or option.since < option.until <= NEWEST
    assert all(re.fullmatch(r"-[a-zA-Z]+", short) for short in option.short)
    assert bool(option.choices) == (option.kind is OptionKind.CHOICE)
    assert option.later.keys() <= {*option.choices}
    assert all(option.since < since <= NEWEST for since in option.later.values())
    if option.kind not in VALUELESS:
        assert all(option.takes(value) for value in good_values(option))
        assert good_values(option)
        assert option.takes("None") is (
            option.unsettable or option.kind in (OptionKind.TEXT, OptionKind.LIST, OptionKind.MAYBE)
        )


def test_short_names_are_different() -> None:
    assert len(SHORT_NAMES) == sum(len(option.short) for option in OPTIONS.values())
    assert SHORT_NAMES["-tp"] == "--tensor-parallel-size"


def test_the_program_derives_only_options_that_every_version_has() -> None:
    assert all(OPTIONS[name].since == MIN_VLLM and OPTIONS[name].until is None for name in DERIVED_ENGINE_ARGS)
    assert HARMFUL_ENGINE_ARGS.keys() <= OPTIONS.keys()
    assert not REMOVED_ENGINE_ARGS.keys() & OPTIONS.keys()


def test_what_takes_the_place_of_a_removed_option_exists() -> None:
    written = [name for one in REMOVED_ENGINE_ARGS.values() for name in re.findall(r"--[a-z-]*[a-z]", one.fix)]
    assert len(written) > 10
    assert {*written} <= OPTIONS.keys()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("8192", 8192), ("25.6k", 25_600), ("8K", 8192), ("1M", 1024**2), ("1m", 10**6), ("2G", 2 * 1024**3)),
        *(("3t", 3 * 10**12), (" 7 ", 7), ("1_000", 1000), ("-1", -1), ("+5", 5)),
        *(("1.5K", None), ("1.5", None), ("k", None), ("", None), ("8k8", None), ("0x10", None), ("auto", None)),
    ],
)
def test_a_whole_number_may_have_a_suffix(text: str, number: int | None) -> None:
    assert whole_number(text) == number


@given(st.integers(-(10**18), 10**18))
def test_every_whole_number_is_itself(number: int) -> None:
    assert whole_number(str(number)) == number


@pytest.mark.parametrize("text", ['{"a": 80m}', '{"a": [1k, 2.5G], "b": "3x"}', "4K"])
def test_numbers_in_json_may_have_a_suffix_where_vllm_expands_it(text: str) -> None:
    assert is_json(text, suffixes=True)
    assert not is_json(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=8))
def test_what_is_json_is_json_with_suffixes_too(value: object) -> None:
    assert is_json(json.dumps(value))
    assert is_json(json.dumps(value), suffixes=True)


@pytest.mark.parametrize("text", ['\'{"method":"mtp"}\'', "{method: mtp}", "{'a': 1}", "{", "", "[" * 100_000])
def test_anything_else_is_no_json(text: str) -> None:
    assert not is_json(text)
    assert not is_json(text, suffixes=True)


@pytest.mark.parametrize(
    ("value", "taken"), [("0", False), ("0.0001", True), ("1", True), ("1.01", False), ("nan", False)]
)
def test_a_range_has_its_ends(value: str, taken: bool) -> None:
    assert OPTIONS["--gpu-memory-utilization"].takes(value) is taken


def test_a_flag_has_an_opposite_that_newer_versions_take() -> None:
    assert opposite_of("--disable-lora") == "--enable-lora"
    assert opposite_of("--enable-sliding-window") == "--disable-sliding-window"
    assert (
        opposite_of("--disable-log-stats") is opposite_of("--enable-lora") is opposite_of("--disable-nothing") is None
    )


def test_an_abbreviation_finds_what_it_begins() -> None:
    assert [one.name for one in find_options("--max-model")] == ["--max-model-len"]
    assert [one.name for one in find_options("--max-model-len")] == ["--max-model-len"]
    assert len(find_options("--max")) > 1
    assert find_options("--") == find_options("--maximum") == find_options("-tp") == []


def test_a_name_is_taken_for_a_misspelt_one_only_when_it_is_very_alike() -> None:
    assert likely_meant("--max-modl-len") == "--max-model-len"
    assert likely_meant("--max-model-length") == "--max-model-len"
    assert likely_meant("--brand-new-option") is None
