"""What a rollout needs from the world, as protocols, and the values that cross them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import JsonValue

from components.config.release import Release
from components.config.settings import ServiceSettings
from components.domain.naming import Color
from rollout.model.account import CapacityReservation, RunningInstance, Subnet
from rollout.model.answers import Answer
from rollout.model.approval import Approval
from rollout.model.changes import EngineRun
from rollout.model.machine import Phase
from rollout.model.nodes import BoundPod, Node, Pod
from rollout.model.records import Body, DrillHistory
from rollout.model.rule import LiveRule, StateRule
from rollout.model.run import Run
from rollout.model.serving import HookResult
from rollout.model.verdict import GateVerdict, TargetGroupCounts, TargetHealth
from rollout.statistics.measurements import Counters, Period, PeriodRequests, PrefixCache


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """Return the time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some instant; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: somebody asked the rollout to stop.
        """
        ...


class Journal(Protocol):
    """The record of what happened."""

    phase: Phase | None
    """The phase that every record is stamped with."""
    best_effort: bool
    """Whether to go on without records that cannot be written."""

    @property
    def rollout_id(self) -> str:
        """What every record of this rollout is stamped with."""
        ...

    @property
    def run(self) -> Run | None:
        """What the service's records add up to, those that are still to be kept included. None without any run."""
        ...

    def write(self, body: Body) -> None:
        """Append one record.

        Raises:
            JournalError: it cannot be written, and the journal is not best effort.
            LostLockError: somebody else has taken the stack over.
        """
        ...


class Config(Protocol):
    """The config of one service, as the next update will read it."""

    def read(self) -> ServiceSettings:
        """Read the service's settings."""
        ...

    def edit(self, changes: Mapping[str, JsonValue]) -> Callable[[], None]:
        """Set several keys at once (``green_weight``, ``green.parked``); returns what takes the edit back."""
        ...


Watch = Callable[[], None]
"""Looks at the world every few seconds while an update runs, and raises when the update is no use any more."""


class Stack(Protocol):
    """The Pulumi stack."""

    def preview(self, message: str) -> EngineRun:
        """Compute what an update would change.

        Raises:
            UpdateFailedError: the program failed, or a mandatory policy refused.
        """
        ...

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        """Update the stack, or only the resources named by URN; unless ``with_policies``, without the policy pack.

        No preview comes before it. What ``watch`` raises comes out at once; the update may still run then.

        Raises:
            UpdateFailedError: the update did not succeed; some of it may have been applied.
        """
        ...

    def rule_in_state(self, service: str) -> "StateRule | None":
        """Return the weighted rule as Pulumi's state has it; none when it has none.

        Raises:
            UpdateFailedError: the backend does not answer.
        """
        ...

    def interrupt(self) -> None:
        """Ask a running preview or update to end."""
        ...

    def is_running(self) -> bool:
        """Tell whether a preview or an update still runs."""
        ...


class LoadBalancer(Protocol):
    """The load balancer in front of one service; everything is found by tags."""

    def rule(self) -> LiveRule:
        """Read the weighted rule.

        Raises:
            UnavailableError: the API does not answer now; later it may.
        """
        ...

    def set_green_weight(self, green_weight: int) -> None:
        """Set the weights of the weighted rule directly, in one call when the rule has been read before.

        Raises:
            UnavailableError: the API does not answer now; later it may.
        """
        ...

    def health(self, color: Color) -> TargetHealth:
        """Count a colour's targets by health.

        Raises:
            UnavailableError: the API does not answer now; later it may.
        """
        ...

    def idle_timeout_seconds(self) -> int:
        """Return for how long the load balancer leaves a silent connection open."""
        ...


class Replicas(Protocol):
    """The pods of one service."""

    def pods(self, color: Color) -> tuple[Pod, ...]:
        """List a colour's pods, those on their way out included."""
        ...


class Cluster(Protocol):
    """What the scheduler sees, and what pods of the service refer to."""

    def nodes(self) -> Sequence[Node]:
        """List every node."""
        ...

    def bound_pods(self) -> Sequence[BoundPod]:
        """List the pods of all namespaces that have a node and have not ended."""
        ...

    def secret_keys(self, name: str) -> frozenset[str] | None:
        """Return the keys of a Secret in the service's namespace; none when there is no such Secret."""
        ...

    def has_claim(self, name: str) -> bool:
        """Tell whether the service's namespace has this PersistentVolumeClaim."""
        ...


