"""Which colour gets a service's requests: the weights, and the tags with which the weighted rule explains them.

The rule describes the traffic completely. So it can be checked by those that see only the rule: scripts without
Pulumi's state, policies that see one resource at a time, and people who look at it in AWS.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from components.domain.capacity.ladder import SharedCapacity
from components.domain.moments import format_or_empty
from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    ANNOUNCED_KEY,
    COHORTS_KEY,
    COLORS,
    EVIDENCE_KEY,
    KEEP_UNTIL_KEY,
    ROLLING_OUT_KEY,
    ROLLOUT_SERIAL_KEY,
    SHARED_CAPACITY_KEY,
    Color,
    color_state_key,
    other_color,
)

_UNUSED = "unused"
_STATE = re.compile(r"(?P<release>[0-9a-f]+) (?:x(?P<replicas>[1-9][0-9]*)(?P<starting> starting)?|parked)")


@dataclass(frozen=True, kw_only=True)
class ColorState:
    """A colour's release, if it ever had one, and its running replicas."""

    release_id: str | None = None
    replicas: int = 0
    starting: bool = field(default=False, compare=False)
    """Whether some of these replicas are only on their way: in the last wave of a rollback."""

    def __str__(self) -> str:
        """Return the text of the tag, such as ``0a1b2c3d4e5f x4``."""
        if self.release_id is None:
            return _UNUSED
        if not self.replicas:
            return f"{self.release_id} parked"
        return f"{self.release_id} x{self.replicas}{' starting' if self.starting else ''}"

    @classmethod
    def parse(cls, text: str) -> "ColorState | None":
        """Return the state that a tag's text describes; None when the text has another format."""
        if text == _UNUSED:
            return cls()
        found = _STATE.fullmatch(text)
        if found is None:
            return None
        return cls(
            release_id=found["release"], replicas=int(found["replicas"] or 0), starting=found["starting"] is not None
        )


def cohorts_text(cohorts: Mapping[str, Color]) -> str:
    """Return the text of the tag that says where each cohort's requests go, such as ``friends:green partners:blue``."""
    return " ".join(f"{name}:{color}" for name, color in cohorts.items())


def parse_cohorts(text: str) -> dict[str, Color]:
    """Return what a tag's text says of each cohort; what has another format is left out."""
    parts = (one.partition(":") for one in text.split())
    return {name: color for name, _, color in parts if name and color in COLORS}


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """The weights of new requests, in percent, and what the weighted rule's tags say with them.

    ``keep_until`` is None when there is no keep-warm window, or when the rule's tag for it cannot be read.
    ``announced_serial`` is the serial at which an announcement permits changes; empty when there is no announcement.
    ``evidence`` names the evidence bundle behind the weights; empty when there is none.
    ``cohorts`` says to which colour each cohort's requests go, whatever the weights.
    ``capacity`` is None when each colour has places for all of its replicas (every headroom mode but ``surge``).
    """

    weights: Mapping[Color, int]
    active_color: Color
    keep_until: datetime | None
    rollout_serial: int
    rolling_out: bool = False
    announced_serial: str = ""
    evidence: str = ""
    colors: Mapping[Color, ColorState] = field(default_factory=dict["Color", ColorState])
    capacity: SharedCapacity | None = None
    cohorts: Mapping[str, Color] = field(default_factory=dict["str", Color])

    @property
    def idle_color(self) -> Color:
        """The colour that is not promoted."""
        return other_color(self.active_color)

    def cohorts_on(self, color: Color) -> tuple[str, ...]:
        """Return the cohorts whose requests go to a colour."""
        return tuple(name for name, goes_to in self.cohorts.items() if goes_to == color)

    def serves(self, color: Color) -> bool:
        """Return whether clients' requests go to a colour: by its weight, or because a cohort is on it."""
        return bool(self.weights.get(color)) or color in self.cohorts.values()

    def tags(self) -> dict[str, str]:
        """Return the tags of the weighted rule."""
        return {
            ACTIVE_COLOR_KEY: self.active_color,
            KEEP_UNTIL_KEY: format_or_empty(self.keep_until),
            ROLLOUT_SERIAL_KEY: str(self.rollout_serial),
            ROLLING_OUT_KEY: str(self.rolling_out).lower(),
            ANNOUNCED_KEY: self.announced_serial,
            **({EVIDENCE_KEY: self.evidence} if self.evidence else {}),
            **{color_state_key(color): str(state) for color, state in self.colors.items()},
            **({} if self.capacity is None else {SHARED_CAPACITY_KEY: str(self.capacity)}),
            **({COHORTS_KEY: cohorts_text(self.cohorts)} if self.cohorts else {}),
        }
