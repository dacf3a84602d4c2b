"""The faults in the fake world, each in all its variants."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError

from components.config.settings import ServiceSettings
from components.domain.naming import COLORS, Color, other_color
from rollout.journal.lock import Lock
from rollout.journal.store import FileStore
from rollout.model.account import Launch, NodeGroupState
from rollout.model.changes import Change
from rollout.model.errors import (
    JournalError,
    RefusedError,
    RolloutError,
    StackLockedError,
    UnavailableError,
    UpdateFailedError,
)
from rollout.model.plan import green_weight_for
from rollout.model.records import Finished
from rollout.model.verdict import Verdict
from rollout.statistics.measurements import Counters
from rollout.system.failures import describe_error
from tests.faults.cells import Fault
from tests.faults.fake_world import Breakage, Call, FaultyWorld

CANDIDATE: Color = "green"
OUTGOING: Color = "blue"

AWS_ATTEMPTS = 8
AWS_BACKOFF_SECONDS = 20.0  # of all attempts together
AWS_READ_TIMEOUT_SECONDS = 5.0
UPDATE_TIMEOUT_SECONDS = 300.0
# How far in the future a query still gets the present data. Beyond that, there is no data.
PROMETHEUS_LOOKBACK = timedelta(minutes=5)

LOCK_EXPIRY_SECONDS = 60.0

_CHANGING = frozenset({"up", "set_green_weight"})
_FOREIGN = Change(op="update", urn="urn::x::chat-blue", type="kubernetes:apps/v1:Deployment", new={"metadata": {}})


def _asks_aws(call: Call) -> bool:
    return call.port in ("load_balancer", "target_group_metrics", "account") or _updates(call)


def _updates(call: Call) -> bool:
    return call.port == "stack" and call.method in ("up", "preview")


@dataclass(kw_only=True)
class AwsFails(Breakage):
    """Every call to AWS fails. Optionally AWS makes the change before the call fails."""

    error: Callable[[str], Exception]
    seconds: float
    """How long the client tries before it gives up on a call."""
    makes_changes: bool = False

    def call(self, world: FaultyWorld, call: Call) -> Any:
        if not _asks_aws(call):
            return call.ask()
        self.hits += 1
        world.pass_time(
            UPDATE_TIMEOUT_SECONDS if _updates(call) and self.seconds > AWS_BACKOFF_SECONDS else self.seconds
        )
        if self.makes_changes and call.method in _CHANGING:
            call.ask()
        raise _failure(call, self.error(call.method))


def _failure(call: Call, error: Exception) -> Exception:
    """Return the error that a port raises for an AWS error."""
    if _updates(call):
        return UpdateFailedError(f"update failed: {error}")
    return UnavailableError(describe_error(error)) if call.port == "load_balancer" else error


def _refused(code: str, message: str) -> Callable[[str], Exception]:
    return lambda method: ClientError({"Error": {"Code": code, "Message": message}}, method)


def _hung(method: str) -> Exception:
    return ReadTimeoutError(endpoint_url=f"https://elasticloadbalancing.us-east-1.amazonaws.com/ ({method})")


@dataclass(kw_only=True)
class AwsThrottles(Breakage):
    """AWS refuses half of all attempts. The client retries, so few calls fail."""

    seed: int
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def call(self, world: FaultyWorld, call: Call) -> Any:
        if not _asks_aws(call):
            return call.ask()
        for attempt in range(AWS_ATTEMPTS):
            if self._random.random() >= 0.5:
                return call.ask()
            world.pass_time(self._random.random() * min(2**attempt, AWS_BACKOFF_SECONDS))
        self.hits += 1
        raise _failure(call, _refused("Throttling", "Rate exceeded")(call.method))


@dataclass(kw_only=True)
class ApiServerDown(Breakage):
    """No pod can be read. Pulumi can only update targets outside Kubernetes."""

    def call(self, world: FaultyWorld, call: Call) -> Any:
        if call.port in ("replicas", "cluster"):
            self.hits += 1
            world.pass_time(3)
            raise MaxRetryError(HTTPConnectionPool("10.0.0.10", 443), "/api/v1/pods", OSError("Connection refused"))
        targets = call.named.get("targets")
        if _updates(call) and (not targets or any("::kubernetes:" in urn for urn in targets)):
            self.hits += 1
            raise UpdateFailedError("update failed: configured Kubernetes cluster is unreachable: connection refused")
        return call.ask()


@dataclass(kw_only=True)
class PrometheusDown(Breakage):
    """Prometheus does not answer."""

    def call(self, world: FaultyWorld, call: Call) -> Any:
        del world
        if call.port != "metrics":
            return call.ask()
        self.hits += 1
        raise RolloutError("rollout.prometheus_url http://prometheus:9090: Prometheus does not answer")


@dataclass(kw_only=True)
class PrometheusEmpty(Breakage):
    """Prometheus answers without samples."""

    def call(self, world: FaultyWorld, call: Call) -> Any:
        del world
        if call.port != "metrics":
            return call.ask()
        self.hits += 1
        return None if call.method == "running_requests" else {color: Counters() for color in COLORS}


@dataclass(kw_only=True)
class PodsFail(Breakage):
    """Some pods of a colour are not ready."""

    color: Color
    count: int
    reason: str

    def begin(self, world: FaultyWorld) -> None:
        world.not_ready[self.color] = (self.count, self.reason)

    def end(self, world: FaultyWorld) -> None:
        del world.not_ready[self.color]


@dataclass(kw_only=True)
class NoCapacity(Breakage):
    """EC2 has no instance for new nodes of the candidate, so its pods get no node. Nodes that run stay."""

    _lacks_nodes: bool = field(default=False, init=False)

    def begin(self, world: FaultyWorld) -> None:
        if not world.pods(CANDIDATE):
            self._lacks_nodes = True
            world.not_ready[CANDIDATE] = (2, "Unschedulable: 0/2 nodes are available")

    def end(self, world: FaultyWorld) -> None:
        self._lacks_nodes = False
        world.not_ready.pop(CANDIDATE, None)

    def call(self, world: FaultyWorld, call: Call) -> Any:
        if not self._lacks_nodes or call.method != "node_group":
            return call.ask()
        self.hits += 1
        message = "InsufficientInstanceCapacity - We currently do not have sufficient g6e.2xlarge capacity"
        # The group tries again every few seconds.
        launch = Launch(id=str(world.clock.elapsed // 20), failed=True, message=message)
        return NodeGroupState(name="chat-green-1", status="DEGRADED", launches=(launch,))


@dataclass(kw_only=True)
class Slow(Breakage):
    """The candidate's first token comes late."""

    def begin(self, world: FaultyWorld) -> None:
        world.ttft_bucket[CANDIDATE] = "2.5"

    def end(self, world: FaultyWorld) -> None:
        world.ttft_bucket[CANDIDATE] = "0.25"


