"""The interface of the rehearsal's providers: operations on resources, with plain property trees."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from rehearsal.providers.difference import PLAIN_NAME, Diff
from rehearsal.providers.values import Tree


class ProviderError(Exception):
    """The operation failed. The message is one line for the person at the terminal."""


class NotReadyError(ProviderError):
    """The resource exists but is not ready yet. It stays in the state with the reasons.

    ``inputs`` are the inputs that match the state, when they differ from the wanted ones.
    """

    def __init__(self, resource_id: str, state: Tree, reasons: list[str], inputs: Tree | None = None) -> None:
        super().__init__(reasons[0])
        self.resource_id = resource_id
        self.state = state
        self.reasons = reasons
        self.inputs = inputs


@dataclass(frozen=True)
class Resource:
    """The resource of a request."""

    urn: str
    id: str = ""
    ignore_changes: tuple[str, ...] = ()
    """The property paths whose changes the program ignores."""

    @property
    def type(self) -> str:
        """The type token, such as ``aws:lb/targetGroup:TargetGroup``."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def name(self) -> str:
        """The logical name in the program."""
        return self.urn.split("::", 3)[3]


@dataclass(frozen=True)
class Failure:
    """An input that is not accepted, and why."""

    property: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """Inputs with defaults filled in, and their failures."""

    inputs: Tree
    failures: list[Failure] = field(default_factory=list[Failure])


class Provider(ABC):
    """A provider on plain property trees. Methods may block and raise ProviderError."""

    version: str
    plain_name = PLAIN_NAME
    """Property names that are not quoted in the paths of a diff."""

    def __init__(self) -> None:
        self.log: Callable[[Literal["info", "warning"], str, str], None] = lambda _level, _message, _urn: None
        self.cancelled = threading.Event()

    @abstractmethod
    def check_config(self, config: Tree) -> Checked:
        """Validate the provider's own configuration. Values that are not strings are JSON-encoded."""

    @abstractmethod
    def configure(self, config: Tree) -> None: ...

    @abstractmethod
    def check(self, resource: Resource, old: Tree, new: Tree, seed: bytes) -> Checked: ...

    @abstractmethod
    def diff(self, resource: Resource, old_inputs: Tree, old_state: Tree, new: Tree) -> Diff: ...

    @abstractmethod
    def create(
        self, resource: Resource, inputs: Tree, *, preview: bool, timeout_seconds: float | None
    ) -> tuple[str, Tree]:
        """Create a resource and return its id and state. Raises NotReadyError when it exists but is not ready."""

    @abstractmethod
    def read(self, resource: Resource, state: Tree, inputs: Tree) -> tuple[Tree, Tree] | None:
        """Return the live state and the inputs that match it, None when the resource is gone.

        Raises NotReadyError when the resource exists but is not, or no longer, ready.
        """

    @abstractmethod
    def update(
        self,
        resource: Resource,
        old_inputs: Tree,
        old_state: Tree,
        new: Tree,
        *,
        preview: bool,
        timeout_seconds: float | None,
    ) -> Tree: ...

    @abstractmethod
    def delete(self, resource: Resource, state: Tree, *, timeout_seconds: float | None) -> None: ...
