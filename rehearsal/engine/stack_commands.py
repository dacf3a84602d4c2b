"""`pulumi stack ...` and `pulumi cancel`."""

import argparse
import getpass
import json
import re
from datetime import UTC, datetime
from typing import Any

from rehearsal.engine.backend import ORGANIZATION, Backend, StackFiles
from rehearsal.engine.config import StackConfig, displayed
from rehearsal.engine.errors import CommandError, not_supported
from rehearsal.engine.project import Project, as_text
from rehearsal.engine.selection import find_stack, no_such_stack, select, selected, short_name
from rehearsal.engine.state import Snapshot, deserialize, serialize
from rehearsal.engine.transfer import export_state, import_state, secrets_of
from rehearsal.engine.values import masked, reveal

_PAGE_SIZE = 10


def run(options: argparse.Namespace) -> int:
    """Run one of the commands."""
    if options.command == "whoami":
        return _whoami(options)
    project = Project.find()
    backend = Backend.current(project.backend_url)
    if options.command == "cancel":
        files = find_stack(project, backend, options.stack_name or options.stack)
        files.cancel()
        print(f"The currently running update for '{files.name}' has been canceled!")
        return 0
    action = {
        None: _show,
        "new": _new,
        "select": _select,
        "list": _list,
        "output": _output,
        "export": export_state,
        "import": import_state,
        "history": _history,
        "remove": _remove,
    }[options.action]
    action(options, project, backend)
    return 0


def _whoami(options: argparse.Namespace) -> int:
    user, url = getpass.getuser(), Backend.current().url
    print(json.dumps({"user": user, "url": url}) if options.json else user)
    return 0