class Account(Protocol):
    """What the AWS account has room for."""

    def vcpu_quota(self, code: str) -> float:
        """Return an EC2 quota of the region, in vCPUs."""
        ...

    def instances(self) -> Sequence[RunningInstance]:
        """List the region's GPU instances that run or start."""
        ...

    def reservations(self) -> Sequence[CapacityReservation]:
        """List the region's capacity reservations that have not been cancelled, others' that are shared included."""
        ...

    def group_members(self, resource_group_arn: str) -> frozenset[str]:
        """Return the ids of the capacity reservations in a resource group."""
        ...

    def subnets(self, ids: Sequence[str] = ()) -> Sequence[Subnet]:
        """Return these subnets; without ids those that the stack names for its nodes."""
        ...


class Metrics(Protocol):
    """What the pods count."""

    def counters(self, at: datetime) -> Mapping[Color, Counters]:
        """Read both colours' counters as they were at an instant."""
        ...

    def running_requests(self, color: Color) -> float | None:
        """Return how many requests run or wait on a colour; none when nothing is known."""
        ...

    def prefix_cache(self, color: Color) -> PrefixCache | None:
        """Return what a colour's prefix caches have counted so far; none when nothing is known."""
        ...


class TargetGroupMetrics(Protocol):
    """What the load balancer counts."""

    def counts(self, color: Color, start: datetime, end: datetime) -> TargetGroupCounts | None:
        """Return a colour's counts over a window; none when nothing was counted."""
        ...

    def periods(self, start: datetime, end: datetime) -> Mapping[Color, Sequence[Period]]:
        """Return both colours' figures of a window by period, the same periods for both."""
        ...

    def by_period(self, start: datetime, end: datetime) -> Sequence[PeriodRequests]:
        """Return the whole periods of a window that are published by now, oldest first."""
        ...


class Route(Protocol):
    """The candidate route: requests of our own to either colour, at any weight."""

    def prepare(self) -> None:
        """Reach the endpoint.

        Raises:
            RolloutError: a secret is missing or cannot be used, or nobody answers.
        """
        ...

    def models(self, color: Color, *, timeout_seconds: float = 60.0) -> Mapping[str, str | None]:
        """Return what a colour serves: each served name with the model that it is.

        Raises:
            RolloutError: it does not say.
        """
        ...

    def ask(
        self, color: Color, body: Mapping[str, Any], *, stream: bool = False, timeout_seconds: float = 60.0
    ) -> Answer:
        """Send a chat or a completion, whichever the body is; whatever goes wrong is the answer's ``error``."""
        ...

    def sent(self, color: Color, start: datetime, end: datetime) -> int:
        """Return how many requests went to a colour in a window: what the load balancer counts besides traffic."""
        ...


class Relay(Protocol):
    """A base URL that leads to one colour, for tools that know no more than that."""

    answered: int
    """Requests that the colour has answered with a status below 400."""
    failed: int
    """Requests that it has not."""

    @property
    def base_url(self) -> str:
        """What OpenAI clients take as their base URL; ends in ``/v1``."""
        ...


class Check(Protocol):
    """A check through the candidate route."""

    def prepare(self) -> None:
        """Find out, before anything is changed, whether the check could be made at all.

        Raises:
            RolloutError: it could not.
        """
        ...

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Judge the candidate at no weight."""
        ...


class Decisions(Protocol):
    """What people have said to steps that wait for them."""

    def find(self, rollout_id: str, percent: int) -> Approval | None:
        """Return the decision on a step; none so far."""
        ...


class Hooks(Protocol):
    """Commands of the user's."""

    def run(self, command: Sequence[str], variables: Mapping[str, str], *, timeout_seconds: float) -> HookResult:
        """Run one and wait for its end; its failure is a result, not an error."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything that a rollout touches."""

    clock: Clock
    journal: Journal
    config: Config
    stack: Stack
    load_balancer: LoadBalancer
    replicas: Replicas
    cluster: Cluster
    account: Account
    metrics: Metrics
    target_group_metrics: TargetGroupMetrics
    route: Route
    checks: Mapping[str, Check]
    approvals: Decisions
    hooks: Hooks
    rule_changed_at: datetime | None
    """When the weighted rule was last changed before this run; none when that is not known."""
    drills: Callable[[], DrillHistory]
    """Reads what the journal says of rollback drills."""
    shield: Callable[[], None]
    """Ignore requests to stop from now on: a rollback must not be broken off."""