@dataclass(kw_only=True)
class Stalls(Breakage):
    """Half of the candidate's answers never begin, until the clients hang up. Nothing counts that as a failure."""

    def begin(self, world: FaultyWorld) -> None:
        world.abandoned_rate[CANDIDATE] = 0.5

    def end(self, world: FaultyWorld) -> None:
        world.abandoned_rate[CANDIDATE] = world.abandoned_rate[OUTGOING]


@dataclass(kw_only=True)
class WrongAnswers(Breakage):
    """The candidate answers fluently but wrongly."""

    def begin(self, world: FaultyWorld) -> None:
        world.smoke = Verdict.FAIL

    def end(self, world: FaultyWorld) -> None:
        world.smoke = Verdict.PASS


@dataclass(kw_only=True)
class BinderStopped(Breakage):
    """New pods are not registered as targets, and ended pods are not deregistered."""

    def begin(self, world: FaultyWorld) -> None:
        world.registered = {color: world.health(color).total for color in COLORS}

    def end(self, world: FaultyWorld) -> None:
        world.registered = None


@dataclass(kw_only=True)
class Lag(Breakage):
    """Requests follow a change of the rule late."""

    seconds: float

    def begin(self, world: FaultyWorld) -> None:
        world.weight_lag_seconds = self.seconds

    def end(self, world: FaultyWorld) -> None:
        world.weight_lag_seconds = 0


