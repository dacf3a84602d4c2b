"""What a provider of the rehearsal is: the operations on resources, on plain property trees."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from rehearsal.providers.difference import PLAIN_NAME, Diff
from rehearsal.providers.values import Tree


class ProviderError(Exception):
    """The operation failed; the message is one line for the person at the terminal."""


class NotReadyError(ProviderError):
    """The resource exists, but is not what was asked for yet: it is kept in the state with the reasons.

    ``inputs`` are those that the state corresponds to, when they are not the ones asked for.
    """

    def __init__(self, resource_id: str, state: Tree, reasons: list[str], inputs: Tree | None = None) -> None:
        super().__init__(reasons[0])
        self.resource_id = resource_id
        self.state = state
        self.reasons = reasons
        self.inputs = inputs


@dataclass(frozen=True)
class Resource:
    """Which resource a request is about."""

    urn: str
    id: str = ""

    @property
    def type(self) -> str:
        """Type token, such as ``aws:lb/targetGroup:TargetGroup``."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def name(self) -> str:
        """The logical name in the program."""
        return self.urn.split("::", 3)[3]


@dataclass(frozen=True)
class Failure:
    """An input that cannot be accepted."""

    property: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """Inputs with defaults filled in, and what is wrong with them."""

    inputs: Tree
    failures: list[Failure] = field(default_factory=list[Failure])


class Provider(ABC):
    """One provider's behaviour on plain property trees. Methods may raise ProviderError and block."""

    version: str
    plain_name = PLAIN_NAME
    """Property names that stand without quotes in the paths of a diff."""

    def __init__(self) -> None:
        self.log: Callable[[Literal["info", "warning"], str, str], None] = lambda _level, _message, _urn: None
        self.cancelled = threading.Event()

    @abstractmethod
    def check_config(self, config: Tree) -> Checked:
        """Validate the provider's own configuration; values that are not strings come JSON-encoded."""

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
        """Id and state of the new resource; raises NotReadyError when it exists but is not ready."""

    @abstractmethod
    def read(self, resource: Resource, state: Tree, inputs: Tree) -> tuple[Tree, Tree] | None:
        """Live state and the inputs that correspond to it; None when the resource is gone.

        Raises NotReadyError when it exists but is not ready (any more).
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
