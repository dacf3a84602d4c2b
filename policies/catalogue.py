"""All policies of the pack, by topic."""

from types import ModuleType
from typing import Final

from pulumi_policy import Policy

from policies import capacity, exposure, isolation, lifecycle, releases, serving, traffic

TOPICS: Final[tuple[ModuleType, ...]] = (capacity, traffic, lifecycle, serving, releases, isolation, exposure)

POLICIES: Final[tuple[Policy, ...]] = tuple(
    value for topic in TOPICS for value in vars(topic).values() if isinstance(value, Policy)
)
