"""The description of an AWS resource type: its inputs as data, and the calls that create, read, update, delete it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rehearsal.providers.aws.schema import Properties
from rehearsal.providers.values import UNKNOWN, Tree

if TYPE_CHECKING:
    from rehearsal.providers.aws.client import Aws


@dataclass(frozen=True)
class Naming:
    """How a resource gets its physical name: the logical name plus random hex digits, unless the program sets one."""

    property: str = "name"
    prefix_property: str | None = "namePrefix"
    longest: int = 255
    pattern: str | None = None


@dataclass(frozen=True)
class Call:
    """The arguments of an operation."""

    aws: "Aws"
    id: str
    inputs: Tree
    """Create, update: the wanted inputs. Read, delete: the last known state."""
    old: Tree = field(default_factory=dict[str, Any])
    """Update: the old inputs."""
    changed: frozenset[str] = frozenset()
    """Update: the top-level names of changed inputs."""
    timeout_seconds: float | None = None

    def client(self, service: str) -> Any:
        return self.aws.client(service)

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in the provider's account and region."""
        return f"arn:aws:{service}:{self.aws.region}:{self.aws.account_id}:{resource}"

    @property
    def tag_list(self) -> list[dict[str, str]]:
        """Return the tags in the form that most services take."""
        return [{"Key": key, "Value": value} for key, value in self.inputs.get("tags", {}).items()]


@dataclass(frozen=True)
class ResourceType:
    """One type of AWS resource."""

    token: str
    properties: Properties
    outputs: tuple[str, ...]
    """Outputs that AWS decides; unknown until the resource is created."""
    create: Callable[[Call], str]
    """Creates the resource and returns its id. When it raises, nothing may exist."""
    read: Callable[[Call], Tree | None]
    """Returns the outputs, and the live values of the inputs that AWS reports. None when the resource is gone."""
    delete: Callable[[Call], None]
    update: Callable[[Call], None] | None = None
    """Applies the changed inputs except for tags. None when every change replaces the resource."""
    settle: Callable[[Call], None] | None = None
    """Sets or waits for what remains after create. When it raises, the resource exists but is not ready."""
    naming: Naming | None = None
    tag_service: str | None = None
    """The service whose tagging calls apply; None for a type without tags."""
    tag_target: str = "arn"
    """The output that identifies the resource in tagging calls."""
    changing: Callable[[frozenset[str], Tree], tuple[str, ...]] = lambda _changed, _inputs: ()
    """Returns the outputs that an update changes, given the changed inputs' names and the new inputs."""


def preview_outputs(kind: ResourceType, inputs: Tree, resource_id: str) -> Tree:
    """Return the state after a create, as far as it is known in advance."""
    chosen = {name: UNKNOWN for name, prop in kind.properties.items() if prop.computed}
    outputs = dict.fromkeys(kind.outputs, UNKNOWN)
    tags = {"tagsAll": inputs.get("tags", {})} if kind.tag_service else {}
    return {**chosen, **outputs, **without_marks(inputs), **tags, "id": resource_id or UNKNOWN}


def outputs(inputs: Tree, live: Tree, resource_id: str, default_tags: Mapping[str, str]) -> Tree:
    """Return the state: the inputs, overlaid with AWS's values."""
    state = {**without_marks(inputs), **{name: value for name, value in live.items() if value is not None}}
    if "tags" in live:
        state["tagsAll"] = dict(live["tags"])
        state["tags"] = dict(live["tags"])
        for key, value in default_tags.items():
            if state["tags"].get(key) == value and key not in inputs.get("tags", {}):
                del state["tags"][key]
    return {**state, "id": resource_id}


def without_marks(value: Any) -> Any:
    """Return a value without the inputs' book-keeping."""
    if isinstance(value, dict):
        tree: Tree = value
        return {key: without_marks(item) for key, item in tree.items() if not key.startswith("__")}
    return [without_marks(item) for item in value] if isinstance(value, list) else value


def tags_of(tag_list: list[dict[str, str]]) -> dict[str, str]:
    """Return the tags that a person or a program set, from the form that most services return."""
    return {tag["Key"]: tag["Value"] for tag in tag_list if not tag["Key"].startswith("aws:")}


def to_api(value: Any) -> Any:
    """Return a tree in AWS's spelling, without book-keeping: ``httpTokens`` becomes ``HttpTokens``."""
    if isinstance(value, dict):
        tree: Tree = value
        return {key[:1].upper() + key[1:]: to_api(item) for key, item in tree.items() if not key.startswith("__")}
    return [to_api(item) for item in value] if isinstance(value, list) else value


def from_api(value: Any) -> Any:
    """Reverse to_api."""
    if isinstance(value, dict):
        tree: Tree = value
        return {key[:1].lower() + key[1:]: from_api(item) for key, item in tree.items()}
    return [from_api(item) for item in value] if isinstance(value, list) else value
