"""`python -m scripts` lists every script with what it does."""

import json
from pathlib import Path

import pytest

import scripts
from scripts import __main__ as listing

HELPERS = {"__init__", "__main__", "completion", "console", "status_screen", "wait_line"}


def test_every_script_is_listed_once() -> None:
    folder = Path(scripts.__file__).parent
    listed = [name for names in listing.TASKS.values() for name in names]
    assert sorted(listed) == sorted({path.stem for path in folder.glob("*.py")} - HELPERS)


def test_each_has_a_description(capsys: pytest.CaptureFixture[str]) -> None:
    listing.main()
    shown = capsys.readouterr().out
    for names in listing.TASKS.values():
        for name in names:
            assert f"python -m scripts.{name}" in shown
            assert len(listing.description(name)) > 20
    assert "Exit codes: 0 done" in shown


def test_a_program_gets_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    listing.main(json_output=True)
    listed = json.loads(capsys.readouterr().out)
    assert [one["module"] for one in listed] == [
        f"scripts.{name}" for names in listing.TASKS.values() for name in names
    ]
    assert {one["task"] for one in listed} == listing.TASKS.keys()
    assert all(len(one["description"]) > 20 for one in listed)


def test_a_script_named_as_a_word_is_told_its_module(capsys: pytest.CaptureFixture[str]) -> None:
    listing.refuse_subcommand([])
    listing.refuse_subcommand(["--help"])
    with pytest.raises(SystemExit) as ended:
        listing.refuse_subcommand(["doctor", "--stack", "prod"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: write python -m scripts.doctor --stack prod\n"
