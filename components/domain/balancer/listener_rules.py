"""A service's rules on its listener: their priorities, their limits, and whether two of them match a request. Pure.

The limits are those of Application Load Balancers.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_HttpHeaderConditionConfig.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from components.domain.naming import COLORS, Color

MAX_CONDITION_VALUES: Final = 5
"""The most values of all conditions of one rule together."""
MAX_CONDITION_WILDCARDS: Final = 5
"""The most wildcards of all conditions of one rule together."""
MAX_VALUE_CHARACTERS: Final = 128
MAX_HEADER_CHARACTERS: Final = 40
RULES_GUIDE: Final = "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html"
MAX_RULES: Final = 100
"""The most rules of one load balancer, default rules not counted, unless AWS has raised the quota."""
MAX_COHORTS: Final = 10
"""The most cohorts of a service: the weighted rule's tag, of at most 256 characters, says where each of them is.

https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
"""
MAX_NAME_CHARACTERS: Final = 16

WILDCARDS: Final = "*?"


@dataclass(frozen=True, kw_only=True)
class RulePriorities:
    """The priorities of a service's rules, without those of cohorts. The lowest number comes first."""

    weighted: int
    candidate: Mapping[Color, int]

    @property
    def candidates(self) -> tuple[int, ...]:
        """The priorities of the candidate routes."""
        return tuple(self.candidate[color] for color in COLORS)


OWN_PRIORITIES: Final = RulePriorities(weighted=100, candidate={"blue": 10, "green": 11})
"""On the service's own load balancer."""


def wildcards_in(value: str) -> int:
    """Return how many wildcards a condition's value has."""
    return sum(value.count(one) for one in WILDCARDS)


def overlap(one: str, other: str) -> bool:
    """Return whether two values of a header condition match a common text. Load balancers ignore case.

    ``*`` matches any characters, also none, and ``?`` exactly one.
    """
    first, second = one.lower(), other.lower()

    @cache
    def meet(i: int, j: int) -> bool:
        left, right = first[i : i + 1], second[j : j + 1]
        if left == "*":
            return meet(i + 1, j) or (bool(right) and meet(i, j + 1))
        if right == "*":
            return meet(i, j + 1) or (bool(left) and meet(i + 1, j))
        if not left or not right:
            return left == right
        return (left == right or "?" in (left, right)) and meet(i + 1, j + 1)

    return meet(0, 0)
