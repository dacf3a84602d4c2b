"""Who gets a service's requests: the weights, and what the scripts note about them on the weighted rule."""

from collections.abc import Mapping
from dataclasses import dataclass

from components.naming import ACTIVE_COLOR_KEY, KEEP_UNTIL_KEY, ROLLOUT_SERIAL_KEY, Color, other_color


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Who gets the new requests (in percent), and what the scripts note about it; only the weighted rule has these."""

    weights: Mapping[Color, int]
    active_color: Color
    keep_until: str
    rollout_serial: int

    @property
    def idle_color(self) -> Color:
        """The colour that is not promoted."""
        return other_color(self.active_color)

    def tags(self) -> dict[str, str]:
        """Return what the weighted rule carries, so that scripts know the promoted colour without Pulumi's state."""
        return {
            ACTIVE_COLOR_KEY: self.active_color,
            KEEP_UNTIL_KEY: self.keep_until,
            ROLLOUT_SERIAL_KEY: str(self.rollout_serial),
        }
