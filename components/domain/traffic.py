"""Who gets a service's requests: the weights, and what the weighted rule says about them in its tags.

The rule says it all, so that whoever has nothing but the rule can judge it: scripts without Pulumi's state, policies
that are shown one resource at a time, and a person who looks at it in AWS.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from components.domain.naming import (
    ACTIVE_COLOR_KEY,
    ANNOUNCED_KEY,
    KEEP_UNTIL_KEY,
    ROLLING_OUT_KEY,
    ROLLOUT_SERIAL_KEY,
    Color,
    color_state_key,
    other_color,
)

_UNUSED = "unused"
_STATE = re.compile(r"(?P<release>[0-9a-f]+) (?:x(?P<replicas>[1-9][0-9]*)|parked)")


@dataclass(frozen=True, kw_only=True)
class ColorState:
    """What a colour is: its release, if it ever had one, and how many replicas of it run."""

    release_id: str | None = None
    replicas: int = 0

    def __str__(self) -> str:
        """Return the text of the tag, such as ``0a1b2c3d4e5f x4``."""
        if self.release_id is None:
            return _UNUSED
        return f"{self.release_id} x{self.replicas}" if self.replicas else f"{self.release_id} parked"

    @classmethod
    def parse(cls, text: str) -> "ColorState | None":
        """Read the text of a tag; none when it is not one of ours."""
        if text == _UNUSED:
            return cls()
        found = _STATE.fullmatch(text)
        return None if found is None else cls(release_id=found["release"], replicas=int(found["replicas"] or 0))


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Who gets the new requests (in percent), and what goes with it; only the weighted rule has these.

    ``announced_serial`` is the serial that an announcement permits changes at; empty: none does.
    """

    weights: Mapping[Color, int]
    active_color: Color
    keep_until: str
    rollout_serial: int
    rolling_out: bool = False
    announced_serial: str = ""
    colors: Mapping[Color, ColorState] = field(default_factory=dict["Color", ColorState])

    @property
    def idle_color(self) -> Color:
        """The colour that is not promoted."""
        return other_color(self.active_color)

    def tags(self) -> dict[str, str]:
        """Return what the weighted rule carries."""
        return {
            ACTIVE_COLOR_KEY: self.active_color,
            KEEP_UNTIL_KEY: self.keep_until,
            ROLLOUT_SERIAL_KEY: str(self.rollout_serial),
            ROLLING_OUT_KEY: str(self.rolling_out).lower(),
            ANNOUNCED_KEY: self.announced_serial,
            **{color_state_key(color): str(state) for color, state in self.colors.items()},
        }
