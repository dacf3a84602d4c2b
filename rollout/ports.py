"""The ports: what a rollout needs from the outside world, as protocols."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import JsonValue

from components.config.release.release import Release
from components.config.settings import ServiceSettings
from components.domain.naming import Color
from rollout.model.account import (
    CapacityReservation,
    Credentials,
    Launch,
    NodeGroupState,
    RunningInstance,
    Subnet,
    VolumeKey,
)
from rollout.model.answers import Answer
from rollout.model.approval import Approval
from rollout.model.changes import EngineRun
from rollout.model.machine import Phase
from rollout.model.node_pools import NodePool
from rollout.model.nodes import BoundPod, Node, Pod
from rollout.model.records import Body, DrillHistory
from rollout.model.rule import ListenerRules, LiveRule, StateRule
from rollout.model.run import Run
from rollout.model.serving import HookResult
from rollout.model.verdict import GateVerdict, TargetGroupCounts, TargetHealth
from rollout.statistics.demand import Lengths, Rate, Throughput
from rollout.statistics.measurements import Counters, Period, PeriodRequests, PrefixCache


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since a fixed instant. Never decreases."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: the rollout was asked to stop.
        """
        ...


class Journal(Protocol):
    """The record of what happened."""

    phase: Phase | None
    """The phase that is written into every record."""
    best_effort: bool
    """Whether to continue when a record cannot be written."""

    @property
    def rollout_id(self) -> str:
        """The id that is written into every record of this rollout."""
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

    def vpc_cni_uses_node_role(self) -> bool:
        """Return whether the stack gives the nodes' role the VPC CNI's permissions."""
        ...

    def node_permissions_boundary_arn(self) -> str | None:
        """Return the permissions boundary of the nodes' roles. None when they have none."""
        ...

    def load_balancer_subnet_ids(self) -> Sequence[str]:
        """Return the subnets of the load balancer. Empty when every service joins a listener."""
        ...

    def edit(self, changes: Mapping[str, JsonValue]) -> Callable[[], None]:
        """Set several keys at once (``green_weight``, ``green.parked``), and return a function that undoes the edit."""
        ...


Watch = Callable[[], None]
"""Called every few seconds while an update runs. Raises when the update has become pointless."""


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
        """Update the stack without a preview.

        Args:
            message: what the update is for.
            targets: URNs of the only resources to update. Empty for all.
            with_policies: whether to run the policy pack.
            watch: called while the update runs. What it raises is raised at once; the update may still run then.

        Raises:
            UpdateFailedError: the update failed; parts of it may have been applied.
        """
        ...

    def rule_in_state(self, service: str) -> "StateRule | None":
        """Return the weighted rule from Pulumi's state. None when the state does not contain it.

        Raises:
            UpdateFailedError: the backend does not answer.
        """
        ...

    def interrupt(self) -> None:
        """Ask a running preview or update to end."""
        ...

    def is_running(self) -> bool:
        """Return whether a preview or an update is still running."""
        ...


class LoadBalancer(Protocol):
    """The load balancer in front of one service. Everything is found by tags."""

    def rule(self) -> LiveRule:
        """Read the weighted rule.

        Raises:
            NotDeployedError: the service has no rule.
            UnavailableError: the API does not answer now; a later call may succeed.
        """
        ...

    def set_green_weight(self, green_weight: int, *, cohorts_to: Color | None = None) -> None:
        """Set the weights of the weighted rule directly. One API call for each rule if they have been read before.

        Args:
            green_weight: the weight of green.
            cohorts_to: the colour that every cohort is sent to first. None to leave the cohorts where they are.

        Raises:
            UnavailableError: the API does not answer now; a later call may succeed.
        """
        ...

    def health(self, color: Color) -> TargetHealth:
        """Count a colour's targets by health.

        Raises:
            UnavailableError: the API does not answer now; a later call may succeed.
        """
        ...

    def idle_timeout_seconds(self) -> int:
        """Return how many seconds the load balancer keeps a silent connection open."""
        ...

    def login_rules(self) -> Sequence[str]:
        """Return the priorities of the listener's rules that come before the candidate rules and ask for a login."""
        ...

    def listener_rules(self) -> ListenerRules:
        """Return which rules the service's listener and its load balancer have.

        Raises:
            NotDeployedError: the service is not deployed yet, and has a load balancer of its own.
        """
        ...

    def zones(self) -> frozenset[str]:
        """Return the Availability Zones in which the load balancer has a subnet.

        Raises:
            NotDeployedError: the service is not deployed yet, and has a load balancer of its own.
        """
        ...


