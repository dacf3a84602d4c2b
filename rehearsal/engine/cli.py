"""The command line. Commands import what they need when they run: most runs are short."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rehearsal.engine.errors import CommandError, not_supported
from rehearsal.engine.version import VERSION_LINE

_ELSEWHERE = (
    "new", "import", "state", "watch", "logs", "console", "org", "policy", "package", "install", "convert", "env",
    "deployment", "about", "schema", "template", "ai", "logout",
)  # fmt: skip
"""Commands of the Pulumi CLI that the embedded engine leaves to it."""


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments as the CLI does."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(message)


def _global_options() -> _Parser:
    options = _Parser(add_help=False)
    options.add_argument("-C", "--cwd", default=argparse.SUPPRESS)
    options.add_argument("--color", default=argparse.SUPPRESS)
    options.add_argument("-v", "--verbose", default=argparse.SUPPRESS)
    options.add_argument("--tracing", default=argparse.SUPPRESS)
    for flag in ("--non-interactive", "--logtostderr", "--logflow", "--emoji", "--disable-integrity-checking"):
        options.add_argument(flag, action="store_true", default=argparse.SUPPRESS)
    return options


def _build_parser() -> _Parser:
    shared = _global_options()
    parser = _Parser(prog="pulumi", parents=[shared], description=__doc__)
    # Its type is private to argparse, so the functions below take it as Any.
    commands = parser.add_subparsers(dest="command", required=True)

    commands.add_parser("version", parents=[shared], help="print the version")
    whoami = commands.add_parser("whoami", parents=[shared], help="show the user of the backend")
    whoami.add_argument("-j", "--json", action="store_true")
    login = commands.add_parser("login", parents=[shared], help="choose a file backend")
    login.add_argument("url", nargs="?", default="")
    login.add_argument("-l", "--local", action="store_true")
    plugin = commands.add_parser("plugin", parents=[shared], help="list plugins on PATH")
    plugin.add_argument("action", choices=["ls"])
    plugin.add_argument("--json", action="store_true")

    cancel = commands.add_parser("cancel", parents=[shared], help="remove the locks of a stack")
    cancel.add_argument("stack_name", nargs="?")
    cancel.add_argument("-s", "--stack")
    cancel.add_argument("-y", "--yes", action="store_true")

    _add_stack(commands, shared)
    _add_config(commands, shared)
    _add_updates(commands, shared)
    return parser


def _add_stack(commands: Any, shared: _Parser) -> None:
    stack = commands.add_parser("stack", parents=[shared], help="show and manage stacks")
    stack.add_argument("-s", "--stack", default=None)
    stack.add_argument("--show-name", action="store_true")
    stack.add_argument("-u", "--show-urns", action="store_true")
    stack.add_argument("-i", "--show-ids", action="store_true")
    stack.add_argument("--show-secrets", action="store_true")
    actions = stack.add_subparsers(dest="action")

    def add(name: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, parents=[shared])
        action.add_argument("-s", "--stack", default=argparse.SUPPRESS)
        return action

    init = add("init")
    init.add_argument("name", nargs="?")
    init.add_argument("--secrets-provider", default="")
    init.add_argument("--no-select", action="store_true")
    select = add("select")
    select.add_argument("name", nargs="?")
    select.add_argument("-c", "--create", action="store_true")
    listing = add("ls")
    listing.add_argument("-j", "--json", action="store_true")
    listing.add_argument("-a", "--all", action="store_true")
    listing.add_argument("-p", "--project")
    output = add("output")
    output.add_argument("name", nargs="?")
    output.add_argument("-j", "--json", action="store_true")
    output.add_argument("--shell", action="store_true")
    output.add_argument("--show-secrets", action="store_true", default=argparse.SUPPRESS)
    export = add("export")
    export.add_argument("--file")
    export.add_argument("--show-secrets", action="store_true", default=argparse.SUPPRESS)
    importing = add("import")
    importing.add_argument("--file")
    importing.add_argument("-f", "--force", action="store_true")
    history = add("history")
    history.add_argument("-j", "--json", action="store_true")
    history.add_argument("--show-secrets", action="store_true", default=argparse.SUPPRESS)
    history.add_argument("--page-size", type=int, default=10)
    history.add_argument("--page", type=int, default=1)
    history.add_argument("--full-dates", action="store_true")
    remove = add("rm")
    remove.add_argument("name", nargs="?")
    remove.add_argument("-y", "--yes", action="store_true")
    remove.add_argument("-f", "--force", action="store_true")
    remove.add_argument("--preserve-config", action="store_true")


def _add_config(commands: Any, shared: _Parser) -> None:
    config = commands.add_parser("config", parents=[shared], help="show and change a stack's config")
    config.add_argument("-s", "--stack", default=None)
    config.add_argument("--config-file", default=None)
    config.add_argument("--show-secrets", action="store_true")
    config.add_argument("-j", "--json", action="store_true")
    actions = config.add_subparsers(dest="action")

    def add(name: str, *, path: bool = True) -> argparse.ArgumentParser:
        action = actions.add_parser(name, parents=[shared])
        action.add_argument("-s", "--stack", default=argparse.SUPPRESS)
        action.add_argument("--config-file", default=argparse.SUPPRESS)
        if path:
            action.add_argument("--path", action="store_true")
        return action

    get = add("get")
    get.add_argument("key")
    get.add_argument("-j", "--json", action="store_true", default=argparse.SUPPRESS)
    setting = add("set")
    setting.add_argument("key")
    setting.add_argument("value", nargs="?")
    setting.add_argument("--secret", action="store_true")
    setting.add_argument("--plaintext", action="store_true")
    set_all = add("set-all")
    set_all.add_argument("--secret", action="append", default=[])
    set_all.add_argument("--plaintext", action="append", default=[])
    set_all.add_argument("--json", dest="document")
    remove = add("rm")
    remove.add_argument("key")
    remove_all = add("rm-all")
    remove_all.add_argument("keys", nargs="+")


def _add_updates(commands: Any, shared: _Parser) -> None:
    for name, aliases in (("preview", ["pre"]), ("up", ["update"]), ("destroy", ["down"]), ("refresh", [])):
        update = commands.add_parser(name, aliases=aliases, parents=[shared])
        update.set_defaults(command=name)
        for flag in ("--yes", "--skip-preview", "--diff", "--json", "--expect-no-changes", "--target-dependents",
                     "--show-secrets", "--suppress-outputs", "--suppress-progress", "--suppress-permalink",
                     "--show-config", "--show-reads", "--show-sames", "--show-full-output", "--debug", "--remove",
                     "--preview-only", "--clear-pending-creates", "--show-replacement-steps"):  # fmt: skip
            short = {"--yes": ["-y"], "--skip-preview": ["-f"], "--json": ["-j"], "--debug": ["-d"]}.get(flag, [])
            update.add_argument(flag, *short, action="store_true")
        for flag in ("--target", "--policy-pack", "--policy-pack-config"):
            short = {"--target": ["-t"]}.get(flag, [])
            update.add_argument(flag, *short, action="append", default=[])
        update.add_argument("-s", "--stack")
        update.add_argument("-m", "--message", default="")
        update.add_argument("-p", "--parallel", type=int, default=16)
        update.add_argument("--refresh", nargs="?", const="true", default="")
        update.add_argument("--config-file")
        update.add_argument("--event-log", action="append", default=[])
        update.add_argument("--exec-kind", default="")
        update.add_argument("--run-program", nargs="?", const="true", default="")
        for flag in ("--client", "--plan", "--save-plan", "--import-file", "--exec-agent"):
            update.add_argument(flag)
        for flag in ("--exclude", "--replace", "--target-replace"):
            update.add_argument(flag, action="append")
        for flag in ("--exclude-dependents", "--continue-on-error", "--attach-debugger", "--exclude-protected"):
            update.add_argument(flag, action="store_true")


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    # The engine forks only to start other programs, which needs none of gRPC's preparations (and warnings).
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    try:
        command = next((word for word in arguments if not word.startswith("-")), "")
        if command in _ELSEWHERE:
            raise not_supported(f"`pulumi {command}`")
        options = _parse(arguments)
        if getattr(options, "cwd", None):
            os.chdir(options.cwd)
        return _dispatch(options)
    except CommandError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return error.status


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    # argparse gives up on optional positionals once a flag stands before them, so those that are left go in by hand.
    options, left = _build_parser().parse_known_args(arguments)
    words = [word for position, word in enumerate(left) if word != "--" or "--" in left[:position]]
    for name in ("name", "stack_name", "value", "url"):
        if words and ("--" in left or not words[0].startswith("-")) and getattr(options, name, "set") in (None, ""):
            setattr(options, name, words.pop(0))
    if words:
        raise CommandError(f"unknown argument: {words[0]}")
    return options


def _dispatch(options: argparse.Namespace) -> int:
    if options.command == "version":
        print(VERSION_LINE)
        return 0
    if options.command in ("whoami", "login", "plugin"):
        from rehearsal.engine import session_commands

        return session_commands.run(options)
    if options.command in ("stack", "cancel"):
        from rehearsal.engine import stack_commands

        return stack_commands.run(options)
    if options.command == "config":
        from rehearsal.engine import config_commands

        return config_commands.run(options)
    from rehearsal.engine import update_commands

    return update_commands.run(options)
