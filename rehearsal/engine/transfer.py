"""`pulumi stack export` and `import`: the state as one document, to be read or edited by hand."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rehearsal.engine.backend import STATE_VERSION, Backend, StackFiles
from rehearsal.engine.config import StackConfig
from rehearsal.engine.errors import CommandError
from rehearsal.engine.passphrase import PassphraseSecrets
from rehearsal.engine.project import Project
from rehearsal.engine.selection import find_stack
from rehearsal.engine.state import Snapshot, deserialize, serialize
from rehearsal.engine.values import SECRET, SIGNATURE, transform


def secrets_of(project: Project, files: StackFiles) -> PassphraseSecrets:
    """What the recorded state is encrypted with."""
    provider = (files.read() or {}).get("secrets_providers") or {}
    if provider.get("type") == "passphrase":
        return PassphraseSecrets(provider["state"]["salt"])
    return StackConfig(project, files.name).secrets()


def export_state(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    """Print the deployment or write it to a file."""
    files = find_stack(project, backend, options.stack)
    deployment = files.read()
    if deployment is not None and options.show_secrets:
        deployment = _revealed(deployment, secrets_of(project, files).decrypt)
    text = json.dumps({"version": STATE_VERSION, "deployment": deployment}, indent=4, ensure_ascii=False) + "\n"
    if options.file:
        Path(options.file).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


def _revealed(deployment: dict[str, Any], decrypt: Any) -> dict[str, Any]:
    def change(signed: dict[str, Any]) -> Any:
        if signed[SIGNATURE] == SECRET and "ciphertext" in signed:
            return {SIGNATURE: SECRET, "plaintext": decrypt(signed["ciphertext"])}
        return None

    shown: Any = transform(deployment, change)
    return shown


def import_state(options: argparse.Namespace, project: Project, backend: Backend) -> None:
    """Replace the deployment by an exported (and perhaps edited) one."""
    files = find_stack(project, backend, options.stack)
    text = Path(options.file).read_text(encoding="utf-8") if options.file else sys.stdin.read()
    deployment, salt = _imported(text)
    with files.locked():
        # Secrets that were exported in plain text, or under another salt, are encrypted for this stack.
        config = StackConfig(project, files.name)
        provider = config.secrets()
        reader = PassphraseSecrets(salt) if salt and salt != provider.encryption_salt else provider
        snapshot = deserialize(deployment, reader.decrypt)
        for problem in _problems(snapshot, files.name):
            if not options.force:
                raise CommandError(f"{problem}; importing this could be dangerous: use --force to do it anyway")
            print(f"warning: {problem}", file=sys.stderr)
        for operation in snapshot.pending:
            what = f"'{operation.kind}' on '{operation.resource.urn}'"
            print(f"warning: removing pending operation {what} from snapshot", file=sys.stderr)
        snapshot.pending.clear()
        config.save()
        files.write(None if deployment is None else serialize(snapshot, provider.document(), provider.encrypt))
    print("Import complete.")


def _problems(snapshot: Snapshot, stack: str) -> Iterator[str]:
    """What makes a deployment wrong for a stack, or in itself."""
    known: set[str] = set()
    alive: set[str] = set()
    for resource in snapshot.resources:
        owner = resource.urn.split("::")[0].removeprefix("urn:pulumi:")
        if owner != stack:
            yield f"resource '{resource.urn}' is from a different stack ({owner} != {stack})"
        for urn in sorted(resource.all_dependencies() - known):
            yield f"resource '{resource.urn}' refers to '{urn}', which is not before it"
        if resource.urn in alive and not resource.delete:
            yield f"there are two resources '{resource.urn}'"
        known.add(resource.urn)
        if not resource.delete:
            alive.add(resource.urn)


def _imported(text: str) -> tuple[dict[str, Any] | None, str]:
    """The deployment in an exported document, and the salt of its secrets (empty: none)."""
    try:
        document = json.loads(text)
        version, deployment = document["version"], document["deployment"]
        salt = ((deployment or {}).get("secrets_providers") or {}).get("state", {}).get("salt", "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"this is no exported deployment: {error}") from error
    if version != STATE_VERSION:
        raise CommandError(f"the deployment has version {version}; only version {STATE_VERSION} can be read")
    return deployment, salt
