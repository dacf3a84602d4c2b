"""What all models of the config have in common: they take values as they are, and know every key."""

from typing import Annotated, Final, TypeVar

from pydantic import ConfigDict, Strict

_Item = TypeVar("_Item")

STRICT: Final = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

# A list of the config becomes a tuple, which nobody can change; its items are as strict as everything else.
Items = Annotated[tuple[_Item, ...], Strict(False)]
