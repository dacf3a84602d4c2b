"""What the watch saw of the promoted colour: one look, and all of them since the promotion."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Source = Literal["pods", "load_balancer"]
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Look(BaseModel):
    """What one source counted, from the end of its look before on."""

    model_config = _FROZEN

    source: Source
    start: datetime
    end: datetime
    counts: Mapping[str, tuple[int, int]]
    """By gate: how many were beyond its limit, of how many. A gate without data is absent."""
    slices: Mapping[str, Mapping[str, Mapping[str, tuple[int, int]]]] = {}
    """The same of each slice, by gate, label and value."""


class Watched(BaseModel):
    """All looks since a promotion, oldest first, and what people have been told."""

    model_config = _FROZEN

    looks: tuple[Look, ...] = ()
    told: tuple[str, ...] = ()
    """The problems that the last look found and sent. They are sent again only after they were gone."""

    def looked_until(self, source: Source) -> datetime | None:
        """Return the end of a source's last look. None when there was none."""
        return next((one.end for one in reversed(self.looks) if one.source == source), None)
