"""The weighted rule, as the load balancer reports it and as Pulumi's state records it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from components.domain.naming import Color
from components.domain.traffic import ColorState


@dataclass(frozen=True, kw_only=True)
class StateRule:
    """The weighted rule in Pulumi's state."""

    urn: str
    weights: Mapping[str, int]
    """By target group ARN."""
    active_color: str
    rollout_serial: int


@dataclass(frozen=True, kw_only=True)
class LiveRule:
    """The weighted rule on the load balancer."""

    arn: str
    weights: Mapping[Color, int]
    target_groups: Mapping[Color, str]
    active_color: Color | None
    keep_until: datetime | None
    """None when the tag is empty, is missing or cannot be read."""
    rollout_serial: int
    rolling_out: bool = False
    colors: Mapping[Color, ColorState] = field(default_factory=dict["Color", ColorState])
    """The state of each colour, if the rule's tags contain it."""
    unreadable_keep_until: str = ""
    """The text of the tag when it cannot be read."""

    def splits(self, green_weight: int) -> bool:
        """Return whether the rule's weights are those of this green weight."""
        return self.weights == {"blue": 100 - green_weight, "green": green_weight}
