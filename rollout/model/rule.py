"""The weighted rule, as the load balancer has it and as Pulumi's state has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.domain.naming import Color
from components.domain.traffic import ColorState


@dataclass(frozen=True, kw_only=True)
class StateRule:
    """The weighted rule as Pulumi's state has it."""

    urn: str
    weights: Mapping[str, int]
    """By target group ARN."""
    active_color: str
    rollout_serial: int


@dataclass(frozen=True, kw_only=True)
class LiveRule:
    """The weighted rule as the load balancer has it."""

    arn: str
    weights: Mapping[Color, int]
    target_groups: Mapping[Color, str]
    active_color: Color | None
    keep_until: str
    rollout_serial: int
    rolling_out: bool = False
    colors: Mapping[Color, ColorState] = field(default_factory=dict["Color", ColorState])
    """What the colours are, as far as the rule says it."""

    def splits(self, green_weight: int) -> bool:
        """Tell whether the rule splits traffic as this green weight means."""
        return self.weights == {"blue": 100 - green_weight, "green": green_weight}
