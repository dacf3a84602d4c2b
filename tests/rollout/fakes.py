"""A world of plain objects for whole rollouts. Its time passes only when somebody waits."""

import copy
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import FunctionType
from typing import Any, TypeVar

from pydantic import JsonValue, ValidationError

from components.config.release.release import Release
from components.config.sections.router_settings import LISTENER
from components.config.settings import ColorSettings, ServiceSettings
from components.domain.capacity.capacity import nodes_for
from components.domain.naming import (
    COHORT_KEY,
    COLOR_KEY,
    COLORS,
    ROLE_KEY,
    SERVICE_KEY,
    Color,
    fingerprint,
    pool_labels,
)
from rollout.adapters.aws.cloudwatch import PUBLICATION_PERIODS
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
from rollout.model.changes import RULE_TYPE, Change, EngineRun
from rollout.model.errors import (
    NotDeployedError,
    PolicyRefusedError,
    RolloutError,
    StackLockedError,
    StoppedError,
    UpdateFailedError,
)
from rollout.model.machine import Phase
from rollout.model.node_pools import NodePool
from rollout.model.nodes import BoundPod, Node, Pod, Resources
from rollout.model.records import Body, DrillHistory, Record, read_record
from rollout.model.rule import ListenerRules, LiveRule, StateCohort, StateRule
from rollout.model.run import Run, after
from rollout.model.serving import HookResult
from rollout.model.verdict import GateVerdict, TargetGroupCounts, TargetHealth, Verdict
from rollout.ports import Ports, Watch
from rollout.statistics.measurements import Counters, Period, PeriodRequests, PrefixCache, Series, bucket_label
from rollout.steps.scheduling import replica_of

SERVICE = "chat"
START = datetime(2026, 11, 21, 8, tzinfo=UTC)
ARNS: dict[Color, str] = {"blue": "arn:blue", "green": "arn:green"}
RULE_URN = "urn:pulumi:prod::vllm-blue-green::aws:lb/listenerRule:ListenerRule::chat"
SIZED_URNS: dict[Color, str] = {
    "blue": "urn:pulumi:prod::vllm-blue-green::kubernetes:apps/v1:Deployment::chat-blue",
    "green": "urn:pulumi:prod::vllm-blue-green::kubernetes:apps/v1:Deployment::chat-green",
}
NODES_URNS: dict[Color, str] = {
    "blue": "urn:pulumi:prod::vllm-blue-green::aws:eks/nodeGroup:NodeGroup::chat-blue",
    "green": "urn:pulumi:prod::vllm-blue-green::aws:eks/nodeGroup:NodeGroup::chat-green",
}


def cohort_urn(cohort: str) -> str:
    """Return the URN of a cohort's rule."""
    return f"{RULE_URN}-cohort-{cohort}"


def release(letter: str) -> Release:
    return Release(model="acme/assistant", model_revision=letter * 7, image=f"vllm/vllm-openai@sha256:{'a' * 64}")


OLD, NEW = release("a"), release("b")

# The period of the load balancer's metrics.
PERIOD_SECONDS = 5
PERIOD = timedelta(seconds=PERIOD_SECONDS)
MICROSECOND = timedelta(microseconds=1)
BASE: dict[str, Any] = {
    "active_color": "blue",
    "green_weight": 0,
    "instance_type": "g6e.2xlarge",
    "blue": {"release": OLD.model_dump(mode="json"), "replicas": 2},
    "green": {"replicas": 2},
    "rollout": {
        "steps": [
            {"candidate_percent": 1, "hold_seconds": 60},
            {"candidate_percent": 25, "hold_seconds": 60},
            {"candidate_percent": 100, "hold_seconds": 60},
        ],
        "soak_seconds": 100,
        "settle_seconds": 10,
        "poll_seconds": 10,
        "keep_warm_seconds": 3600,
        "cloudwatch_period_seconds": PERIOD_SECONDS,
        "gates": {"max_hold_extension_seconds": 120},
    },
}
JOINED = {
    "endpoint_url": "https://chat.example.com",
    "listener": {
        "arn": LISTENER.example,
        "security_group_id": "sg-0a",
        "idle_timeout_seconds": 300,
        "rule_priority": 100,
    },
}


@dataclass
class FakeClock:
    stop_at: float | None = None
    elapsed: float = 0.0
    shielded: bool = False
    on_sleep: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.check()
        self.elapsed += seconds
        self.on_sleep()

    def check(self) -> None:
        if self.stop_at is not None and self.elapsed >= self.stop_at and not self.shielded:
            raise StoppedError("stopped by SIGTERM")

    def shield(self) -> None:
        self.shielded = True


def record(body: Body, *, rollout: str = "r1", at: datetime = START, seq: int = 1) -> Record:
    """Return a record as a journal stores it."""
    return Record(seq=seq, at=at, rollout=rollout, token=1, phase=None, body=body)


_READ_BACK: set[type] = set()
_MOST_SETTINGS = 1000


