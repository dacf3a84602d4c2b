"""All policies of the pack, by topic."""

from types import ModuleType
from typing import Final

from pulumi_policy import Policy

from policies import traffic

TOPICS: Final[tuple[ModuleType, ...]] = (traffic,)

POLICIES: Final[tuple[Policy, ...]] = tuple(
    value for topic in TOPICS for value in vars(topic).values() if isinstance(value, Policy)
)
