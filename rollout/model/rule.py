"""The weighted rule, as the load balancer reports it and as Pulumi's state records it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from components.domain.balancer.traffic import ColorState
from components.domain.capacity.ladder import SharedCapacity, share_at_once
from components.domain.naming import Color, other_color


@dataclass(frozen=True, kw_only=True)
class StateRule:
    """The weighted rule in Pulumi's state."""

    urn: str
    weights: Mapping[str, int]
    """By target group ARN."""
    active_color: str
    rollout_serial: int
    sized: Mapping[Color, tuple[str, ...]] = field(default_factory=dict["Color", tuple[str, ...]])
    """URNs of what depends on a colour's number of replicas: its Deployment and its PodDisruptionBudget."""


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
    capacity: SharedCapacity | None = None
    """The places that both colours share. None when each has places for all of its replicas."""
    unreadable_keep_until: str = ""
    """The text of the tag when it cannot be read."""

    def splits(self, green_weight: int) -> bool:
        """Return whether the rule's weights are those of this green weight."""
        return self.weights == {"blue": 100 - green_weight, "green": green_weight}

    def weight_back(self, to: Color, healthy: Callable[[Color], int], *, starting: bool = False) -> int:
        """Return the green weight that a rollback to a colour may set at once.

        That is all requests, unless the colour has given up replicas: then what the others carry.

        Args:
            to: the colour that gets its requests back.
            healthy: returns how many targets of a colour are healthy. Asked only when it matters.
            starting: whether replicas of the colour may still be starting, although the rule's tag counts them.
        """
        percent, replicas = 100, self.colors[to].replicas if to in self.colors else None
        if self.capacity is not None and replicas is not None and (starting or replicas < self.capacity.replicas):
            percent = share_at_once(
                self.capacity,
                has_percent=self.weights[to],
                healthy=healthy(to),
                others_healthy=healthy(other_color(to)),
            )
        return percent if to == "green" else 100 - percent

    def undoes_promotion(self, now: datetime) -> bool:
        """Return whether a rollback of the promotion has moved traffic, but not the tags: it could not be completed.

        Then another rollback must go on with it, and not send the traffic to the colour that the tags still name. A
        drill in the keep-warm window moves one percent only.
        """
        if self.active_color is None or self.keep_until is None or self.keep_until <= now:
            return False
        share = self.weights[other_color(self.active_color)]
        return share == 100 or (self.capacity is not None and share > 1)


def share_words(color: Color, green_weight: int) -> str:
    """Return how much of the traffic a colour has, as the beginning of a sentence."""
    percent = green_weight if color == "green" else 100 - green_weight
    return "all traffic is" if percent == 100 else f"{percent} % of traffic are"
