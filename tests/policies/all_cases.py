"""All cases, of every topic."""

from importlib import import_module
from typing import Any, Final

from policies.catalogue import TOPICS
from tests.policies.case import Safe, Unsafe

_TOPICS: Final[list[Any]] = [
    import_module(topic.__name__.replace("policies", f"{__package__}.cases")) for topic in TOPICS
]
UNSAFE: Final[tuple[Unsafe, ...]] = tuple(case for topic in _TOPICS for case in topic.UNSAFE)
SAFE: Final[tuple[Safe, ...]] = tuple(case for topic in _TOPICS for case in topic.SAFE)
