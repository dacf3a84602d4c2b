"""Failures that both colours' pods count and the load balancer does not. Pure.

Some versions of vLLM count a client's error as a 5xx answer in ``http_requests_total``, although they answer 400
(https://github.com/vllm-project/vllm/pull/44303), and a version may count a client that hangs up as an aborted
generation (https://github.com/vllm-project/vllm/pull/55837). Users who make such mistakes make them on both colours.
So a kind of failure is disputed if the pods of both colours count it and the load balancer, which sees the answers
themselves, does not. A disputed failure says nothing about the candidate, so no limit applies to it. It still counts in
the test against the active colour: there it cancels out, unless the candidate has more of it.

While the load balancer has counted too little to say so, the failures are unsettled. Its counts come a few minutes
late, and what fails on both colours is not made better by a rollback.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from rollout.statistics.measurements import Sample

FEWEST: Final = 3
"""A kind of failure with fewer cases on one of the colours is not disputed: it does not occur on both."""
CHANCE: Final = 0.05
"""The highest chance, on each colour, that the load balancer counts so few failures although the pods are right."""
SEEN_SHARE: Final = 0.5
"""The load balancer confirms a kind of failure if it counts at least this share of what the pods count."""


@dataclass(frozen=True, kw_only=True)
class BothSources:
    """One colour's requests and failures, by its pods and by the load balancer, over about the same time."""

    pods: Sample
    balanced_requests: int
    balanced_errors: int


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """How many of the candidate's failures, as its pods count them, do not count against a limit."""

    refuted: int = 0
    """The load balancer shows on both colours that they were no failures."""
    unsettled: int = 0
    """The load balancer has counted too little to say."""
    active_refuted_share: float = 0.0
    """The share of the active colour's requests that only seem to have failed, between 0 and 1."""


NO_DISPUTE: Final = Dispute()


class _Answer(Enum):
    CONFIRMED = auto()
    REFUTED = auto()
    OPEN = auto()


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One kind of a colour's failures."""

    failed: int
    explained: int
    """How many of them were failures in any case."""
    requests: int
    balanced_requests: int
    balanced_errors: int

    @property
    def expected(self) -> float:
        """How many failures the load balancer would have counted if the pods were right."""
        return self.failed / self.requests * self.balanced_requests if self.requests else 0.0

    @property
    def disputed(self) -> int:
        """The failures that neither the load balancer nor another metric shows."""
        seen = self.balanced_errors / self.balanced_requests * self.requests if self.balanced_requests else 0.0
        return max(0, self.failed - max(self.explained, math.ceil(seen)))

    @property
    def answer(self) -> _Answer:
        """What the load balancer says about the pods' count."""
        from scipy.special import pdtr  # slow to import, and needed only for failures

        if float(pdtr(self.balanced_errors, self.expected)) <= CHANCE:
            return _Answer.REFUTED
        decidable = math.exp(-self.expected) <= CHANCE
        confirmed = decidable and self.balanced_errors >= SEEN_SHARE * self.expected
        return _Answer.CONFIRMED if confirmed else _Answer.OPEN


def settle(candidate: BothSources, active: BothSources) -> Dispute:
    """Compare the pods' failures with the load balancer's, on both colours.

    Args:
        candidate: the candidate's counts.
        active: the active colour's counts. They may be of a longer time: shares are compared.
    """
    refuted = unsettled = active_refuted = 0
    for mine, other in zip(_kinds(candidate), _kinds(active), strict=True):
        answers = {mine.answer, other.answer}
        if min(mine.failed, other.failed) < FEWEST or _Answer.CONFIRMED in answers:
            continue
        if answers == {_Answer.REFUTED}:
            refuted += mine.disputed
            active_refuted += other.disputed
        else:
            unsettled += mine.disputed
    share = active_refuted / active.pods.requests if active_refuted else 0.0
    return Dispute(refuted=refuted, unsettled=unsettled, active_refuted_share=share)


def _kinds(sources: BothSources) -> tuple[_Kind, _Kind]:
    """Return the 5xx answers, and the aborted generations, which the load balancer never counts as errors."""
    pods, balanced_requests = sources.pods, sources.balanced_requests
    answers = _Kind(
        failed=pods.server_errors,
        # An error of the engine is an error, whatever the status was.
        explained=pods.engine_errors,
        requests=pods.requests,
        balanced_requests=balanced_requests,
        balanced_errors=sources.balanced_errors,
    )
    aborts = _Kind(
        failed=pods.aborts, explained=0, requests=pods.requests, balanced_requests=balanced_requests, balanced_errors=0
    )
    return answers, aborts