@dataclass
class FakeJournal:
    clock: FakeClock
    phase: Phase | None = None
    best_effort: bool = False
    rollout_id: str = "r1"
    run: Run | None = None
    records: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The records as they are written, except that ``at`` is the clock's elapsed seconds."""
    kept: list[Record] = field(default_factory=list[Record])

    def write(self, body: Body) -> None:
        record = self.lose(body)
        fields = record.as_json()
        if type(body) not in _READ_BACK:  # only one of each type, because rollouts write many thousands
            assert read_record(json.loads(json.dumps(fields))) == record
            _READ_BACK.add(type(body))
        self.records.append({**fields, "at": self.clock.elapsed})
        self.kept.append(record)

    def lose(self, body: Body) -> Record:
        """Update ``run`` with a record that is not stored: it still counts in the process that wrote it."""
        seq, at = len(self.records) + 1, self.clock.now()
        record = Record(seq=seq, at=at, rollout=self.rollout_id, token=1, phase=self.phase, body=body)
        self.run = after(self.run, record)
        return record

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]


@dataclass
class FakeRoute:
    """A candidate route whose answers come from ``answer``."""

    answer: Callable[[Color, Mapping[str, Any]], Answer]
    blocked: str = ""
    """What keeps our requests from the pods. Empty when nothing does."""
    served: Mapping[str, str | None] = field(default_factory=lambda: {SERVICE: OLD.model})
    asked: list[tuple[Color, Mapping[str, Any], bool]] = field(
        default_factory=list[tuple[Color, Mapping[str, Any], bool]]
    )
    now: Callable[[], datetime] = lambda: datetime(2026, 11, 21, 8, tzinfo=UTC)
    times: list[tuple[Color, datetime]] = field(default_factory=list[tuple[Color, datetime]])

    def prepare(self) -> None:
        pass

    def check(self, color: Color) -> None:
        self.times.append((color, self.now()))
        if self.blocked:
            raise RolloutError(self.blocked)

    def models(self, color: Color, *, timeout_seconds: float = 60.0) -> Mapping[str, str | None]:
        assert timeout_seconds > 0
        self.times.append((color, self.now()))
        return self.served

    def ask(
        self, color: Color, body: Mapping[str, Any], *, stream: bool = False, timeout_seconds: float = 60.0
    ) -> Answer:
        assert timeout_seconds > 0
        self.times.append((color, self.now()))
        self.asked.append((color, body, stream))
        return self.answer(color, body)

    def asked_of(self, color: Color) -> int:
        """Return how many requests a colour was asked."""
        return sum(to == color for to, _, _ in self.asked)

    def sent(self, color: Color, start: datetime, end: datetime) -> int:
        return sum(to == color and start <= at < end for to, at in self.times)


@dataclass
class FakeCheck:
    """A check with a given verdict."""

    name: str
    verdict: Verdict = Verdict.PASS
    dry_run: bool = False
    runs: int = 0
    prepared: int = 0

    def prepare(self) -> None:
        self.prepared += 1

    def run(self, color: Color, release: Release) -> GateVerdict:
        assert color in COLORS
        assert release.release_id
        self.runs += 1
        return GateVerdict(gate=self.name, verdict=self.verdict, reason="set by the test", dry_run=self.dry_run)


_SETTINGS: dict[str, ServiceSettings] = {}


def _settings(values: dict[str, Any]) -> ServiceSettings:
    """Validate a config. Rollouts read the same ones again and again, at every poll and after every write."""
    text = repr(values)
    if (known := _SETTINGS.get(text)) is not None:
        return known
    if len(_SETTINGS) >= _MOST_SETTINGS:
        _SETTINGS.clear()
    _SETTINGS[text] = settings = _renumbered(values) or ServiceSettings.model_validate(copy.deepcopy(values))
    return settings


def _renumbered(values: dict[str, Any]) -> ServiceSettings | None:
    """Return a config as one that is known but for the number of its update: each attempt has another."""
    serial = values.get("rollout_serial", 0)
    if not isinstance(serial, int) or serial <= 0:
        return None
    try:
        return _settings({**values, "rollout_serial": 0}).model_copy(update={"rollout_serial": serial})
    except ValidationError:
        return None  # the message shows the whole config


@dataclass
class FakeConfig:
    values: dict[str, Any]
    cni_uses_node_role: bool = False
    balancer_subnets: tuple[str, ...] = ("subnet-8", "subnet-9")

    def vpc_cni_uses_node_role(self) -> bool:
        return self.cni_uses_node_role

    def load_balancer_subnet_ids(self) -> Sequence[str]:
        return self.balancer_subnets

    def node_permissions_boundary_arn(self) -> str | None:
        return None

    def read(self) -> ServiceSettings:
        return _settings(self.values)

    def edit(self, changes: Mapping[str, JsonValue]) -> Callable[[], None]:
        before = self.values
        after = json.loads(json.dumps(before))
        for key, value in changes.items():
            *path, last = key.split(".")
            tree = after
            for part in path:
                tree = tree.setdefault(part, {})
            tree[last] = value
        _settings(after)
        self.values = after

        def take_back() -> None:
            self.values = before

        return take_back