def _show(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    files = find_stack(project, backend, options.stack)
    if options.show_name:
        print(files.name)
        return
    snapshot = _snapshot(project, files, show_secrets=options.show_secrets)
    print(f"Current stack is {files.name}:")
    print(f"Current stack resources ({len(snapshot.resources)}):")
    for resource in snapshot.resources:
        detail = f"  {resource.urn}" if options.show_urns else ""
        detail += f"  {resource.id}" if options.show_ids and resource.id else ""
        print(f"    {resource.type}  {resource.urn.rsplit('::', 1)[-1]}{detail}")
    root = snapshot.root()
    print(f"\nCurrent stack outputs ({len(root.outputs) if root else 0}):")
    for key, value in sorted((root.outputs if root else {}).items()):
        print(f"    {key}  {as_text(reveal(value) if options.show_secrets else masked(value))}")


def _new(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    name = short_name(options.name or options.stack or "")
    if not name:
        raise CommandError("missing stack name")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        raise CommandError(
            f"invalid stack name {name!r}: it may contain alphanumeric, hyphens, underscores, and periods only"
        )
    if options.secrets_provider not in (None, "", "default", "passphrase"):
        raise not_supported(f"the secrets provider '{options.secrets_provider}'")
    files = backend.stack(project.name, name)
    if files.exists():
        raise CommandError(f"stack '{ORGANIZATION}/{project.name}/{name}' already exists")
    config = StackConfig(project, name)
    provider = config.secrets()
    # Proves at once that a passphrase is there.
    provider.encrypt("")
    config.save()
    backend.mark_project_layout()
    files.write(serialize(Snapshot(), provider.document(), provider.encrypt))
    if not options.no_select:
        select(project, backend, name)
    print(f"Created stack '{name}'")


def _select(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    name = short_name(options.name or options.stack or "")
    if not name:
        raise CommandError("missing stack name")
    if not backend.stack(project.name, name).exists():
        if not options.create:
            raise no_such_stack(project, backend, name)
        options.name, options.no_select = name, False
        _new(options, project, backend)
    select(project, backend, name)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _list(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    chosen = selected(project, backend)
    entries: list[dict[str, Any]] = []
    for files in backend.stacks(None if options.all else options.project or project.name):
        entry: dict[str, Any] = {
            "name": files.name if files.project == project.name else f"{ORGANIZATION}/{files.project}/{files.name}",
            "current": files.name == chosen and files.project == project.name,
        }
        last = files.last_update()
        if last is not None:
            entry["lastUpdate"] = _moment(last)
        entry["updateInProgress"] = bool(files.lock_files())
        entry["resourceCount"] = len((files.read() or {}).get("resources", []))
        entries.append(entry)
    if options.json:
        print(json.dumps(entries, indent=2))
        return
    print(f"{'NAME':<30}{'LAST UPDATE':<28}RESOURCE COUNT")
    for entry in entries:
        name = entry["name"] + ("*" if entry["current"] else "")
        print(f"{name:<30}{entry.get('lastUpdate', 'n/a'):<28}{entry['resourceCount']}")


def _snapshot(project: Project, files: StackFiles, *, show_secrets: bool) -> Snapshot:
    """The recorded state; secrets that are not to be shown are not decrypted, which would take a while."""
    return deserialize(files.read(), secrets_of(project, files).decrypt if show_secrets else lambda _: "null")


def _output(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    files = find_stack(project, backend, options.stack)
    root = _snapshot(project, files, show_secrets=options.show_secrets).root()
    outputs = root.outputs if root else {}
    shown = {key: reveal(value) if options.show_secrets else masked(value) for key, value in outputs.items()}
    if options.name:
        if options.name not in shown:
            raise CommandError(f"current stack does not have output property '{options.name}'")
        value = shown[options.name]
        print(json.dumps(value, indent=2) if options.json else as_text(value))
    elif options.json:
        print(json.dumps(dict(sorted(shown.items())), indent=2, ensure_ascii=False))
    elif options.shell:
        for key, value in sorted(shown.items()):
            quoted = as_text(value).replace("'", "'\"'\"'")
            print(f"{key}='{quoted}'")
    else:
        print(f"Current stack outputs ({len(shown)}):")
        for key, value in sorted(shown.items()):
            print(f"    {key}  {as_text(value)}")


def _history(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    files = find_stack(project, backend, options.stack)
    entries = files.history()
    size = _PAGE_SIZE if options.page_size is None else options.page_size
    if size > 0:
        first = (max(options.page or 1, 1) - 1) * size
        entries = entries[first : first + size]
    config = StackConfig(project, files.name)
    if not options.json:
        for entry in entries:
            print(f"Version: {entry['version']}\nUpdateKind: {entry['kind']}\nStatus: {entry['result']}")
            print(f"Message: {entry['message']}\nAt: {_moment(entry['startTime'])}")
            changes = entry.get("resourceChanges", {})
            print(f"Resource changes: {', '.join(f'{op}: {count}' for op, count in changes.items())}\n")
        return
    shown: list[dict[str, Any]] = []
    for entry in entries:
        item = {key: entry[key] for key in ("kind", "message", "environment", "result")}
        item["startTime"], item["endTime"] = _moment(entry["startTime"]), _moment(entry["endTime"])
        item["config"] = {
            key: displayed(config, raw, show_secrets=options.show_secrets) for key, raw in entry["config"].items()
        }
        if entry.get("resourceChanges"):
            item["resourceChanges"] = entry["resourceChanges"]
        shown.append(item)
    print(json.dumps(shown, indent=2))


def _remove(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    files = find_stack(project, backend, options.name or options.stack)
    resources = (files.read() or {}).get("resources", [])
    if resources and not options.force:
        raise CommandError(
            f"'{files.name}' still has resources; removal rejected. Possible actions:\n"
            "- Make sure that there are no resources by running `pulumi destroy`\n"
            "- Run `pulumi stack rm --force` to remove the stack anyway"
        )
    files.remove()
    if not options.preserve_config:
        StackConfig(project, files.name).path.unlink(missing_ok=True)
    if selected(project, backend) == files.name:
        select(project, backend, "")
    print(f"Stack '{files.name}' has been removed!")
