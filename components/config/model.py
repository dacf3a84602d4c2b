"""What all models of the config share: they convert no values and refuse unknown keys."""

from typing import Annotated, Final, TypeVar

from pydantic import ConfigDict, Strict

_Item = TypeVar("_Item")

STRICT: Final = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

# A list in the config becomes an immutable tuple; its items stay strict.
Items = Annotated[tuple[_Item, ...], Strict(False)]
