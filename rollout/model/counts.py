"""Numbers by name, such as the weights of both colours, as a message shows them."""

from collections.abc import Mapping
from typing import TypeVar

_Name = TypeVar("_Name", bound=str)


def counts_text(counts: Mapping[_Name, int]) -> str:
    """Return numbers by name as words, such as ``blue 75, green 25``."""
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