@dataclass
class FakeHooks:
    error: str = ""
    ran: list[tuple[tuple[str, ...], dict[str, str]]] = field(
        default_factory=list[tuple[tuple[str, ...], dict[str, str]]]
    )

    def run(self, command: Sequence[str], variables: Mapping[str, str], *, timeout_seconds: float) -> HookResult:
        assert timeout_seconds > 0
        self.ran.append((tuple(command), dict(variables)))
        return HookResult(seconds=1.0, error=self.error)


def _buckets(count: float, slow: str) -> Series:
    """Return buckets with all observations in one of them."""
    bounds = ("0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf")
    return {("pod", bound): count if float(bound) >= float(slow) else 0.0 for bound in bounds}


def green_weights(settings: ServiceSettings) -> dict[str, int]:
    """Return the green weight of each cohort's rule."""
    return {cohort: 100 if color == "green" else 0 for cohort, color in settings.cohort_colors.items()}


def _token_buckets(count: float, tokens: float) -> Series:
    """Return the buckets of answers that all have the same length."""
    bounds = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, math.inf)
    return {("pod", bucket_label(str(bound)) or ""): count if bound >= tokens else 0.0 for bound in bounds}


def _deployed(colored: ColorSettings) -> ColorSettings:
    """Return a colour's settings as they affect what is deployed: all replicas are as many, however that is written."""
    return colored.model_copy(update={"running_replicas": colored.wanted_replicas})


