"""What one AWS resource type is: its inputs as data, and the calls that create, read, update and delete it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rehearsal.providers.aws.schema import Properties
from rehearsal.providers.values import UNKNOWN, Tree

if TYPE_CHECKING:
    from rehearsal.providers.aws.client import Aws


@dataclass(frozen=True)
class Naming:
    """How a resource gets its physical name: the logical one and random hex digits, unless the program gives it."""

    property: str = "name"
    prefix_property: str | None = "namePrefix"
    longest: int = 255
    pattern: str | None = None


@dataclass(frozen=True)
class Call:
    """What an operation works with."""

    aws: "Aws"
    id: str
    inputs: Tree
    """The wanted inputs (create, update) or the last ones known (read, delete: the state)."""
    old: Tree = field(default_factory=dict[str, Any])
    """Update: the inputs before."""
    changed: frozenset[str] = frozenset()
    """Update: top-level names of the inputs that differ."""
    timeout_seconds: float | None = None

    def client(self, service: str) -> Any:
        return self.aws.client(service)

    def arn(self, service: str, resource: str) -> str:
        """ARN of something in the provider's account and region."""
        return f"arn:aws:{service}:{self.aws.region}:{self.aws.account_id}:{resource}"

    @property
    def tag_list(self) -> list[dict[str, str]]:
        """The tags as most services take them."""
        return [{"Key": key, "Value": value} for key, value in self.inputs.get("tags", {}).items()]


@dataclass(frozen=True)
class ResourceType:
    """One type of AWS resource."""

    token: str
    properties: Properties
    outputs: tuple[str, ...]
    """What AWS decides: unknown until the resource is created."""
    create: Callable[[Call], str]
    """Create and return the id; nothing may exist when this raises."""
    read: Callable[[Call], Tree | None]
    """Outputs and live values of the inputs, those of them that AWS reports; None when it is gone."""
    delete: Callable[[Call], None]
    update: Callable[[Call], None] | None = None
    """Bring the changed inputs other than tags into effect; None when every change takes a new resource."""
    settle: Callable[[Call], None] | None = None
    """After create: what remains to be set or waited for. When it fails the resource exists, but is not ready."""
    naming: Naming | None = None
    tag_service: str | None = None
    """Whose tagging calls to use; None for a type without tags."""
    tag_target: str = "arn"
    """Output that names the resource in tagging calls."""
    changing: Callable[[frozenset[str], Tree], tuple[str, ...]] = lambda _changed, _inputs: ()
    """Outputs that an update changes, by the names of the changed inputs and the new inputs."""


def preview_outputs(kind: ResourceType, inputs: Tree, resource_id: str) -> Tree:
    """State that a create is going to give, as far as it can be known before."""
    chosen = {name: UNKNOWN for name, prop in kind.properties.items() if prop.computed}
    outputs = dict.fromkeys(kind.outputs, UNKNOWN)
    tags = {"tagsAll": inputs.get("tags", {})} if kind.tag_service else {}
    return {**chosen, **outputs, **without_marks(inputs), **tags, "id": resource_id or UNKNOWN}


def outputs(inputs: Tree, live: Tree, resource_id: str, default_tags: Mapping[str, str]) -> Tree:
    """State: the inputs, overlaid with what AWS says."""
    state = {**without_marks(inputs), **{name: value for name, value in live.items() if value is not None}}
    if "tags" in live:
        state["tagsAll"] = dict(live["tags"])
        state["tags"] = dict(live["tags"])
        for key, value in default_tags.items():
            if state["tags"].get(key) == value and key not in inputs.get("tags", {}):
                del state["tags"][key]
    return {**state, "id": resource_id}


def without_marks(value: Any) -> Any:
    """A value without the book-keeping that inputs have in them."""
    if isinstance(value, dict):
        tree: Tree = value
        return {key: without_marks(item) for key, item in tree.items() if not key.startswith("__")}
    return [without_marks(item) for item in value] if isinstance(value, list) else value


def tags_of(tag_list: list[dict[str, str]]) -> dict[str, str]:
    """Tags that a person or a program set, from the form most services give them in."""
    return {tag["Key"]: tag["Value"] for tag in tag_list if not tag["Key"].startswith("aws:")}


def to_api(value: Any) -> Any:
    """A tree in AWS's spelling: ``httpTokens`` becomes ``HttpTokens``; book-keeping is left out."""
    if isinstance(value, dict):
        tree: Tree = value
        return {key[:1].upper() + key[1:]: to_api(item) for key, item in tree.items() if not key.startswith("__")}
    return [to_api(item) for item in value] if isinstance(value, list) else value


def from_api(value: Any) -> Any:
    """The reverse of to_api."""
    if isinstance(value, dict):
        tree: Tree = value
        return {key[:1].lower() + key[1:]: from_api(item) for key, item in tree.items()}
    return [from_api(item) for item in value] if isinstance(value, list) else value
