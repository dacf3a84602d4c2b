"""What a case is: a stack as the program declares it, what is different, and why that is unsafe or not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.policies.edits import Edits, edited
from tests.policies.stacks import Declared, Stack, stack


@dataclass(frozen=True, kw_only=True)
class Case:
    """A state of a stack, and the reason in one line."""

    why: str
    base: str
    """One of the configs in stacks.py."""
    edits: Edits = field(default_factory=dict[str, Mapping[str, Any]])
    added: tuple[Declared, ...] = ()
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Options by policy."""

    def stack(self) -> Stack:
        """The resources as a policy pack sees them."""
        return {**edited(stack(self.base), self.edits), **{resource.key: resource for resource in self.added}}


@dataclass(frozen=True, kw_only=True)
class Safe(Case):
    """No policy may object."""


@dataclass(frozen=True, kw_only=True)
class Unsafe(Case):
    """This policy must object, and no other except those in ``also``."""

    policy: str
    also: tuple[str, ...] = ()
    says: str = ""
    """A part of the message."""
