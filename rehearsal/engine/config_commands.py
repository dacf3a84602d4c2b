"""`pulumi config ...`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, cast

from rehearsal.engine.backend import Backend
from rehearsal.engine.config import StackConfig, displayed
from rehearsal.engine.config_paths import lookup, parse_path
from rehearsal.engine.errors import CommandError
from rehearsal.engine.project import Project, as_text
from rehearsal.engine.selection import find_stack


def run(options: argparse.Namespace) -> int:
    """Run one of the commands."""
    project = Project.find()
    files = find_stack(project, Backend.current(project.backend_url), options.stack)
    config = StackConfig(project, files.name, Path(options.config_file) if options.config_file else None)
    if options.action is None:
        _show(options, config)
    elif options.action == "get":
        _get(options, config)
    elif options.action == "set":
        _set(options, config)
    elif options.action == "set-all":
        _set_all(options, config)
    else:
        for key in [options.key] if options.action == "remove" else options.keys:
            config.remove(key, path=options.path)
    config.save()
    return 0


def _with_defaults(config: StackConfig) -> dict[str, Any]:
    values = config.raw()
    for field in config.project.config:
        fallback = field.value if field.value is not None else field.default
        if fallback is not None:
            values.setdefault(config.project.qualify(field.key), fallback)
    return values


def _show(options: argparse.Namespace, config: StackConfig) -> None:
    entries = {
        key: displayed(config, raw, show_secrets=options.show_secrets)
        for key, raw in sorted(_with_defaults(config).items())
    }
    if options.json:
        print(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    own = f"{config.project.name}:"
    rows = [(key.removeprefix(own), entry.get("value", "[secret]")) for key, entry in entries.items()]
    width = max([3, *(len(key) for key, _ in rows)]) + 2
    for key, value in [("KEY", "VALUE"), *rows]:
        print(f"{key:<{width}}{value}")


def _get(options: argparse.Namespace, config: StackConfig) -> None:
    steps = parse_path(options.key) if options.path else [options.key]
    key = config.project.qualify(str(steps[0]))
    try:
        raw = lookup(_with_defaults(config)[key], steps[1:])
    except KeyError as error:
        raise CommandError(f"configuration key '{options.key}' not found for stack '{config.stack}'") from error
    if options.json:
        entry = {"name": key, **displayed(config, raw, show_secrets=True)}
        print(json.dumps(entry, indent=2, ensure_ascii=False))
    else:
        print(as_text(config.plain(raw)))


def _set(options: argparse.Namespace, config: StackConfig) -> None:
    value = options.value
    if value is None:
        value = sys.stdin.read()
        value = value if options.raw else value.rstrip("\r\n")
    config.set(options.key, value, secret=options.secret, path=options.path)


def _set_all(options: argparse.Namespace, config: StackConfig) -> None:
    for secret, pairs in ((False, options.plaintext), (True, options.secret)):
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals:
                raise CommandError(f"config value for '{pair}' must be given as key=value")
            config.set(key, value, secret=secret, path=options.path)
    for key, entry in _document(options.json or "{}").items():
        if "objectValue" in entry:
            raise CommandError("object values cannot be set from JSON; use --path")
        config.set(key, entry["value"], secret=bool(entry.get("secret")), path=False)


def _document(text: str) -> dict[str, dict[str, Any]]:
    """The values given to `set-all --json`."""
    try:
        document = json.loads(text)
        entries = dict(document.items())
    except (ValueError, AttributeError) as error:
        raise CommandError(f"--json is no JSON object: {error}") from error
    for key, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(cast(dict[str, Any], entry).get("value"), str):
            raise CommandError(f"--json: '{key}' must hold a `value` text")
    return entries