class World:
    """The load balancer, Kubernetes, Prometheus, CloudWatch and Pulumi, all following the config on ``up``."""

    def __init__(self, **overrides: Any) -> None:
        self.clock = FakeClock()
        self.journal = FakeJournal(self.clock)
        self.config = FakeConfig({**BASE, **overrides})
        self.state = self.config.read()  # as of the last update
        self.weights: dict[Color, int] = {color: self.state.weight(color) for color in COLORS}
        self.cohorts: dict[str, int] = green_weights(self.state)
        """The green weight of each cohort's rule."""
        self.cohort_percent = 20.0
        """The share of all requests that each cohort sends."""
        self.requests_per_second = 100.0
        self.error_rate: dict[Color, float] = {"blue": 0.0, "green": 0.0}
        self.abandoned_rate: dict[Color, float] = {"blue": 0.02, "green": 0.02}
        """The share of requests whose client hangs up before the first token."""
        self.miscounted_rate: dict[Color, float] = {"blue": 0.0, "green": 0.0}
        """The share of requests that the pods count as 5xx, although they answered 400."""
        self.refused_rate: dict[Color, float] = {"blue": 0.0, "green": 0.0}
        """The share of requests whose connection the targets refuse: the load balancer answers 502."""
        self.reset_rate: dict[Color, float] = {"blue": 0.0, "green": 0.0}
        """The share of requests whose connection the targets reset later: the load balancer answers 502."""
        self.tokens_per_request: dict[Color, float] = {"blue": 150.0, "green": 150.0}
        self.models: dict[str, float] = {}
        """The share of each model's requests, by the label model_name. Empty while no metric has the label."""
        self.model_error_rate: dict[tuple[Color, str], float] = {}
        self.ttft_bucket: dict[Color, str] = {"blue": "0.25", "green": "0.25"}
        self.inter_token_bucket: dict[Color, str] = {"blue": "0.05", "green": "0.05"}
        self.end_to_end_bucket: dict[Color, str] = {"blue": "5", "green": "5"}
        self.waiting_per_replica: dict[Color, float] = {"blue": 0.0, "green": 0.0}
        self.response_p95_seconds: dict[Color, float] = {"blue": 0.2, "green": 0.2}
        self.counted: dict[Color, float] = dict.fromkeys(COLORS, 0.0)
        self.drills = DrillHistory()
        self.measured_start_seconds: float | None = None
        self.weight_lag_seconds = 0.0
        self.ignore_weights = False
        """Whether requests keep following the current weights, whatever the rule says later."""
        self._served: dict[Color, int] = dict(self.weights)
        self._pending: list[tuple[float, dict[Color, int]]] = []
        self._history: list[dict[Color, float]] = []
        """What had been counted at each of ``_counted_at_seconds``."""
        self._counted_at_seconds: list[float] = []
        self._pods: tuple[ServiceSettings, dict[Color, tuple[Pod, ...]]] | None = None
        """The pods of a state: asked for at every turn of the clock."""
        self.foreign: list[Change] = []
        """Changes that somebody has made in the program, outside the rule."""
        self.program_rule: dict[str, object] = {}
        """The rule's inputs in the program, besides weights and tags."""
        self.state_rule: dict[str, object] = {}
        """The same inputs as of the last update."""
        self.previews: list[str] = []
        self.smoke = Verdict.PASS
        self.approvals: dict[int, Approval] = {}
        self.checks = {name: FakeCheck(name) for name in ("eval", "warm_up", "shadow", "load")}
        self.route = FakeRoute(self._answer, now=self.clock.now)
        self.healthy: dict[Color, int | None] = dict.fromkeys(COLORS)
        self.idle_timeout: int | None = None  # in seconds; None for the settings' value
        self.metrics_down = False
        self.endpoint_down = False
        self.stack_locked = False
        self.failing_ups = 0
        self.ups: list[tuple[str, tuple[str, ...]]] = []
        self.refused_by_policy = ""
        """The message of a policy that refuses every preview and update from now on. Empty for none."""
        self.applied: list[ServiceSettings] = []
        """The stack's settings after each update."""
        self.direct: list[int] = []
        self.hooks = FakeHooks()
        self.aws_credentials = Credentials()
        self.quota_vcpus = 1000.0
        self.others_node_pools: list[NodePool] | None = None
        """Node pools of Karpenter that the program does not declare. None when the cluster has no Karpenter."""
        self.pool_launches: dict[str, Sequence[Launch]] = {}
        """Starts of nodes by node pool, newest first."""
        self.running_instances: list[RunningInstance] = []
        self.capacity_reservations: list[CapacityReservation] = []
        self.free_addresses = 1000
        self.zone_of_subnets: dict[str, str] = {}
        """Zones of subnets that are not in us-east-1a."""
        self.load_balancer_zones = frozenset({"us-east-1a", "us-east-1b"})
        self.key = VolumeKey(arn="alias/aws/ebs", state="Enabled", auto_scaling_may_use=True)
        self.cni_annotations: dict[str, str] | None = None
        """Of the VPC CNI's service account; none in a cluster with another network plugin."""
        self.deployed = True
        self.rules_that_ask_for_a_login: list[str] = []
        self.others_rules = ListenerRules(priorities=frozenset(), on_load_balancer=0)
        self.resource_types = {"targetgroupbindings", "podmonitors", "scaledobjects", "nodepools"}
        self.plugins = ["kube-system/nvidia-device-plugin-daemonset"]
        self.denied: list[str] = []
        """Actions that IAM does not allow whoever runs the scripts."""
        self.pod_identities: set[tuple[str, str]] = set()
        self.node_groups: dict[Color | None, NodeGroupState] = {}
        """The states of the node groups, for a shared one without a colour."""
        self.guests: list[BoundPod] = []
        """Pods of others that are bound to a node."""
        self.secrets: dict[str, frozenset[str]] = {}
        self.claims: set[str] = set()
        self.running_for_ever = False
        self.forget_ups = False
        self.interrupted = 0
        self.shifts_of_traffic: list[int] = [self.weights["green"]]
        self._last_count = 0.0
        self._probed: dict[Color, int] = dict.fromkeys(COLORS, 0)
        self.clock.on_sleep = self.count_requests
        self.count_requests()
        self.clock.sleep(600)  # the active colour has served for a while

    def ports(self, rule_changed_at: datetime | None = None) -> Ports:
        self.journal.best_effort = False
        return Ports(
            clock=self.clock,
            journal=self.journal,
            config=self.config,
            stack=self,
            load_balancer=self,
            replicas=self,
            cluster=self,
            account=self,
            metrics=self,
            target_group_metrics=self,
            route=self.route,
            checks={"smoke": self, **self.checks},
            approvals=self,
            hooks=self.hooks,
            rule_changed_at=rule_changed_at,
            drills=self._drill_history,
            start_seconds=self._start_seconds,
            shield=self.clock.shield,
        )

    # Methods, because a copy of the world has its own.

    def _drill_history(self) -> DrillHistory:
        return self.drills

    def _start_seconds(self) -> float | None:
        return self.measured_start_seconds

    def memo(self) -> dict[int, object]:
        """Return what ``deepcopy`` need not copy of this world: what nobody changes, in lists that only grow."""
        assert not isinstance(self.clock.on_sleep, FunctionType), "a function would act in the first world"
        settings = (*_SETTINGS.values(), self.state, *self.applied)
        written = (*self.journal.records, *self.journal.kept, *self._history)
        lists: list[list[Any]] = [self.journal.records, self.journal.kept, self.applied, self.ups]
        lists += [self._history, self._counted_at_seconds, self.route.asked, self.route.times]
        shared: dict[int, object] = {id(one): one for one in (OLD, NEW, *settings, *written)}
        return shared | {id(one): one.copy() for one in lists}

    def poll_every(self, poll_seconds: int) -> None:
        """Let the config's rollout, which is deployed, look at its gates this often."""
        self.config.values = {
            **self.config.values,
            "rollout": {**self.config.values["rollout"], "poll_seconds": poll_seconds},
        }
        self.state = self.config.read()

    # Traffic

    def count_requests(self) -> None:
        seconds = self.clock.elapsed - self._last_count
        self._last_count = self.clock.elapsed
        for color in COLORS:
            self.counted[color] += seconds * self.requests_per_second * self.share(color) / 100
            # Requests through the candidate route are counted like all others.
            asked = sum(to == color for to, _ in self.route.times)
            self.counted[color] += asked - self._probed[color]
            self._probed[color] = asked
        self._note_counted()
        while self._pending and self._pending[0][0] <= self.clock.elapsed:
            self._served = self._pending.pop(0)[1]

    def _note_counted(self) -> None:
        self._history.append(dict(self.counted))
        self._counted_at_seconds.append(self.clock.elapsed)

    @property
    def served(self) -> dict[Color, int]:
        """The weights that requests follow now."""
        return self._served if self.weight_lag_seconds or self.ignore_weights else self.weights

    def share(self, color: Color) -> float:
        """Return a colour's share of all requests, in percent: of the weights, and of the cohorts on it."""
        own = 100 if color == "green" else 0
        cohorts = sum(self.cohort_percent for weight in self.cohorts.values() if weight == own)
        rest = 100 - self.cohort_percent * len(self.cohorts)
        return cohorts + rest * self.served[color] / 100

    def _counted_at(self, at: datetime) -> dict[Color, float]:
        elapsed = (at - START).total_seconds()
        known = bisect_right(self._counted_at_seconds, elapsed)
        return self._history[known - 1] if known else dict.fromkeys(COLORS, 0.0)

    def _set_weights(self, green_weight: int) -> None:
        self.count_requests()
        self.weights = {"blue": 100 - green_weight, "green": green_weight}
        if not self.ignore_weights:
            self._pending.append((self.clock.elapsed + self.weight_lag_seconds, dict(self.weights)))
        if self.shifts_of_traffic[-1] != green_weight:
            self.shifts_of_traffic.append(green_weight)

    # Stack

    def preview(self, message: str) -> EngineRun:
        self.clock.check()
        self.previews.append(message)
        if self.refused_by_policy:
            raise PolicyRefusedError(f"preview of {message!r} failed: policy refused: {self.refused_by_policy}")
        return EngineRun(changes=self._changes(()))

    def _changes(self, targets: Sequence[str]) -> tuple[Change, ...]:
        """Return what an update would change. Default providers are part of every update, whatever its targets."""
        wanted = self.config.read()
        changes = [change for change in self.foreign if not targets or change.type.startswith("pulumi:providers:")]
        old, new = self._rule_inputs(self.state) | self.state_rule, self._rule_inputs(wanted) | self.program_rule
        if old != new:
            changes.append(Change(op="update", urn=RULE_URN, type=RULE_TYPE, old=old, new=new))
        for cohort, weight in green_weights(wanted).items():
            before, urn = green_weights(self.state).get(cohort), cohort_urn(cohort)
            if before != weight and (not targets or urn in targets):
                former = {} if before is None else self._cohort_inputs(cohort, before)
                inputs, op = self._cohort_inputs(cohort, weight), "create" if before is None else "update"
                changes.append(Change(op=op, urn=urn, type=RULE_TYPE, old=former, new=inputs))
        for color in COLORS:
            after = self._color_after(color, targets)
            if _deployed(after) != _deployed(self.state.color(color)):
                tags = {SERVICE_KEY: SERVICE, COLOR_KEY: color}
                inputs = {"tags": tags, "color": after.model_dump()}
                changes.append(Change(op="update", urn=f"urn::x::{SERVICE}-{color}", type="x:y:Z", new=inputs))
        return tuple(changes)

    def _color_after(self, color: Color, targets: Sequence[str]) -> ColorSettings:
        """Return what an update of these targets makes of a colour; of all resources without targets."""
        wanted, now = self.config.read().color(color), self.state.color(color)
        pods, nodes = (not targets or urns[color] in targets for urns in (SIZED_URNS, NODES_URNS))
        return (wanted if pods else now).model_copy(update={"provisioned": (wanted if nodes else now).provisioned})

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        assert set(targets) <= {RULE_URN, *SIZED_URNS.values(), *NODES_URNS.values(), *map(cohort_urn, self.cohorts)}
        self.clock.elapsed += 3
        self.clock.check()
        if with_policies and self.refused_by_policy:
            raise PolicyRefusedError(f"update {message!r} failed: policy refused: {self.refused_by_policy}")
        if self.stack_locked:
            raise StackLockedError("the stack is currently locked by 1 lock(s)")
        if self.failing_ups:
            self.failing_ups -= 1
            raise UpdateFailedError("update failed: no credentials")
        self.ups.append((message, tuple(targets)))
        wanted, changes = self.config.read(), self._changes(targets)
        self.count_requests()
        for cohort, weight in green_weights(wanted).items():
            # As with the weights: only what differs from the state is written.
            if green_weights(self.state).get(cohort) != weight and (not targets or cohort_urn(cohort) in targets):
                self.cohorts[cohort] = weight
        if self.state.green_weight != wanted.green_weight:
            self._set_weights(wanted.green_weight)
        if targets:
            rule_keys = ("green_weight", "active_color", "keep_until", "rollout_serial", "rolling_out")
            rule_keys += ("cohorts_on_candidate",)
            colors = {color: self._color_after(color, targets) for color in COLORS}
            wanted = self.state.model_copy(update={**{key: getattr(wanted, key) for key in rule_keys}, **colors})
        self.state, self.state_rule = wanted, dict(self.program_rule)
        self.applied.append(wanted)
        if watch is not None:
            watch()
        return EngineRun(changes=changes)

    def rule_in_state(self, service: str) -> StateRule | None:
        assert service == SERVICE
        return StateRule(
            urn=RULE_URN,
            weights={ARNS[color]: self.state.weight(color) for color in COLORS},
            active_color=self.state.active_color,
            rollout_serial=self.state.rollout_serial,
            sized={color: (urn,) for color, urn in SIZED_URNS.items()},
            nodes=NODES_URNS,
            cohorts={
                cohort: StateCohort(urn=cohort_urn(cohort), weights={ARNS["green"]: weight, ARNS["blue"]: 100 - weight})
                for cohort, weight in green_weights(self.state).items()
            },
        )

    def interrupt(self) -> None:
        self.interrupted += 1

    def is_running(self) -> bool:
        return False

    def _rule_inputs(self, settings: ServiceSettings) -> dict[str, object]:
        groups = [{"arn": ARNS[color], "weight": settings.weight(color)} for color in COLORS]
        tags = {ROLE_KEY: "weighted-rule", SERVICE_KEY: SERVICE, **settings.traffic.tags()}
        return {"actions": [{"type": "forward", "forward": {"targetGroups": groups}}], "tags": tags}

    def _cohort_inputs(self, cohort: str, green_weight: int) -> dict[str, object]:
        groups = [{"arn": ARNS["blue"], "weight": 100 - green_weight}, {"arn": ARNS["green"], "weight": green_weight}]
        tags = {ROLE_KEY: "cohort-rule", SERVICE_KEY: SERVICE, COHORT_KEY: cohort}
        return {"actions": [{"type": "forward", "forward": {"targetGroups": groups}}], "tags": tags}

    # Load balancer

    def rule(self) -> LiveRule:
        if not self.deployed:
            raise NotDeployedError("no load balancer rule carries the tags")
        return LiveRule(
            arn="arn:rule",
            weights=dict(self.weights),
            target_groups=ARNS,
            active_color=self.state.active_color,
            keep_until=self.state.keep_until,
            rollout_serial=self.state.rollout_serial,
            rolling_out=self.state.rolling_out,
            colors={color: self.state.color(color).as_tagged for color in COLORS},
            capacity=self.state.capacity,
            cohorts=dict(self.cohorts),
            tagged_cohorts=self.state.cohort_colors,
        )

    def set_green_weight(self, green_weight: int, *, cohorts_to: Color | None = None) -> None:
        self.direct.append(green_weight)
        if cohorts_to is not None:
            self.count_requests()
            self.cohorts = dict.fromkeys(self.cohorts, 100 if cohorts_to == "green" else 0)
        self._set_weights(green_weight)

    def health(self, color: Color) -> TargetHealth:
        total = len(self.pods(color))
        healthy = self.healthy[color]
        return TargetHealth(healthy=total if healthy is None else healthy, total=total)

    def idle_timeout_seconds(self) -> int:
        if self.idle_timeout is not None:
            return self.idle_timeout
        return self.state.drain_chain.idle_timeout_seconds

    def listener_rules(self) -> ListenerRules:
        return self.others_rules

    def login_rules(self) -> Sequence[str]:
        return self.rules_that_ask_for_a_login

    def zones(self) -> frozenset[str]:
        if not self.deployed:
            raise NotDeployedError("no load balancer rule carries the tags")
        return self.load_balancer_zones

    # Kubernetes's scheduler, and the AWS account

    def nodes(self) -> Sequence[Node]:
        settings = self.state
        offered = Resources(
            gpus=settings.instance.gpus,
            millicpus=settings.instance.allocatable_millicpus,
            memory_mib=settings.instance.allocatable_memory_mib,
            pods=settings.instance.max_pods,
        )
        if settings.shares_nodes:
            return [
                Node(name=f"shared-{number}", allocatable=offered, labels=settings.node_selector(SERVICE, "blue"))
                for number in range(settings.shared_pool.desired_nodes)
            ]
        return [
            Node(name=f"{color}-{number}", allocatable=offered, labels=pool_labels(SERVICE, color))
            for color in COLORS
            if (settings.color(color).serves if settings.nodes_follow_pods else settings.color(color).nodes_wanted)
            or settings.nodes_stay_up
            for number in range(nodes_for(settings.color(color).replicas, settings.instance, settings.shape(color)))
        ]

    def bound_pods(self) -> Sequence[BoundPod]:
        every: list[tuple[Color, int]] = [
            (color, number) for color in COLORS for number, _ in enumerate(self.pods(color))
        ]
        ours = [
            BoundPod(
                node=f"shared-{place}" if self.state.shares_nodes else f"{color}-{number}",
                requests=replica_of(self.state, color),
                labels={SERVICE_KEY: SERVICE, COLOR_KEY: color},
            )
            for place, (color, number) in enumerate(every)
        ]
        return [*ours, *self.guests]

    def secret_keys(self, name: str) -> frozenset[str] | None:
        return self.secrets.get(name)

    def has_claim(self, name: str) -> bool:
        return name in self.claims

    def vpc_cni_annotations(self) -> Mapping[str, str] | None:
        return self.cni_annotations

    def credentials(self) -> Credentials:
        return self.aws_credentials

    def has_resource(self, group_version: str, resource: str) -> bool:
        assert "/" in group_version
        return resource in self.resource_types

    def node_pools(self) -> Sequence[NodePool] | None:
        if self.state.node_pool is not None:
            return [NodePool(name=f"{SERVICE}-{color}", colors=(color,)) for color in COLORS]
        return self.others_node_pools

    def node_launches(self, pools: Sequence[str]) -> Sequence[Launch]:
        return [launch for pool in pools for launch in self.pool_launches.get(pool, ())]

    def device_plugins(self) -> Sequence[str]:
        return self.plugins

    def denied_actions(
        self, service: str, boundary_arn: str | None, *, dashboard: bool, node_groups: bool
    ) -> Sequence[str]:
        assert dashboard is self.config.read().dashboard
        assert node_groups is self.config.read().declares_nodes
        assert service == SERVICE
        assert boundary_arn is None
        return self.denied

    def vcpu_quota(self, code: str) -> float:
        assert code == "L-DB2E81BA"
        return self.quota_vcpus

    def instances(self) -> Sequence[RunningInstance]:
        return self.running_instances

    def reservations(self) -> Sequence[CapacityReservation]:
        return self.capacity_reservations

    def group_members(self, resource_group_arn: str) -> frozenset[str]:
        assert resource_group_arn
        return frozenset(one.id for one in self.capacity_reservations)

    def subnets(self, ids: Sequence[str] = ()) -> Sequence[Subnet]:
        return [
            Subnet(id=one, zone=self.zone_of_subnets.get(one, "us-east-1a"), free_addresses=self.free_addresses)
            for one in ids or ("subnet-1",)
        ]

    def volume_key(self, arn: str | None) -> VolumeKey:
        return self.key if arn is None else replace(self.key, arn=arn)

    def has_pod_identity(self, namespace: str, service_account: str) -> bool:
        return (namespace, service_account) in self.pod_identities

    def node_group(self, color: Color | None) -> NodeGroupState | None:
        return self.node_groups.get(color, NodeGroupState(name=f"{SERVICE}-{color}", status="ACTIVE"))

    # Kubernetes, Prometheus, CloudWatch, smoke

    def pods(self, color: Color) -> tuple[Pod, ...]:
        if self._pods is None or self._pods[0] is not self.state:
            self._pods = self.state, {one: self._deployed_pods(one) for one in COLORS}
        return self._pods[1][color]

    def _deployed_pods(self, color: Color) -> tuple[Pod, ...]:
        colored = self.state.color(color)
        if not colored.serves or colored.release is None:
            return ()
        release_id = colored.release.release_id
        return tuple(
            Pod(
                name=f"{SERVICE}-{color}-{number}",
                release_id=release_id,
                ready=True,
                terminating=False,
                waiting_reason="",
                restarts=0,
            )
            for number in range(colored.wanted_replicas)
        )

    def counters(self, at: datetime, by: Collection[str] = ()) -> Mapping[Color, Counters]:
        if self.metrics_down:
            raise UpdateFailedError("Prometheus does not answer")
        counted = self._counted_at(at)
        return {
            color: self._with_slices(color, counted[color], by) if self.pods(color) else Counters() for color in COLORS
        }

    def _with_slices(self, color: Color, requests: float, by: Collection[str]) -> Counters:
        whole, usual = self._counters(color, requests), self.error_rate[color]
        models: dict[str, Counters] = {}
        for model, share in self.models.items():
            self.error_rate[color] = self.model_error_rate.get((color, model), usual)
            models[model] = self._counters(color, requests * share)
        self.error_rate[color] = usual
        return replace(whole, slices={label: models if label == "model_name" else {} for label in by})

    def _counters(self, color: Color, requests: float) -> Counters:
        abandoned = requests * self.abandoned_rate[color]
        failed = requests * (self.error_rate[color] + self.miscounted_rate[color])
        return Counters(
            responses={("pod", "2xx"): requests - failed, ("pod", "5xx"): failed},
            answered={("pod", ""): requests - failed},
            finished={("pod", "stop"): requests - failed - abandoned},
            ttft_buckets=_buckets(requests - abandoned, self.ttft_bucket[color]),
            inter_token_buckets=_buckets(requests * 100, self.inter_token_bucket[color]),
            end_to_end_buckets=_buckets(requests, self.end_to_end_bucket[color]),
            waiting={("pod", ""): self.waiting_per_replica[color]},
            output_tokens={("pod", ""): requests * self.tokens_per_request[color]},
            answer_tokens_buckets=_token_buckets(requests, self.tokens_per_request[color]),
            answer_tokens_sum={("pod", ""): requests * self.tokens_per_request[color]},
        )

    def running_requests(self, color: Color) -> float | None:
        return 1.0 if self.running_for_ever or self.share(color) else 0.0

    def counts(self, color: Color, start: datetime, end: datetime) -> TargetGroupCounts | None:
        requests = self._counted_at(end)[color] - self._counted_at(start)[color]
        if not requests:
            return None
        return TargetGroupCounts(requests=round(requests), server_errors=round(requests * self.error_rate[color]))

    def periods(self, start: datetime, end: datetime) -> Mapping[Color, Sequence[Period]]:
        every = [Period()] * int((end - start) / PERIOD)
        periods: dict[Color, list[Period]] = {"blue": every, "green": every.copy()}
        for number in self._busy_periods(start, len(every)):
            begin = start + number * PERIOD
            before, after = self._counted_at(begin), self._counted_at(begin + PERIOD)
            requests = {color: after[color] - before[color] for color in COLORS}
            lost = {color: rate for color in COLORS if (rate := self.refused_rate[color] + self.reset_rate[color])}
            refused = sum(round(round(requests[color]) * rate) for color, rate in lost.items())
            for color in COLORS:
                periods[color][number] = self._period(color, requests[color], refused)
        return periods

    def _busy_periods(self, start: datetime, count: int) -> Sequence[int]:
        """Return which of so many periods have requests. In an hour of them, few do: time passes in leaps."""
        begin, period = (start - START) // MICROSECOND, PERIOD // MICROSECOND
        edges, noted = range(begin, begin + count * period + 1, period), self._counted_at_seconds
        first, last = (bisect_right(noted, edge / 1e6) for edge in (edges[0], edges[-1]))
        # What was counted at an edge belongs to the period that ends there.
        return sorted({bisect_left(edges, at, key=lambda edge: edge / 1e6) - 1 for at in noted[first:last]})

    def _period(self, color: Color, requests: float, balancer_errors: int) -> Period:
        if not requests:
            return Period(balancer_errors=balancer_errors)
        return Period(
            requests=round(requests),
            server_errors=round(requests * self.error_rate[color]),
            connection_errors=round(round(requests) * self.refused_rate[color]),
            balancer_errors=balancer_errors,
            p95_seconds=self.response_p95_seconds[color],
        )

    def _answer(self, color: Color, body: Mapping[str, Any]) -> Answer:
        colored = self.state.color(color)
        assert colored.release is not None
        return Answer(
            status=200,
            text=f"An answer to {json.dumps(body)}.",
            fingerprint=fingerprint(color, colored.release.release_id),
            finish_reason="stop",
            ttft_seconds=0.1,
            total_seconds=0.5,
        )

    def prefix_cache(self, color: Color) -> PrefixCache | None:
        if self.metrics_down:
            raise UpdateFailedError("Prometheus does not answer")
        asked = self.route.asked_of(color)
        return PrefixCache(queries=asked, hits=asked / 2)

    def find(self, rollout_id: str, percent: int) -> Approval | None:
        assert rollout_id == self.journal.rollout_id
        return self.approvals.get(percent)

    def by_period(self, start: datetime, end: datetime) -> Sequence[PeriodRequests]:
        """Return the complete periods that CloudWatch would have published by ``end``."""
        periods: list[PeriodRequests] = []
        first = math.ceil(start.timestamp() / PERIOD_SECONDS)
        for number in range(first, math.floor(end.timestamp() / PERIOD_SECONDS) - PUBLICATION_PERIODS):
            begin = datetime.fromtimestamp(number * PERIOD_SECONDS, UTC)
            before, after = self._counted_at(begin), self._counted_at(begin + PERIOD)
            requests: dict[Color, int] = {color: round(after[color]) - round(before[color]) for color in COLORS}
            periods.append(PeriodRequests(start=begin, end=begin + PERIOD, requests=requests))
        return periods

    def prepare(self) -> None:
        if self.endpoint_down:
            raise RolloutError("the endpoint http://llm does not answer")

    def run(self, color: Color, release: Release) -> GateVerdict:
        assert self.pods(color)[0].release_id == release.release_id
        return GateVerdict(gate="smoke", verdict=self.smoke, reason="set by the test")


WorldT = TypeVar("WorldT", bound=World)
OtherT = TypeVar("OtherT")


def copy_of(world: WorldT) -> WorldT:
    """Return a world that goes on alone from the same moment."""
    return copy.deepcopy(world, world.memo())


def copy_together(world: WorldT, other: OtherT) -> tuple[WorldT, OtherT]:
    """Return a world, and what acts in it, that go on alone from the same moment."""
    return copy.deepcopy((world, other), world.memo())
