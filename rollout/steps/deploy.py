"""Deploys a release on the idle colour, and waits until it is ready or until a colour is idle."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import JsonValue

from components.config.release.release import Release
from components.config.settings import ServiceSettings
from components.domain.naming import Color, other_color
from components.domain.vllm.vllm_version import MIN_VLLM_TEXT
from rollout.gates.attestation import CLIENTS_SEEN, AttestationTimeoutError, attest_idle
from rollout.model.counts import counts_text
from rollout.model.errors import RolloutError, UpdateFailedError
from rollout.model.nodes import Pod
from rollout.model.records import Note
from rollout.model.verdict import TargetHealth
from rollout.ports import Ports
from rollout.steps.node_starts import NodeStarts
from rollout.steps.retire import park
from rollout.steps.updates import Updater
from rollout.system.waits import waiting

# Waiting reasons that do not go away by waiting.
CRASHING = "CrashLoopBackOff"
_UNSCHEDULABLE = "Unschedulable"
HOPELESS = frozenset({CRASHING, "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"})
# A container may fail once or twice at first, e.g. while a mount is missing or the network is slow.
FORGIVEN_RESTARTS = 2


def deploy(
    ports: Ports,
    updater: Updater,
    color: Color,
    release: Release,
    replicas: int | None = None,
    *,
    floor: int | None = None,
) -> None:
    """Bring up the nodes, then the replicas, at weight 0.

    Args:
        ports: the ports.
        updater: updates the stack.
        color: the colour.
        release: what it will serve.
        replicas: how many replicas. None for all of the colour's.
        floor: how many replicas at least. None without an autoscaler.

    Raises:
        RolloutError: an update is refused or fails, nodes do not start, or the pods of an older release stay.
    """
    settings, starts = ports.config.read(), NodeStarts(ports, color)
    colored = settings.color(color)
    former = any(pod.release_id != release.release_id for pod in ports.replicas.pods(color))
    if former or (colored.serves and colored.release != release):
        # Two releases at once would need nodes for both, so park the former one first.
        park(ports, updater, color, message=f"park the former release of {color}")
    edits: dict[str, JsonValue] = {"rolling_out": True, "keep_until": "", f"{color}.parked": True}
    if settings.declares_nodes:
        edits[f"{color}.provisioned"] = True
    if settings.declares_nodes and not settings.nodes_stay_up and not colored.nodes_wanted:
        updater.change_color(color, edits, message=f"bring the nodes of {color} up", watch=starts.check)
    bundle = release.model_dump(mode="json", exclude_defaults=True)
    edits |= {f"{color}.release": bundle, f"{color}.parked": False}
    if replicas is not None:
        edits[f"{color}.running_replicas"] = 0 if replicas == colored.replicas else replicas
    if floor is not None:
        edits[f"{color}.floor_replicas"] = floor
    updater.change_color(
        color,
        edits,
        message=f"deploy release {release.release_id} on {color}",
        watch=lambda: give_up_on_pods(ports, color, release.release_id, starts),
    )


def await_ready(ports: Ports, color: Color, release_id: str) -> None:
    """Wait until every replica is ready and every target is healthy. With an autoscaler, at least the floor's.

    Raises:
        RolloutError: it takes too long, or a pod cannot come up. The message says what is missing.
    """
    settings = ports.config.read()
    timeout_seconds = settings.cold_start_seconds + settings.rollout.ready_timeout_seconds
    deadline = ports.clock.monotonic() + timeout_seconds
    wanted, noted, starts = settings.color(color).wanted_replicas, "", NodeStarts(ports, color)
    what = f"{wanted} replicas of {color} to be ready"
    with waiting(what, at_most_seconds=timeout_seconds):
        while True:
            pods = ports.replicas.pods(color)
            ours = [pod for pod in pods if pod.release_id == release_id and not pod.terminating]
            ready = sum(pod.ready for pod in ours)
            health = ports.load_balancer.health(color)
            if len(ours) == len(pods) and _stands(settings, wanted, ready, health):
                ports.journal.write(
                    Note(text=f"{ready} replicas of {color} are ready, {health.healthy} targets healthy")
                )
                return
            _give_up_on(ours)
            if _lack_nodes(ours):
                starts.check()
            state = f"{ready} of {wanted} replicas of {color} ready, {health.healthy} of {wanted} targets healthy"
            reasons = "; ".join(sorted({pod.waiting_reason for pod in ours if pod.waiting_reason}))
            state += f" ({reasons})" if reasons else ""
            if ports.clock.monotonic() > deadline:
                started = len(ours)
                scaler = f". The autoscaler has started {started} of {wanted}; the events of the ScaledObject say why"
                raise RolloutError(
                    f"not ready after {timeout_seconds:.0f} s: {state}, target states {counts_text(health.states)}"
                    + (scaler if settings.autoscaling is not None and started < wanted else "")
                )
            if state != noted:
                ports.journal.write(Note(text=state))
                noted = state
            ports.clock.sleep(min(settings.rollout.poll_seconds, 1))


def _stands(settings: ServiceSettings, wanted: int, ready: int, health: TargetHealth) -> bool:
    """Return whether a colour has its replicas. An autoscaler may be starting more."""
    if settings.autoscaling is not None:
        return ready >= wanted and health.healthy >= wanted
    return ready == wanted and health.healthy == health.total == wanted


def await_idle(ports: Ports, color: Color) -> None:
    """Wait until no request can run on a colour: no weight for the deregistration delay, and no request in flight.

    Raises:
        RolloutError: the colour got weight, or requests still run after the longest time that one may take.
    """
    settings = ports.config.read()
    changed = ports.rule_changed_at or ports.clock.now()
    _wait_out_the_drain(ports, settings, color, changed)
    attest_idle(ports, color, since=changed)
    timeout_seconds = settings.max_stream_seconds + settings.rollout.ready_timeout_seconds
    deadline = ports.clock.monotonic() + timeout_seconds
    with waiting(f"the last requests on {color}", at_most_seconds=timeout_seconds):
        while ports.replicas.pods(color) and (running := ports.metrics.running_requests(color)) != 0:
            if ports.clock.monotonic() > deadline:
                what = "there is no data of its requests" if running is None else f"{running:.0f} requests still run"
                raise RolloutError(f"{color} is not idle after {timeout_seconds:.0f} s: {what}; it is left as it is")
            ports.clock.sleep(settings.rollout.poll_seconds)
    if (rule := ports.load_balancer.rule()).serves(color):
        raise RolloutError(f"{color} got {rule.share_text(color)} meanwhile; it is left as it is")


def await_unused(ports: Ports, color: Color, *, since: datetime) -> None:
    """Wait until a rolled-back colour gets no more requests: the load balancer may follow its rule late.

    This does not wait for running requests: parking does, because pods finish their requests. But the load balancer may
    count a request only when it ends, so the colour must be quiet for as long as a request may take. If the load
    balancer's counts are missing, waiting for the attestation timeout is enough.

    Raises:
        AttestationTimeoutError: clients' requests still reach the colour.
        RolloutError: the colour has weight.
    """
    quiet_seconds = ports.config.read().max_stream_seconds
    try:
        attest_idle(ports, color, since=since, quiet_seconds=quiet_seconds)
    except AttestationTimeoutError as error:
        if error.cause == CLIENTS_SEEN:
            raise
        ports.journal.write(Note(text=f"{color} is parked without proof that it gets no more requests: {error}"))


def require_standing(ports: Ports, color: Color) -> None:
    """Make sure that a colour can serve alone.

    Raises:
        RolloutError: not all of its replicas are healthy.
    """
    health, needed = ports.load_balancer.health(color), ports.config.read().color(color).wanted_replicas
    if health.healthy < needed:
        raise RolloutError(
            f"{color} has {health.healthy} of {needed} targets healthy ({counts_text(health.states)}), so "
            f"{other_color(color)} may still be needed: it is left as it is"
        )


def _wait_out_the_drain(ports: Ports, settings: ServiceSettings, color: Color, changed: datetime) -> None:
    over = changed.timestamp() + settings.drain_chain.deregistration_delay_seconds
    # The cap is for a clock that was set back meanwhile.
    left_seconds = min(over - ports.clock.now().timestamp(), settings.drain_chain.deregistration_delay_seconds)
    if left_seconds > 0:
        ports.journal.write(Note(text=f"waiting {left_seconds:.0f} s for the deregistration delay of {color}"))
        with waiting(f"the deregistration delay of {color}", at_most_seconds=left_seconds):
            ports.clock.sleep(left_seconds)


def give_up_on_pods(ports: Ports, color: Color, release_id: str, starts: NodeStarts) -> None:
    """Raise early for pods that crash repeatedly or get no node: the update would wait for them as for slow ones.

    Raises:
        UpdateFailedError: a pod has crashed too often, or nodes do not start.
    """
    try:
        pods = ports.replicas.pods(color)
    except Exception:  # the update itself reports that Kubernetes does not answer
        return
    for pod in pods:
        if pod.release_id == release_id and pod.waiting_reason == CRASHING and pod.restarts > FORGIVEN_RESTARTS:
            raise UpdateFailedError(_does_not_come_up(pod))
    if _lack_nodes(pod for pod in pods if pod.release_id == release_id):
        starts.check()


def _lack_nodes(pods: Iterable[Pod]) -> bool:
    return any(pod.waiting_reason.startswith(_UNSCHEDULABLE) for pod in pods)


def _give_up_on(pods: list[Pod]) -> None:
    for pod in pods:
        if pod.waiting_reason in HOPELESS and (pod.restarts > FORGIVEN_RESTARTS or "Image" in pod.waiting_reason):
            raise RolloutError(_does_not_come_up(pod))


def _does_not_come_up(pod: Pod) -> str:
    what = f"pod {pod.name} does not come up: {pod.waiting_reason} after {pod.restarts} restarts"
    if not pod.crash:
        return what
    # https://docs.python.org/3/library/argparse.html#argparse.ArgumentParser.parse_known_args
    unknown = "unrecognized arguments" in pod.crash
    fix = f". engine_args must fit the image's vLLM, which must be {MIN_VLLM_TEXT} or newer" if unknown else ""
    return f"{what}; its log ends with: {pod.crash}{fix}"