class Replicas(Protocol):
    """The pods of one service."""

    def pods(self, color: Color) -> tuple[Pod, ...]:
        """List a colour's pods, including terminating ones."""
        ...


class Cluster(Protocol):
    """The nodes and pods that the scheduler sees, and the objects that the service's pods refer to."""

    def nodes(self) -> Sequence[Node]:
        """List every node."""
        ...

    def bound_pods(self) -> Sequence[BoundPod]:
        """List the pods of all namespaces that are bound to a node and have not ended."""
        ...

    def secret_keys(self, name: str) -> frozenset[str] | None:
        """Return the keys of a Secret in the service's namespace. None when the Secret does not exist."""
        ...

    def has_claim(self, name: str) -> bool:
        """Return whether the service's namespace has this PersistentVolumeClaim."""
        ...

    def vpc_cni_annotations(self) -> Mapping[str, str] | None:
        """Return the annotations of the VPC CNI's service account. None when the cluster has no such account."""
        ...

    def has_resource(self, group_version: str, resource: str) -> bool:
        """Return whether the API server knows a type of resource, such as ``targetgroupbindings``."""
        ...

    def node_pools(self) -> Sequence[NodePool] | None:
        """List the node pools of Karpenter or EKS Auto Mode. None when the cluster has neither."""
        ...

    def node_launches(self, pools: Sequence[str]) -> Sequence[Launch]:
        """Return the latest starts of nodes of these node pools that have ended, newest first."""
        ...

    def device_plugins(self) -> Sequence[str]:
        """Return the DaemonSets that may be NVIDIA's device plugin, each as ``namespace/name``."""
        ...


class Account(Protocol):
    """The capacity of the AWS account in the stack's region."""

    def credentials(self) -> Credentials:
        """Return when our credentials for AWS end."""
        ...

    def vcpu_quota(self, code: str) -> float:
        """Return an EC2 quota of the region, in vCPUs."""
        ...

    def instances(self) -> Sequence[RunningInstance]:
        """List the region's GPU instances that are running or starting."""
        ...

    def reservations(self) -> Sequence[CapacityReservation]:
        """List the region's capacity reservations that are not over, including those that other accounts share."""
        ...

    def group_members(self, resource_group_arn: str) -> frozenset[str]:
        """Return the ids of the capacity reservations in a resource group."""
        ...

    def subnets(self, ids: Sequence[str] = ()) -> Sequence[Subnet]:
        """Return these subnets, or the stack's node subnets if no ids are given."""
        ...

    def volume_key(self, arn: str | None) -> VolumeKey:
        """Return a KMS key, or without an ARN the account's default key for EBS. What may not be read stays unknown."""
        ...

    def has_pod_identity(self, namespace: str, service_account: str) -> bool:
        """Return whether a service account of the cluster has an IAM role by EKS Pod Identity."""
        ...

    def denied_actions(
        self, service: str, boundary_arn: str | None, *, dashboard: bool, node_groups: bool
    ) -> Sequence[str]:
        """Return the actions of `pulumi up` and the scripts that IAM's policies do not allow us, by its simulation.

        Args:
            service: the service, whose name the nodes' roles begin with.
            boundary_arn: the permissions boundary of these roles. None when they have none.
            dashboard: whether the service has a dashboard.
            node_groups: whether the program declares the service's nodes.
        """
        ...

    def node_group(self, color: Color | None) -> NodeGroupState | None:
        """Return the state of a colour's node group, or of the shared one. None when there is no such group."""
        ...


class Metrics(Protocol):
    """The pods' own metrics."""

    def counters(self, at: datetime, by: Collection[str] = ()) -> Mapping[Color, Counters]:
        """Read both colours' counters at a given time, and their slices by these labels."""
        ...

    def running_requests(self, color: Color) -> float | None:
        """Return how many requests run or wait on a colour. None when there is no data."""
        ...

    def prefix_cache(self, color: Color) -> PrefixCache | None:
        """Return the counters of a colour's prefix caches. None when there is no data."""
        ...


class TargetGroupMetrics(Protocol):
    """The load balancer's metrics."""

    def counts(self, color: Color, start: datetime, end: datetime) -> TargetGroupCounts | None:
        """Return a colour's counts over a window. None when nothing was counted."""
        ...

    def periods(self, start: datetime, end: datetime) -> Mapping[Color, Sequence[Period]]:
        """Return both colours' figures for each complete period of a window. Both have the same periods."""
        ...

    def by_period(self, start: datetime, end: datetime) -> Sequence[PeriodRequests]:
        """Return the complete periods of a window, oldest first: their counts do not change any more."""
        ...


