"""Every command and flag of the Pulumi CLI is done, accepted, or refused with one line that names it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.engine.cli import main, parse
from rehearsal.engine.errors import CommandError
from rehearsal.engine.surface import COMMANDS, GLOBAL, LEFT, Command
from tests.engine.conftest import World, real_pulumi

_HIDDEN = {"--event-log"}
"""Flags that the Pulumi CLI has only when PULUMI_DEBUG_COMMANDS is set, as the automation API does."""


def _flags(text: str) -> Iterator[tuple[str, str]]:
    """Each spelling of each flag, with what it takes."""
    for flag in text.split():
        spelled, equals, rest = flag.partition("=")
        for name in spelled.split("/"):
            yield name, equals + rest


def _words(command: Command) -> list[str]:
    return ["word" for name in command.words.split() if not name.endswith("?")]


def _with_value(flag: str, takes: str) -> list[str]:
    return [flag] if takes in ("", "=?") else [flag, "3"]


LEFT_FLAGS = [
    (name, flag, takes) for name, command in COMMANDS.items() for flag, takes in _flags(f"{command.leaves}")
] + [("up", flag, takes) for flag, takes in _flags(GLOBAL.leaves)]
LEFT_COMMANDS = [f"{name} {child}".strip() for name, children in LEFT.items() for child in children.split()]


def test_flags_that_are_left_to_the_cli_are_refused_by_name() -> None:
    for name, flag, takes in LEFT_FLAGS:
        with pytest.raises(CommandError) as caught:
            parse([*name.split(), *_words(COMMANDS[name]), *_with_value(flag, takes)])
        text = str(caught.value)
        assert text.startswith(
            f"`pulumi {name} {flag}` is not supported by the embedded engine; install the Pulumi CLI"
        )
        assert "\n" not in text


def test_commands_that_are_left_to_the_cli_are_refused_by_name() -> None:
    for name in LEFT_COMMANDS:
        with pytest.raises(CommandError) as caught:
            parse([*name.split(), "some", "--flag"])
        text = str(caught.value)
        assert text.startswith(f"`pulumi {name}` is not supported by the embedded engine; install the Pulumi CLI")
        assert "\n" not in text


def test_all_other_flags_are_taken() -> None:
    for name, command in COMMANDS.items():
        left = dict(_flags(command.leaves))
        taken = _flags(f"{GLOBAL.does} {GLOBAL.accepts} {command.does} {command.accepts}")
        flags = [word for flag, takes in taken if flag not in left for word in _with_value(flag, takes)]
        options = parse([*name.split(), *_words(command), *flags])
        assert f"{options.command} {options.action or ''}".strip() == name


def test_flags_and_words_may_stand_in_any_order() -> None:
    options = parse(["-C", "there", "config", "--stack=dev", "set", "--secret", "key", "--path", "--", "-5"])
    assert (options.cwd, options.stack, options.key, options.value) == ("there", "dev", "key", "-5")
    assert (options.secret, options.path, options.plaintext) == (True, True, False)
    options = parse(["up", "-ys", "dev", "--target", "a", "-t", "b", "--refresh"])
    assert (options.yes, options.stack, options.target, options.refresh) == (True, "dev", ["a", "b"], "true")
    assert parse(["stack", "init", "dev"]).action == "new"
    assert parse(["update"]).command == "up"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("foo", 'unknown command "foo" for "pulumi"\nRun \'pulumi --help\' for usage.'),
        ("previw", 'unknown command "previw" for "pulumi"\n\nDid you mean this?\n\tpulumi preview\n'),
        (
            "stack selct dev",
            'unknown command "selct" for "pulumi stack"\n\nDid you mean this?\n\tpulumi stack select\n',
        ),
        ("up --targt x", "unknown flag: --targt\n\nDid you mean this?\n\t--target\n"),
        ("up --zzz", "unknown flag: --zzz"),
        ("up --targ x", "unknown flag: --targ"),
        ("preview --skip-preview", "unknown flag: --skip-preview"),
        ("up -Z", "unknown shorthand flag: 'Z' in -Z"),
        ("up --target", "`pulumi up`: argument --target/-t: expected one argument"),
        ("up --parallel many", "`pulumi up`: argument --parallel/-p: invalid int value: 'many'"),
        ("up --refresh=perhaps", "could not determine value for --refresh from 'perhaps': it is true or false"),
        ("refresh --clear-pending-creates --skip-pending-creates", "cannot set both --skip-pending-creates and"),
        ("cancel a b", "`pulumi cancel` takes 0 to 1 argument(s), but 2 were given"),
        ("config get", "`pulumi config get` takes 1 argument(s), but 0 were given"),
        ("config rm-all", "`pulumi config remove-all` takes at least 1 argument(s), but 0 were given"),
    ],
)
def test_wrong_command_lines_are_refused_with_what_may_be_meant(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 1
    answer = capsys.readouterr()
    assert answer.err.startswith(f"error: {message}")
    assert answer.out == ""


def test_help_lists_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in ([], "destroy"), (["config", "--help"], "set-all"), (["up", "-h"], "--policy-pack"):
        with pytest.raises(SystemExit) as caught:
            parse(arguments)
        assert caught.value.code == 0
        assert expected in capsys.readouterr().out


def test_running_the_program_for_a_refresh_or_destroy_is_left_to_the_cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(World(tmp_path, "embedded").project)
    for name in ("up", "preview", "refresh", "destroy"):
        assert main([name, "--run-program"]) == 1
        assert f"`pulumi {name} --run-program` is not supported" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["https://api.pulumi.com", "http://127.0.0.1:9", "s3://bucket/path", ""])
def test_backends_that_are_no_folder_are_left_to_the_cli(url: str, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "rehearsal.engine", "whoami"],
        env={"PULUMI_BACKEND_URL": url, "PULUMI_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    shown = url or "(Pulumi Cloud)"
    assert answer.stderr.startswith(f"error: the backend {shown} is not supported by the embedded engine; install the")
    assert answer.stderr.count("\n") == 1


# -- the real CLI's own list


_TEXTS = ("=", "=*", "=#", "=?")


@pytest.mark.skipif(real_pulumi() is None, reason="no real Pulumi CLI on PATH or in REHEARSAL_REAL_PULUMI")
def test_the_table_has_every_command_and_flag_of_the_real_cli() -> None:
    answer = subprocess.run([str(real_pulumi()), "generate-cli-spec"], capture_output=True, text=True, check=True)
    _compare("", json.loads(answer.stdout), f"{GLOBAL.does} {GLOBAL.accepts} {GLOBAL.leaves}")


def _compare(name: str, real: dict[str, Any], inherited: str) -> None:
    command = COMMANDS.get(name, Command(""))
    prefix = f"{name} " if name else ""
    ours = {key.removeprefix(prefix) for key in COMMANDS if key.startswith(prefix)} - {""}
    children = {own for own in ours if " " not in own}
    left = set(LEFT.get(name, "").split())
    missing = set(real.get("commands", {})) - children - left
    assert not missing, f"pulumi {name}: sub-commands {sorted(missing)} are neither done nor left"
    own = f"{command.does} {command.accepts} {command.leaves}"
    known = dict(_flags(f"{inherited} {own}"))
    flags = {f"--{flag}": each for flag, each in real.get("flags", {}).items() if flag != "help"}
    if name:
        assert not set(flags) - set(known), f"pulumi {name}: flags that are missing"
        extra = {flag for flag in known if flag.startswith("--")} - set(flags) - _HIDDEN
        assert not extra - set(dict(_flags(inherited))), f"pulumi {name}: flags that the real CLI has not"
    # A switch may also be written `--flag=true`; where the automation API does so, ours takes a value.
    wrong = [
        flag for flag, each in flags.items() if known[flag] not in (("", "=?") if each["type"] == "boolean" else _TEXTS)
    ]
    assert not wrong, f"pulumi {name}: they take something else: {wrong}"
    for child in children:
        _compare(f"{prefix}{child}", real["commands"][child], f"{inherited} {own}")
