"""What an attestation must prove of a step: which shares of the requests were counted before, and must be counted now.

Pure. The load balancer counts requests by target group, and not by rule. So the requests of cohorts are counted
together with those that follow the weight. Cohorts go to the candidate before any weight does. What follows from that:

- The first cohort: every client's request on the candidate is its own. So its requests must be seen, and the gates
  judge them alone.
- Another cohort: how much it sends is not known, and the first one's share varies. Its rule is read, and no more.
- A weight, while all cohorts are on the candidate: the requests that no cohort sends follow the weight. The
  candidate's share before the step is counted, and from that follows the share after it. The cohorts' share varies by
  itself, so the test allows for that, and a step that is smaller cannot be seen: its rule is read, and no more.
- A weight, while all cohorts are on the other colour (a drill): their requests do not follow it. The test allows for
  that, too.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from components.domain.naming import Color
from rollout.model.plan import FULL_PERCENT, Plan
from rollout.model.rule import Routing

VISIBLE_POINTS: Final = 5.0
"""The smallest change of the share that is looked for while the cohorts' share varies, in percentage points."""
VISIBLE_POINTS_AT_THE_END: Final = 1.0
"""The same where the candidate gets all requests: then no share varies any more."""
COHORT_TOLERANCE: Final = 2 / 3
"""How far the share may be from the expected one while cohorts are on the candidate, as a part of the change."""


STANDARD_ERRORS: Final = 4.0
"""How many standard errors of the share that was counted before a visible change must have."""


@dataclass(frozen=True, kw_only=True)
class CountedShare:
    """The candidate's share of the clients' requests in a window."""

    percent: float
    requests: int

    @property
    def error_points(self) -> float:
        """The standard error of the share, in percentage points."""
        return (self.percent * (FULL_PERCENT - self.percent) / self.requests) ** 0.5


class Proof(StrEnum):
    """What shows that a step is in effect."""

    SPLIT = "split"
    """The counts follow the intended split, and no longer the one before."""
    SHARE = "share"
    """The candidate's share has moved by about as much as the weight says; a cohort's share adds to it and varies."""
    COHORT = "cohort"
    """Clients' requests reach the candidate, which got none before."""
    RULES = "rules"
    """The rules read as intended. The counts cannot show it."""


@dataclass(frozen=True, kw_only=True)
class RoutingChange:
    """A requested change of the weight, or of a cohort's rule."""

    candidate: Color
    name: str
    """How people call the step."""
    routing: Routing
    previous_percent: float
    """The candidate's share of all requests before the change."""
    intended_percent: float
    """The same afterwards."""
    proof: Proof
    since: datetime
    """When the rules were changed. Counts from before are not evidence."""
    cohort: str = ""


def share_after(counted_percent: float, *, former_weight: int, weight: int) -> float:
    """Return the candidate's share of all requests after a change of its weight, from the one counted before.

    Both are shares of the requests that no cohort sends, so the outgoing colour's share changes as its weight does.

    Raises:
        ValueError: the outgoing colour had no weight before.
    """
    if former_weight >= FULL_PERCENT:
        raise ValueError("the candidate has all the weight already")
    return FULL_PERCENT - (FULL_PERCENT - counted_percent) * (FULL_PERCENT - weight) / (FULL_PERCENT - former_weight)


def change_of(plan: Plan, step: int, *, since: datetime, counted: CountedShare | None) -> RoutingChange:
    """Return what must be proven of a step.

    Args:
        plan: the plan.
        step: the step.
        since: when the rules were changed.
        counted: the candidate's share of the requests just before. None when it is not known; without cohorts it is
            not needed.
    """
    taken = plan.steps[step]
    former = plan.steps[step - 1] if step else None
    weight, former_weight = taken.candidate_percent, former.candidate_percent if former else 0
    before, after, proof = float(former_weight), float(weight), Proof.SPLIT
    if taken.cohort:
        proof = Proof.RULES if former and former.cohorts_on_candidate else Proof.COHORT
    elif taken.cohorts_on_candidate:
        proof = Proof.RULES
        if counted is not None:
            before = counted.percent
            after = share_after(before, former_weight=former_weight, weight=weight)
            visible = max(VISIBLE_POINTS, STANDARD_ERRORS * counted.error_points)
            visible = VISIBLE_POINTS_AT_THE_END if weight == FULL_PERCENT else visible
            proof = Proof.SHARE if after - before >= visible else Proof.RULES
        elif weight == FULL_PERCENT:
            proof = Proof.SHARE  # whatever the cohorts' share is
    return RoutingChange(
        candidate=plan.candidate,
        name=taken.name,
        routing=plan.routing_of(step),
        previous_percent=before,
        intended_percent=after,
        proof=proof,
        since=since,
        cohort=taken.cohort,
    )
