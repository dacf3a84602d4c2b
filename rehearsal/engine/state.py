"""The state of a stack in Pulumi's own deployment format (version 3), in memory and as JSON."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from rehearsal.engine.errors import CommandError
from rehearsal.engine.values import SECRET, SIGNATURE, Properties, Value, transform
from rehearsal.engine.version import ENGINE_VERSION

Encrypt = Callable[[str], str]
Decrypt = Callable[[str], str]


@dataclass(eq=False)
class ResourceState:
    """One resource as it is recorded. Compared by identity: a URN may have an old and a new state at once."""

    urn: str
    type: str
    custom: bool
    delete: bool = False
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    protect: bool = False
    taint: bool = False
    external: bool = False
    dependencies: list[str] = field(default_factory=list)
    init_errors: list[str] = field(default_factory=list)
    provider: str = ""
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    pending_replacement: bool = False
    additional_secret_outputs: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    import_id: str = ""
    retain_on_delete: bool = False
    deleted_with: str = ""
    created: str = ""
    modified: str = ""
    source_position: str = ""
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    resource_hooks: dict[str, list[str]] = field(default_factory=dict)

    def all_dependencies(self) -> set[str]:
        """URNs that must exist before this resource: provider, parent and everything it depends on."""
        urns = {*self.dependencies, *(urn for urns in self.property_dependencies.values() for urn in urns)}
        urns.update(urn for urn in (self.parent, self.deleted_with, self.provider.rpartition("::")[0]) if urn)
        return urns

    def copy(self) -> "ResourceState":
        """A second state with the same fields."""
        return dataclasses.replace(self)


def _json_name(field_name: str) -> str:
    if field_name == "import_id":
        return "importID"
    head, *tail = field_name.split("_")
    return head + "".join(part.capitalize() for part in tail)


_FIRST = ("urn", "custom", "delete", "id", "type")
_FIELDS = {
    name: _json_name(name) for name in dict.fromkeys([*_FIRST, *(f.name for f in dataclasses.fields(ResourceState))])
}
_ALWAYS = {"urn", "custom", "type"}


def now() -> str:
    """The present moment as the state file writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Operation:
    """An operation that was under way when the state was written."""

    resource: ResourceState
    kind: str


@dataclass
class Snapshot:
    """All resources of a stack, dependencies first, and the operations that may not have ended."""

    resources: list[ResourceState] = field(default_factory=list)
    pending: list[Operation] = field(default_factory=list)

    def root(self) -> ResourceState | None:
        """The stack's own resource."""
        return next((r for r in self.resources if r.type == "pulumi:pulumi:Stack" and not r.delete), None)


def serialize_value(value: Value, encrypt: Encrypt) -> Value:
    """Encrypt every secret inside a value."""
    import json

    def change(signed: dict[str, Value]) -> Value | None:
        if signed[SIGNATURE] != SECRET:
            return None
        plain = json.dumps(serialize_value(signed["value"], encrypt), separators=(",", ":"), ensure_ascii=False)
        return {SIGNATURE: SECRET, "ciphertext": encrypt(plain)}

    return transform(value, change)


def deserialize_value(value: Value, decrypt: Decrypt) -> Value:
    """Decrypt every secret inside a value."""
    import json

    def change(signed: dict[str, Value]) -> Value | None:
        if signed[SIGNATURE] != SECRET:
            return None
        plain = str(signed["plaintext"]) if "plaintext" in signed else decrypt(str(signed["ciphertext"]))
        return {SIGNATURE: SECRET, "value": deserialize_value(json.loads(plain), decrypt)}

    return transform(value, change)


def _serialize_resource(resource: ResourceState, encrypt: Encrypt) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, json_name in _FIELDS.items():
        value = getattr(resource, name)
        if name in ("inputs", "outputs"):
            value = serialize_value(dict(sorted(value.items())), encrypt)
        if value or name in _ALWAYS:
            document[json_name] = value
    return document


def _deserialize_resource(document: dict[str, Any], decrypt: Decrypt) -> ResourceState:
    known = {name: document[json_name] for name, json_name in _FIELDS.items() if json_name in document}
    for name in ("inputs", "outputs"):
        if name in known:
            known[name] = deserialize_value(known[name], decrypt)
    known.setdefault("custom", False)
    return ResourceState(**known)


def serialize(snapshot: Snapshot, secrets_provider: dict[str, Any] | None, encrypt: Encrypt) -> dict[str, Any]:
    """Write a deployment document (the part under `deployment` or `latest`)."""
    document: dict[str, Any] = {
        "manifest": {
            "time": now(),
            "magic": hashlib.sha256(ENGINE_VERSION.encode()).hexdigest(),
            "version": ENGINE_VERSION,
        }
    }
    if secrets_provider:
        document["secrets_providers"] = secrets_provider
    if snapshot.resources:
        document["resources"] = [_serialize_resource(resource, encrypt) for resource in snapshot.resources]
    if snapshot.pending:
        document["pending_operations"] = [
            {"resource": _serialize_resource(operation.resource, encrypt), "type": operation.kind}
            for operation in snapshot.pending
        ]
    document["metadata"] = {}
    return document


def deserialize(document: dict[str, Any] | None, decrypt: Decrypt) -> Snapshot:
    """Read a deployment document."""
    document = document or {}
    try:
        return Snapshot(
            [_deserialize_resource(item, decrypt) for item in cast(Iterable[Any], document.get("resources") or [])],
            [
                Operation(_deserialize_resource(item["resource"], decrypt), item["type"])
                for item in cast(Iterable[Any], document.get("pending_operations") or [])
            ],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"the state is damaged: a resource or a pending operation lacks a field: {error}") from error
