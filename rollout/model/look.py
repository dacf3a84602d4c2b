"""What the watch has counted of the promoted colour: one look, and all of them since the promotion."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Source = Literal["pods", "load_balancer"]
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Look(BaseModel):
    """What one source has counted since its previous look."""

    model_config = _FROZEN

    source: Source
    start: datetime
    end: datetime
    counts: Mapping[str, tuple[int, int]]
    """By gate: how many were beyond its limit, of how many. A gate without data is absent."""
    slices: Mapping[str, Mapping[str, Mapping[str, tuple[int, int]]]] = {}
    """The same of each slice, by gate, label and value."""


class WatchState(BaseModel):
    """All looks since a promotion, oldest first, and the problems that were sent as notifications."""

    model_config = _FROZEN

    looks: tuple[Look, ...] = ()
    notified: tuple[str, ...] = ()
    """The problems that the last look found. A problem is sent once, and again only after it was gone."""

    def looked_until(self, source: Source) -> datetime | None:
        """Return the end of a source's last look. None when there was none."""
        return next((one.end for one in reversed(self.looks) if one.source == source), None)
