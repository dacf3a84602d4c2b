"""The command line. Commands import what they need when they run: most runs are short."""

import argparse
import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from rehearsal.engine.errors import CommandError, not_supported
from rehearsal.engine.surface import COMMANDS, GLOBAL, LEFT, Command
from rehearsal.engine.version import VERSION_LINE

_TAKES: dict[str, dict[str, Any]] = {
    "": {"action": "store_true"},
    "=": {"metavar": "VALUE"},
    "=*": {"metavar": "VALUE", "action": "append", "default": []},
    "=#": {"metavar": "NUMBER", "type": int},
    "=?": {"metavar": "VALUE", "nargs": "?", "const": "true"},
}


class _Left(argparse.Action):
    """A flag of the Pulumi CLI that is left to it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> NoReturn:
        raise not_supported(f"`{parser.prog} {option_string}`")


class _Parser(argparse.ArgumentParser):
    """The flags of one command, which may stand anywhere among its arguments."""

    def __init__(self, name: str, command: Command) -> None:
        lines = [f"  {own:<12}{each.help}" for own, each in _children(name).items()]
        super().__init__(
            prog=f"pulumi {name}".strip(),
            description=command.help,
            epilog="\n".join(["commands:", *lines]) if lines else None,
            usage=f"pulumi {name or '[command]'} {command.words} [flags]",
            allow_abbrev=False,
            conflict_handler="resolve",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._known: list[str] = []
        for each in (GLOBAL, command):
            self._add_flags(f"{each.does} {each.accepts}")
            self._add_flags(each.leaves, action=_Left, help=argparse.SUPPRESS)

    def _add_flags(self, flags: str, **how: Any) -> None:
        for flag in flags.split():
            spelled, equals, rest = flag.partition("=")
            takes: dict[str, Any] = {**how, "nargs": "?" if equals else 0} if how else _TAKES[equals + rest]
            names = spelled.split("/")
            self.add_argument(*names, **takes)
            self._known.append(names[0])

    def error(self, message: str) -> NoReturn:
        """Report a wrong argument."""
        raise CommandError(f"`{self.prog}`: {message}")

    def words(self, left: list[str]) -> list[str]:
        """The arguments among what was not understood; the rest are flags that do not exist."""
        end = left.index("--") if "--" in left else len(left)
        for word in left[:end]:
            flag = word.partition("=")[0]
            if flag.startswith("--"):
                raise CommandError(f"unknown flag: {flag}{_nearest(flag, self._known)}")
            if flag.startswith("-") and flag != "-":
                raise CommandError(f"unknown shorthand flag: '{flag[1]}' in {flag}")
        return left[:end] + left[end + 1 :]


def _children(name: str) -> dict[str, Command]:
    """The commands right under one, by their own name."""
    prefix = f"{name} " if name else ""
    found = {full.removeprefix(prefix): each for full, each in COMMANDS.items() if full.startswith(prefix)}
    return {own: each for own, each in found.items() if " " not in own}


def _nearest(word: str, known: Iterable[str], before: str = "") -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"\n\nDid you mean this?\n\t{before}{close[0]}\n" if close else ""


def _resolve(name: str, word: str) -> str:
    """The full name of the sub-command that a word stands for."""
    program = f"pulumi {name}".strip()
    spellings = {word: own for own, each in _children(name).items() for word in (own, *each.aliases)}
    left = LEFT.get(name, "").split()
    if word in left:
        raise not_supported(f"`{program} {word}`")
    if word not in spellings:
        near = _nearest(word, [*spellings, *left], f"{program} ")
        raise CommandError(f'unknown command "{word}" for "{program}"{near}\nRun \'{program} --help\' for usage.')
    return f"{name} {spellings[word]}".strip()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line; raises CommandError, or SystemExit after `--help`.

    Besides flags and arguments, the result has `command` (such as `stack`) and `action` (such as `export`, or None).
    """
    options = argparse.Namespace()
    name, command = "", Command("The rehearsal's embedded engine: what it does of the Pulumi CLI.")
    rest = list(arguments)
    while True:
        parser = _Parser(name, command)
        if name and name not in LEFT:
            options, left = parser.parse_known_args(rest, options)
            break
        # Only the flags up to the sub-command's name are this command's.
        parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
        options, left = parser.parse_known_args(rest, options)
        rest = options.rest
        if not rest:
            break
        parser.words(left)
        name = _resolve(name, rest.pop(0))
        command = COMMANDS[name]
    if not name:
        parser.parse_args(["--help"])
    _fill(options, parser, command, parser.words(left))
    options.command, _, action = name.partition(" ")
    options.action = action or None
    return options


def _fill(options: argparse.Namespace, parser: _Parser, command: Command, words: list[str]) -> None:
    """Give each argument its field."""
    names = command.words.split()
    least = sum(not name.endswith("?") for name in names)
    variadic = command.words.endswith("+")
    if len(words) < least or (len(words) > len(names) and not variadic):
        bound = f"at least {least}" if variadic else f"{least} to {len(names)}" if least < len(names) else f"{least}"
        raise CommandError(f"`{parser.prog}` takes {bound} argument(s), but {len(words)} were given")
    for position, name in enumerate(names):
        value = words[position:] if variadic else words[position] if position < len(words) else None
        setattr(options, name.rstrip("?+"), value)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    # The engine forks only to start other programs, which needs none of gRPC's preparations (and warnings).
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    try:
        options = parse(["version"] if list(arguments) == ["--version"] else arguments)
        if options.cwd:
            os.chdir(options.cwd)
        return _dispatch(options)
    except CommandError as error:
        return _failed(str(error), error.status)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}")


def _failed(message: str, status: int = 1) -> int:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)
    return status


def _dispatch(options: argparse.Namespace) -> int:
    if options.command == "version":
        print(VERSION_LINE)
        return 0
    if options.command in ("stack", "cancel", "whoami"):
        from rehearsal.engine import stack_commands

        return stack_commands.run(options)
    if options.command == "config":
        from rehearsal.engine import config_commands

        return config_commands.run(options)
    from rehearsal.engine import update_commands

    return update_commands.run(options)