@dataclass(kw_only=True)
class SecondRamp(Breakage):
    """Somebody starts another ramp while this one holds the lock."""

    lock: Lock
    refusal: str = field(default="", init=False)

    def begin(self, world: FaultyWorld) -> None:
        del world
        try:
            with self.lock:
                pass
        except RefusedError as error:
            self.refusal = str(error)


@dataclass(kw_only=True)
class StackLocked(Breakage):
    """An engineer's `pulumi up` holds the stack's lock."""

    def call(self, world: FaultyWorld, call: Call) -> Any:
        if not _updates(call) or call.method == "preview":
            return call.ask()
        self.hits += 1
        world.pass_time(1)
        raise StackLockedError("the stack is currently locked by 1 lock(s)")


@dataclass(kw_only=True)
class WeightMoved(Breakage):
    """An engineer's `pulumi up` from another checkout with the same serial, as far as the guards allow. It takes all
    weight from the idle colour, or gives it half."""

    def begin(self, world: FaultyWorld) -> None:
        idle = other_color(world.state.active_color)
        if world.weights[idle]:
            weight = 0
        elif world.state.color(idle).serves:
            weight = 50
        else:
            return
        green_weight = green_weight_for(idle, weight)
        world.state = world.state.model_copy(update={"green_weight": green_weight})
        world.move_traffic(green_weight)
        self.hits += 1


@dataclass(kw_only=True)
class WeightPutBack(Breakage):
    """A running `pulumi up` twice restores the weight that a rollback has just taken away."""

    times_left: int = 2

    def call(self, world: FaultyWorld, call: Call) -> Any:
        before = world.weights["green"]
        answer = call.ask()
        if call.method == "set_green_weight" and self.times_left and before != world.weights["green"]:
            self.times_left -= 1
            world.move_traffic(before)
        return answer


@dataclass(kw_only=True)
class ForeignChange(Breakage):
    """An engineer has changed the program, but has not run `pulumi up` yet."""

    def begin(self, world: FaultyWorld) -> None:
        world.foreign = [_FOREIGN]

    def end(self, world: FaultyWorld) -> None:
        world.foreign = []


@dataclass(kw_only=True)
class StaleConfig(Breakage):
    """The config file is reset to its content before the rollout, as by `git checkout`."""

    former: Mapping[str, Any]

    def begin(self, world: FaultyWorld) -> None:
        world.config.values = dict(self.former)
        ServiceSettings.model_validate(world.config.values)


@dataclass(kw_only=True)
class DiskFull(Breakage):
    """No record can be written."""

    def call(self, world: FaultyWorld, call: Call) -> Any:
        if call.port != "journal" or call.method != "write":
            return call.ask()
        if not world.journal.best_effort:
            self.hits += 1
            raise JournalError("chat.jsonl: cannot be written (No space left on device)")
        if isinstance(call.arguments[0], Finished):
            return call.ask()  # listeners still get it
        world.journal.lose(call.arguments[0])
        return None


@dataclass(kw_only=True)
class ClockJump(Breakage):
    """This machine's wall clock jumps. The clocks of Prometheus and AWS do not."""

    seconds: float

    def begin(self, world: FaultyWorld) -> None:
        world.wall_clock_offset_seconds = self.seconds

    def end(self, world: FaultyWorld) -> None:
        world.wall_clock_offset_seconds = 0

    def call(self, world: FaultyWorld, call: Call) -> Any:
        if call.method == "counters" and call.arguments[0] > world.clock.now() + PROMETHEUS_LOOKBACK:
            return {color: Counters() for color in COLORS}
        return call.ask()