class Route(Protocol):
    """The candidate route: our own requests to either colour, at any weight."""

    def prepare(self) -> None:
        """Make sure that the endpoint can be reached.

        Raises:
            RolloutError: a secret is missing or unusable, or the endpoint does not answer.
        """
        ...

    def check(self, color: Color) -> None:
        """Make sure that a request on the candidate route is answered by a colour's pods.

        Raises:
            RolloutError: it is not; the message says what answers instead, and how to fix it.
        """
        ...

    def models(self, color: Color, *, timeout_seconds: float = 60.0) -> Mapping[str, str | None]:
        """Return the models that a colour serves, by served name.

        Raises:
            RolloutError: the colour does not return them.
        """
        ...

    def ask(
        self, color: Color, body: Mapping[str, Any], *, stream: bool = False, timeout_seconds: float = 60.0
    ) -> Answer:
        """Send a chat or a completion request, depending on the body. Any failure becomes the answer's ``error``."""
        ...

    def sent(self, color: Color, start: datetime, end: datetime) -> int:
        """Return how many of our own requests went to a colour in a window. The load balancer counts them too."""
        ...


class ClosedLoop(Protocol):
    """Our own requests to one colour, of which a set number is open: each that ends is followed by the next."""

    def keep_open(self, count: int) -> None:
        """Have so many requests open from now on."""
        ...

    def answers(self) -> Sequence[Answer]:
        """Return the answers that have ended since the last call."""
        ...

    def waiting_seconds(self) -> Sequence[float]:
        """Return for how long each open request without a first token has waited for it."""
        ...

    def open_tokens(self) -> int:
        """Return about how many tokens the open answers have so far."""
        ...


class Demand(Protocol):
    """What users ask of the service, by the pods' own metrics."""

    def rates(self, start: datetime, end: datetime, *, rate_seconds: float) -> Sequence[Rate]:
        """Return both colours' throughput together at times of a window, each on average over ``rate_seconds``.

        Raises:
            RolloutError: the source does not answer.
        """
        ...

    def throughput(self, color: Color, at: datetime, *, rate_seconds: float) -> Throughput:
        """Return one colour's throughput at a time.

        Raises:
            RolloutError: the source does not answer.
        """
        ...

    def lengths(self, color: Color, start: datetime, end: datetime) -> Lengths:
        """Return the lengths of a colour's requests over a window.

        Raises:
            RolloutError: the source does not answer.
        """
        ...


class Relay(Protocol):
    """A base URL that leads to one colour, for tools that can only be given a base URL."""

    answered: int
    """How many requests the colour answered with a status below 400."""
    failed: int
    """How many requests it did not answer so."""

    @property
    def base_url(self) -> str:
        """The base URL for OpenAI clients. Ends in ``/v1``."""
        ...


class JudgeModel(Protocol):
    """A model of the user's that judges answers."""

    def prepare(self) -> None:
        """Make sure that the API key can be read.

        Raises:
            RolloutError: it cannot.
        """
        ...

    def ask(self, system: str, user: str) -> Answer:
        """Ask for a judgement. Any failure becomes the answer's ``error``."""
        ...


class Check(Protocol):
    """A check through the candidate route."""

    def prepare(self) -> None:
        """Make sure, before anything is changed, that the check can run.

        Raises:
            RolloutError: it cannot run.
        """
        ...

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Judge the candidate at weight 0."""
        ...


class Decisions(Protocol):
    """People's decisions on steps that wait for approval."""

    def find(self, rollout_id: str, percent: int) -> Approval | None:
        """Return the decision on a step. None when there is none yet."""
        ...


class Hooks(Protocol):
    """The user's own commands."""

    def run(self, command: Sequence[str], variables: Mapping[str, str], *, timeout_seconds: float) -> HookResult:
        """Run a command and wait for its end. A failure is returned in the result, not raised."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything outside that a rollout uses."""

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
    """When the weighted rule was last changed before this run. None when that is unknown."""
    drills: Callable[[], DrillHistory]
    """Returns the journal's history of rollback drills."""
    start_seconds: Callable[[], float | None]
    """Returns how long the latest start of replicas took, without nodes, by the journal. None when it does not say."""
    shield: Callable[[], None]
    """Ignores requests to stop from now on: a rollback must not be interrupted."""
