"""Arguments that vLLM cannot read, or that break a rollout, are refused by position, with the fix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.engine_args import DERIVED_ENGINE_ARGS, HARMFUL_ENGINE_ARGS, engine_args_violations
from components.config.violations import Violation
from components.domain.serve_options import JSON_OPTIONS
from tests.components.domain.test_serve_options import TABLE

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
    assert violation.fix == "Write --max-model-len=<value>, or make the value the next element."
    assert "8192" not in violation.line()


@pytest.mark.parametrize(
    "engine_args",
    [
        ["--dtype=half --enforce-eager"],
        ["--dtype", "half --enforce-eager"],
        ["--dtype=half  -O3"],
        ["--middleware", "a", "b --api-key=precious"],
    ],
)
def test_a_second_option_in_a_value_is_refused(engine_args: list[str]) -> None:
    violation = only(engine_args)
    assert violation.path == (len(engine_args) - 1,)
    assert "second option" in violation.what
    assert "precious" not in violation.line()


@pytest.mark.parametrize("argument", [" --api-key=x", "--dtype=half ", " half"])
def test_an_element_has_no_space_around_it(argument: str) -> None:
    violation = only(["--seed", argument])
    assert violation.path == (1,)
    assert violation.what == "must not begin or end with a space"


def test_a_stray_first_element_does_not_show_what_follows_its_first_word() -> None:
    for stray in ("api-key precious", "api-key=precious"):
        assert "precious" not in only([stray]).line()
        assert "api-key" in only([stray]).line()


@pytest.mark.parametrize("name", sorted(JSON_OPTIONS - DERIVED_ENGINE_ARGS))
@pytest.mark.parametrize("value", ["'{\"a\": 1}'", "{a: 1}", "{'a': 1}", "a"])
def test_what_is_no_json_is_refused_at_the_value(name: str, value: str) -> None:
    assert only([f"{name}={value}"]).path == (0,)
    violation = only([name, value])
    assert violation.path == (1,)
    assert violation.what == f"{name} needs a value in JSON"
    assert violation.value == value


@pytest.mark.parametrize("name", sorted(JSON_OPTIONS - DERIVED_ENGINE_ARGS))
def test_json_and_single_keys_are_accepted(name: str) -> None:
    accepted = [f'{name}={{"a b": "x -y"}}', f"{name}.key=text", f"{name}=", f"{name}=None"]
    assert list(engine_args_violations([*accepted, name, "{}"])) == []


@pytest.mark.parametrize(
    "option",
    ["-pp", "-dp", "-pcp", "-dpl", "-dpn", "-n", "-r", "--headless", "--prefill_context_parallel_size", "--nno"],
)
def test_what_makes_a_replica_larger_is_refused(option: str) -> None:
    for violation in (only([option, "2"]), only([f"{option}=2"])):
        assert "a replica" in violation.what
        assert violation.fix == "Remove it."


def test_every_option_for_several_nodes_is_refused() -> None:
    spread = [f"--{name}" for name, *_ in TABLE if name.startswith(("data-parallel", "nnodes", "node-", "master-"))]
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


def test_no_flag_of_vllms_is_taken_for_an_abbreviation_of_a_refused_one() -> None:
    named = {f"--{name}" for name, *_ in TABLE} - set(REFUSED) - {"--runner", "--convert"}
    assert [name for name in sorted(named) if list(engine_args_violations([f"{name}=None"]))] == []


@given(st.lists(st.text("-=ab ._{}", max_size=8), max_size=6))
def test_each_violation_is_in_its_place(engine_args: list[str]) -> None:
    for violation in engine_args_violations(engine_args):
        (position,) = violation.path
        assert isinstance(position, int)
        assert 0 <= position < len(engine_args)
