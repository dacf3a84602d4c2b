"""All cases, of every topic."""

from typing import Final

from tests.policies.case import Safe, Unsafe
from tests.policies.cases import capacity, exposure, isolation, lifecycle, release, serving, traffic

TOPICS: Final = (capacity, traffic, lifecycle, serving, release, isolation, exposure)
UNSAFE: Final[tuple[Unsafe, ...]] = tuple(case for topic in TOPICS for case in topic.UNSAFE)
SAFE: Final[tuple[Safe, ...]] = tuple(case for topic in TOPICS for case in topic.SAFE)
