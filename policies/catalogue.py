"""All policies of the pack, by topic. ``python -m policies.catalogue`` prints them; ``--markdown`` prints the guide."""

import argparse
from types import ModuleType
from typing import Final

from pulumi_policy import EnforcementLevel

from policies import capacity, exposure, guide, isolation, lifecycle, release, serving, traffic
from policies.policy import ResourcePolicy, ServicePolicy

TOPICS: Final[tuple[ModuleType, ...]] = (capacity, traffic, lifecycle, serving, release, isolation, exposure)

LEVEL: Final = EnforcementLevel.MANDATORY
"""The default enforcement level of every policy."""


def policies_of(topic: ModuleType) -> tuple[ResourcePolicy | ServicePolicy, ...]:
    """Return a topic's policies in the order of its module."""
    return tuple(value for value in vars(topic).values() if isinstance(value, ResourcePolicy | ServicePolicy))


POLICIES: Final[tuple[ResourcePolicy | ServicePolicy, ...]] = tuple(
    policy for topic in TOPICS for policy in policies_of(topic)
)


def main() -> None:
    """Print the catalogue."""
    parser = argparse.ArgumentParser(prog="python -m policies.catalogue", description="Describe every policy.")
    parser.add_argument("--markdown", action="store_true", help=f"print the guide, which is {guide.PLACE}")
    topics = {topic.__name__.rpartition(".")[2]: (topic.__doc__ or "", policies_of(topic)) for topic in TOPICS}
    print(guide.page(topics, LEVEL) if parser.parse_args().markdown else guide.text(topics, LEVEL), end="")


if __name__ == "__main__":
    main()
