"""`pulumi whoami`, `login` and `plugin ls`."""

import argparse
import getpass
import json
import os
from pathlib import Path

from rehearsal.engine.backend import Backend, pulumi_home, write_atomically


def run(options: argparse.Namespace) -> int:
    """Run one of the commands."""
    if options.command == "whoami":
        return _whoami(options)
    if options.command == "login":
        return _login(options)
    return _list_plugins(options)


def _whoami(options: argparse.Namespace) -> int:
    url = Backend.current().url
    if options.json:
        print(json.dumps({"user": getpass.getuser(), "url": url}))
    else:
        print(getpass.getuser())
    return 0


def _login(options: argparse.Namespace) -> int:
    url = options.url or os.environ.get("PULUMI_BACKEND_URL", "")
    backend = Backend("file://~" if options.local else url)
    credentials = pulumi_home() / "credentials.json"
    document = json.loads(credentials.read_text(encoding="utf-8")) if credentials.is_file() else {}
    document["current"] = backend.url
    document.setdefault("accounts", {})[backend.url] = {"lastValidatedAt": "0001-01-01T00:00:00Z"}
    write_atomically(credentials, json.dumps(document, indent=4))
    print(f"Logged in to {os.uname().nodename} as {getpass.getuser()} ({backend.url})")
    return 0


def _list_plugins(options: argparse.Namespace) -> int:
    found: dict[str, Path] = {}
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for path in sorted(Path(folder).glob("pulumi-resource-*")):
            found.setdefault(path.name.removeprefix("pulumi-resource-"), path)
    if options.json:
        print(json.dumps([{"name": name, "kind": "resource", "version": None} for name in found]))
        return 0
    print(f"{'NAME':<20}{'KIND':<10}PATH")
    for name, path in found.items():
        print(f"{name:<20}{'resource':<10}{path}")
    return 0