def stack_lock(world: FaultyWorld, folder: Path) -> Lock:
    """Return the lock for one ramp of the stack whose records are in a folder."""
    return Lock(FileStore(folder), "ramp", clock=world.clock, expiry_seconds=LOCK_EXPIRY_SECONDS, beats=False)


def ways(fault: Fault, world: FaultyWorld, folder: Path) -> dict[str, Breakage]:
    """Return the variants of a fault, by name."""
    candidate = frozenset[Color]({CANDIDATE})
    throttled, failing, hanging = "Throttling|Rate exceeded", "InternalFailure|Injected", "does not answer|Read timeout"
    unavailable = _refused("InternalFailure", "Injected")
    patience = AWS_ATTEMPTS * AWS_READ_TIMEOUT_SECONDS
    match fault:
        case Fault.AWS_THROTTLING:
            return {f"seed {seed}": AwsThrottles(words=throttled, seed=seed) for seed in range(3)}
        case Fault.AWS_5XX:
            return {
                name: AwsFails(words=failing, error=unavailable, seconds=AWS_BACKOFF_SECONDS, makes_changes=made)
                for name, made in (("nothing is done", False), ("changes are made", True))
            }
        case Fault.AWS_TIMEOUTS:
            return {
                name: AwsFails(words=hanging, error=_hung, seconds=patience, makes_changes=made)
                for name, made in (("nothing is done", False), ("changes are made", True))
            }
        case Fault.API_SERVER_DOWN:
            return {"": ApiServerDown(words="unreachable|Connection refused|does not answer")}
        case Fault.PROMETHEUS_DOWN:
            return {"": PrometheusDown(words="Prometheus does not answer")}
        case Fault.PROMETHEUS_EMPTY:
            return {"": PrometheusEmpty(words="no data|no verdict")}
        case Fault.CRASH_LOOP:
            reason = "CrashLoopBackOff"
            words = f"{reason}|0 of 2 targets healthy|could not be attested|no healthy target"
            return {"": PodsFail(words=words, excused=candidate, color=CANDIDATE, count=2, reason=reason)}
        case Fault.SLOW:
            return {"": Slow(words="ttft")}
        case Fault.STALLS:
            return {"": Stalls(words="abandoned")}
        case Fault.WRONG_ANSWERS:
            return {"": WrongAnswers(words="smoke")}
        case Fault.NODE_LOST:
            return {
                f"of {color}": PodsFail(words="1 of 2|ready", color=color, count=1, reason="")
                for color in (CANDIDATE, OUTGOING)
            }
        case Fault.NO_CAPACITY:
            return {"": NoCapacity(words="InsufficientInstanceCapacity|Unschedulable")}
        case Fault.BINDER_STOPPED:
            return {"": BinderStopped(words="targets healthy")}
        case Fault.ALB_LAG:
            return {f"of {seconds:g} s": Lag(words="splits|attest|waiting|lag", seconds=seconds) for seconds in (5, 30)}
        case Fault.SECOND_RAMP:
            return {"": SecondRamp(words="", lock=stack_lock(world, folder))}
        case Fault.ENGINEERS_UP:
            return {
                "that holds the lock": StackLocked(words="currently locked"),
                "that moves weight": WeightMoved(words="splits|the live rule|still has weight|got weight"),
                "that puts the weight back": WeightPutBack(words=""),
                "that has not run yet": ForeignChange(words="chat-blue|other changes", needs_a_person=True),
            }
        case Fault.STALE_CONFIG:
            return {
                "": StaleConfig(words="config|splits|other changes|stale|settings|green_weight", former=world.former)
            }
        case Fault.DISK_FULL:
            return {"": DiskFull(words="No space left")}
        case Fault.CLOCK_JUMP:
            return {
                name: ClockJump(words="no data|keep_until|waiting", seconds=seconds)
                for name, seconds in (("an hour ahead", 3600.0), ("an hour back", -3600.0))
            }
