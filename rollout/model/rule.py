"""The weighted rule, as the load balancer reports it and as Pulumi's state records it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from components.domain.balancer.traffic import ColorState
from components.domain.capacity.ladder import SharedCapacity, share_at_once
from components.domain.naming import Color, other_color
from rollout.model.counts import counts_text


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Where new requests go: the weight, and for each cohort whether it goes to the candidate or to the active colour.

    A cohort has a rule of its own before the weighted one, so the weight does not matter to it.
    """

    green_weight: int
    active_color: Color
    cohorts_on_candidate: frozenset[str] = frozenset()

    def color_of(self, cohort: str) -> Color:
        """Return the colour that a cohort's requests go to."""
        return other_color(self.active_color) if cohort in self.cohorts_on_candidate else self.active_color

    def green_weight_of(self, cohort: str) -> int:
        """Return the green weight of a cohort's own rule."""
        return 100 if self.color_of(cohort) == "green" else 0

    def __str__(self) -> str:
        cohorts = ", ".join(sorted(self.cohorts_on_candidate))
        return f"green_weight {self.green_weight}" + (f" with {cohorts} on the candidate" if cohorts else "")


@dataclass(frozen=True, kw_only=True)
class ListenerRules:
    """The rules that a listener has, whoever's they are, without default rules."""

    priorities: frozenset[int]
    on_load_balancer: int
    """How many all listeners of the load balancer have together."""


@dataclass(frozen=True, kw_only=True)
class StateCohort:
    """A cohort's rule in Pulumi's state."""

    urn: str
    weights: Mapping[str, int]
    """By target group ARN."""


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
    nodes: Mapping[Color, str] = field(default_factory=dict["Color", str])
    """URN of a colour's node group."""
    cohorts: Mapping[str, StateCohort] = field(default_factory=dict[str, StateCohort])
    """The cohorts' rules, by cohort."""

    @property
    def urns(self) -> tuple[str, ...]:
        """The URNs of all rules that say where clients' requests go, the weighted one first."""
        return (self.urn, *(cohort.urn for cohort in self.cohorts.values()))


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
    cohorts: Mapping[str, int] = field(default_factory=dict[str, int])
    """The green weight of each cohort's own rule: 0 or 100, if nobody else has changed it."""
    tagged_cohorts: Mapping[str, Color] = field(default_factory=dict[str, Color])
    """Where the cohorts' requests go by the weighted rule's tag, which a direct update does not change."""

    def splits(self, green_weight: int) -> bool:
        """Return whether the rule's weights are those of this green weight."""
        return self.weights == {"blue": 100 - green_weight, "green": green_weight}

    def follows(self, routing: Routing) -> bool:
        """Return whether the weights and every cohort's rule are as this routing says."""
        return (
            self.splits(routing.green_weight)
            and routing.cohorts_on_candidate <= self.cohorts.keys()
            and all(weight == routing.green_weight_of(cohort) for cohort, weight in self.cohorts.items())
        )

    def serves(self, color: Color) -> bool:
        """Return whether clients' requests go to a colour: by its weight, or because a cohort's rule leads to it."""
        return bool(self.weights[color]) or bool(self.cohorts_on(color))

    def cohorts_on(self, color: Color) -> tuple[str, ...]:
        """Return the cohorts of which a colour gets requests."""
        none_of_it = 0 if color == "green" else 100
        return tuple(cohort for cohort, weight in self.cohorts.items() if weight != none_of_it)

    def share_text(self, color: Color) -> str:
        """Return what a colour gets: its weight, and its cohorts if it has some."""
        cohorts = ", ".join(self.cohorts_on(color))
        return f"weight {self.weights[color]}" + (f" and the cohorts {cohorts}" if cohorts else "")

    def __str__(self) -> str:
        cohorts = (
            f"{cohort} to {'green' if weight else 'blue'}" if weight in (0, 100) else f"{cohort} to green by {weight} %"
            for cohort, weight in self.cohorts.items()
        )
        sends = ", ".join(cohorts)
        return f"splits {counts_text(self.weights)}" + (f" and sends {sends}" if sends else "")

    def weight_back(self, to: Color, healthy: Callable[[Color], int], *, starting: bool | None = None) -> int:
        """Return the green weight that a rollback to a colour may set at once.

        That is all requests, unless the colour has given up replicas: then what its remaining replicas carry.

        Args:
            to: the colour that gets its requests back.
            healthy: returns how many targets of a colour are healthy. Asked only when it matters.
            starting: whether replicas of the colour may still be starting, although the rule's tag counts them. None
                when only the tag says it.
        """
        percent, state = 100, self.colors.get(to)
        if state is not None and starting is None:
            starting = state.starting
        if self.capacity is not None and state is not None and (starting or state.replicas < self.capacity.replicas):
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
        idle = other_color(self.active_color)
        share = self.weights[idle]
        # The cohorts go back first, and only a direct update sends them where the tag does not say.
        cohorts = any(self.tagged_cohorts.get(cohort, idle) != idle for cohort in self.cohorts_on(idle))
        return share == 100 or cohorts or (self.capacity is not None and share > 1)


def share_words(color: Color, green_weight: int) -> str:
    """Return how much of the traffic a colour has, as the beginning of a sentence."""
    percent = green_weight if color == "green" else 100 - green_weight
    return "all traffic is" if percent == 100 else f"{percent} % of traffic are"
