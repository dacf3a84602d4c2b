"""One tool in the hand: the same options everywhere, help with examples that can be typed, and what Ctrl-C leaves."""

import shlex
from importlib import import_module
from typing import Any

import pytest

from scripts import console
from scripts.__main__ import TASKS
from scripts.completion import parser_of
from scripts.console import Script
from tests.scripts.test_scripts import call

NAMES = ["__main__", *(name for names in TASKS.values() for name in names)]
SHARED = ("stack", "service", "work_dir", "json_output")
"""The parameters that mean the same wherever they are."""


def script(name: str) -> Script:
    return import_module(f"scripts.{name}").SCRIPT


def options(name: str) -> dict[str, Any]:
    return {one.name: one for one in parser_of(name).params}


each_script = pytest.mark.parametrize("name", NAMES)


@each_script
def test_the_examples_are_two_or_more_and_can_be_typed(name: str) -> None:
    examples = script(name).examples
    assert len(examples) >= 2
    for line, what in examples:
        python, dash_m, module, *words = shlex.split(line)
        assert (python, dash_m) == ("python", "-m")
        assert module == ("scripts" if name == "__main__" else f"scripts.{name}")
        parser_of(name).make_context(name, words)  # raises for a word that it does not take
        assert what


def test_an_example_with_a_mistake_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option: --relase"):
        parser_of("ramp").make_context("ramp", ["--stack", "prod", "--relase", "b.yaml"])
    with pytest.raises(Exception, match="Missing parameter: stack"):
        parser_of("ramp").make_context("ramp", ["--resume"])


@each_script
def test_the_help_has_examples_ctrl_c_and_exit_codes(name: str) -> None:
    module = import_module(f"scripts.{name}")
    done = call_help(module)
    for line, _ in script(name).examples:
        assert f"\n    {line}\n" in done
    words = " ".join(done.split())
    assert str(script(name).ctrl_c) in words
    assert console.EXIT_CODES in words


def call_help(module: Any) -> str:
    from typer.testing import CliRunner

    result = CliRunner().invoke(console.app_of(module.main, module.SCRIPT), ["--help"], terminal_width=100)
    assert result.exit_code == 0
    return result.stdout


@each_script
def test_ctrl_c_says_what_is_safe_what_remains_and_what_goes_on(name: str) -> None:
    said = script(name).ctrl_c
    for text in (said.safe, said.remains, said.command):
        assert text.endswith(".")
    for word in said.command.replace(";", " ").split():
        if word.startswith("scripts."):
            assert word.rstrip(".").removeprefix("scripts.") in NAMES


@pytest.mark.parametrize("shared", SHARED)
def test_an_option_is_the_same_in_all_scripts(shared: str) -> None:
    found = {name: options(name)[shared] for name in NAMES if shared in options(name)}
    assert len(found) > 3
    assert len({(tuple(one.opts), one.help) for one in found.values()}) == 1


def test_every_script_takes_the_place_of_its_service() -> None:
    for name in NAMES[1:]:
        assert {"stack", "service", "work_dir"} <= options(name).keys(), name


def test_one_flag_means_one_thing() -> None:
    """No two parameters share a flag."""
    by_flag: dict[str, set[str]] = {}
    for name in NAMES:
        for one in options(name).values():
            for flag in one.opts:
                by_flag.setdefault(flag, set()).add(one.name)
    assert {flag: names for flag, names in by_flag.items() if len(names) > 1} == {}


def test_reasons_are_given_by_because() -> None:
    for name in ("ramp", "approve", "rollback"):
        assert "--because" in options(name)["because"].opts


@each_script
def test_a_word_too_many_is_refused_as_any_bad_input(name: str) -> None:
    module = import_module(f"scripts.{name}")
    done = call(module.main, "--no-such-option")
    assert done.exit_code == console.EXIT_REFUSED
