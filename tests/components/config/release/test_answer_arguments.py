"""Engine arguments change answers, except for a known few in any spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.release.answer_arguments import NEUTRAL_OPTIONS, NEUTRAL_SWITCHES, answer_arguments
from components.config.release.engine_args import engine_args_violations
from components.config.release.release import Release
from components.domain.vllm.vllm_options import KEYED, OPTIONS, VALUELESS, OptionKind
from tests.components.domain.vllm.test_vllm_options import good_values
from tests.components.example import release

# They refer to something that must be pinned, or make a model generate no text.
VALUES = {
    **{name: ["/a", "/b"] for name in ("--tokenizer", "--hf-config-path", "--spec-model")},
    **{name: ["c0ffee0", "beef123"] for name in ("--tokenizer-revision", "--code-revision")},
    "--default-mm-loras": ['{"image": "/a"}', '{"image": "/b"}'],
    "--convert": ["auto", "none"],
    "--runner": ["auto", "generate"],
}


def values_of(flag: str, place: int = 0) -> list[str]:
    """Return the values with which an option is accepted, at the place the first or the second ones."""
    option = OPTIONS[flag]
    if option.kind in VALUELESS:
        return []
    values = VALUES.get(flag) or good_values(option)
    return values if option.kind is OptionKind.LIST else values[place : place + 1]


CHANGING = sorted(
    flag
    for flag in OPTIONS.keys() - NEUTRAL_OPTIONS - NEUTRAL_SWITCHES
    if not list(engine_args_violations([flag, *values_of(flag)]))
)

# Some are accepted only together with another option.
SWITCHES_ALONE = sorted(flag for flag in NEUTRAL_SWITCHES if not list(engine_args_violations([flag])))

neutral_options = st.sampled_from(sorted(NEUTRAL_OPTIONS)).flatmap(
    lambda flag: st.tuples(st.just(flag), st.sampled_from(good_values(OPTIONS[flag])))
)
neutral_words = st.one_of(
    neutral_options.map(list),
    neutral_options.map(lambda pair: ["=".join(pair)]),
    neutral_options.map(lambda pair: ["--" + pair[0][2:].replace("-", "_"), pair[1]]),
    st.sampled_from(SWITCHES_ALONE).map(lambda flag: [flag]),
    st.sampled_from(sorted(NEUTRAL_SWITCHES)).map(lambda flag: [f"--no-{flag[2:]}"]),
)
changing_words = st.sampled_from(CHANGING).map(lambda flag: [flag, *values_of(flag)])


def namespace(engine_args: list[str]) -> str:
    return Release(**release(engine_args=engine_args)).semantic_cache_namespace


def _flat(groups: list[list[str]]) -> list[str]:
    return [word for words in groups for word in words]


def test_every_neutral_argument_is_one_of_vllms_and_takes_as_many_values_as_we_think() -> None:
    kinds = {name: OPTIONS[name].kind for name in NEUTRAL_OPTIONS}
    # Given several values, it counts as changing.
    assert kinds.pop("--collect-detailed-traces") is OptionKind.LIST
    assert set(kinds.values()).isdisjoint({*VALUELESS, *KEYED, OptionKind.LIST, OptionKind.MAYBE})
    assert {OPTIONS[flag].kind for flag in NEUTRAL_SWITCHES} <= VALUELESS
    assert len(CHANGING) > 200
    assert NEUTRAL_SWITCHES - set(SWITCHES_ALONE) == {"--enable-log-outputs"}


@given(st.lists(changing_words, max_size=3), st.data())
def test_arguments_that_never_change_answers_change_no_namespace_wherever_they_stand(
    changing: list[list[str]], data: st.DataObject
) -> None:
    mixed = list(changing)
    for words in data.draw(st.lists(neutral_words, max_size=4)):
        mixed.insert(data.draw(st.integers(0, len(mixed))), words)
    assert namespace(_flat(mixed)) == namespace(_flat(changing))


@pytest.mark.parametrize("flag", CHANGING)
def test_every_other_argument_changes_it(flag: str) -> None:
    assert namespace([flag, *values_of(flag)]) != namespace([])


@given(st.text("abcdefghijklmnopqrstuvwxyz-", min_size=3, max_size=30), st.lists(neutral_words, max_size=2))
def test_an_unknown_argument_changes_it(name: str, neutral: list[list[str]]) -> None:
    assert answer_arguments([f"--x{name}", *_flat(neutral)]) == [[f"--x{name}"]]


@given(changing_words, st.lists(changing_words, min_size=1, max_size=3))
def test_one_more_argument_or_another_value_changes_it(words: list[str], others: list[list[str]]) -> None:
    assert namespace(_flat(others)) != namespace(_flat([*others, words]))
    other_values = values_of(words[0], 1)
    if len(words) == 2 and other_values not in ([], words[1:]):
        assert namespace([*_flat(others), words[0], *other_values]) != namespace([*_flat(others), *words])


@pytest.mark.parametrize(
    "odd",
    [
        ["--max-num-seqs"],
        ["--max-num-seqs", "1", "2"],
        ["--max-num-seqs=1", "2"],
        ["--enable-log-requests", "dtype"],
        ["--max-num-seq=1"],
        ["--max-num-seqs.part=1"],
        ["--no-max-num-seqs", "1"],
        ["-O3"],
    ],
)
def test_a_neutral_name_in_another_shape_counts_as_changing(odd: list[str]) -> None:
    assert len(answer_arguments(odd)) == 1


def test_both_ways_to_write_a_value_are_the_same() -> None:
    assert namespace(["--dtype=half", "--seed", "-1"]) == namespace(["--dtype", "half", "--seed=-1"])
    assert answer_arguments(["--seed", "-1"]) == [["--seed", "-1"]]
