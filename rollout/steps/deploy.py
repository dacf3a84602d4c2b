"""Bringing a release up on the idle colour, and waiting: until all of it is ready, or until a colour is idle."""

from datetime import datetime

from pydantic import JsonValue

from components.config.release import Release
from components.config.settings import ServiceSettings
from components.domain.naming import Color, other_color
from rollout.gates.attestation import CLIENTS_SEEN, AttestationTimeoutError, attest_idle
from rollout.model.errors import RolloutError, UpdateFailedError
from rollout.model.nodes import Pod
from rollout.model.records import Note
from rollout.ports import Ports
from rollout.steps.retire import park
from rollout.steps.updates import Updater

# Waiting reasons that more waiting does not cure.
CRASHING = "CrashLoopBackOff"
HOPELESS = frozenset({CRASHING, "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"})
# A container may well start twice, for want of a mount or a slow network.
FORGIVEN_RESTARTS = 2


def deploy(ports: Ports, updater: Updater, color: Color, release: Release) -> None:
    """Bring the nodes up, then the replicas, at no weight.

    Raises:
        RolloutError: an update is refused or fails, or an older release does not go.
    """
    colored = ports.config.read().color(color)
    former = any(pod.release_id != release.release_id for pod in ports.replicas.pods(color))
    if former or (colored.serves and colored.release != release):
        # Two releases at once would need nodes for both.
        park(ports, updater, color, message=f"park the former release of {color}")
    edits: dict[str, JsonValue] = {
        "rolling_out": True,
        "keep_until": "",
        f"{color}.provisioned": True,
        f"{color}.parked": True,
    }
    if not colored.nodes_wanted:
        updater.change_color(color, edits, message=f"bring the nodes of {color} up")
    bundle = release.model_dump(mode="json", exclude_defaults=True)
    edits |= {f"{color}.release": bundle, f"{color}.parked": False}
    updater.change_color(
        color,
        edits,
        message=f"deploy release {release.release_id} on {color}",
        watch=lambda: _give_up_on_crashes(ports, color, release.release_id),
    )


def await_ready(ports: Ports, color: Color, release_id: str) -> None:
    """Wait until every replica is ready and every target healthy.

    Raises:
        RolloutError: that takes too long, or cannot come true any more; the message says what is missing.
    """
    settings = ports.config.read()
    timeout_seconds = settings.cold_start_seconds + settings.rollout.ready_timeout_seconds
    deadline = ports.clock.monotonic() + timeout_seconds
    wanted, told = settings.color(color).replicas, ""
    while True:
        pods = ports.replicas.pods(color)
        ours = [pod for pod in pods if pod.release_id == release_id and not pod.terminating]
        ready = sum(pod.ready for pod in ours)
        health = ports.load_balancer.health(color)
        if len(ours) == len(pods) and ready == wanted and health.healthy == health.total == wanted:
            ports.journal.write(Note(text=f"{ready} replicas of {color} are ready, {health.healthy} targets healthy"))
            return
        _give_up_on(ours)
        state = f"{ready} of {wanted} replicas of {color} ready, {health.healthy} of {wanted} targets healthy"
        reasons = "; ".join(sorted({pod.waiting_reason for pod in ours if pod.waiting_reason}))
        state += f" ({reasons})" if reasons else ""
        if ports.clock.monotonic() > deadline:
            raise RolloutError(f"not ready after {timeout_seconds:.0f} s: {state}, target states {dict(health.states)}")
        if state != told:
            ports.journal.write(Note(text=state))
            told = state
        ports.clock.sleep(min(settings.rollout.poll_seconds, 1))


def await_idle(ports: Ports, color: Color) -> None:
    """Wait until no request can run on a colour: no weight for the deregistration delay, and nothing in flight.

    Raises:
        RolloutError: it got weight, or requests still run after the longest that one may take.
    """
    settings = ports.config.read()
    changed = ports.rule_changed_at or ports.clock.now()
    _wait_out_the_drain(ports, settings, color, changed)
    attest_idle(ports, color, since=changed)
    timeout_seconds = settings.max_stream_seconds + settings.rollout.ready_timeout_seconds
    deadline = ports.clock.monotonic() + timeout_seconds
    while ports.replicas.pods(color) and (running := ports.metrics.running_requests(color)) != 0:
        if ports.clock.monotonic() > deadline:
            what = "nothing is known of its requests" if running is None else f"{running:.0f} requests still run"
            raise RolloutError(f"{color} is not idle after {timeout_seconds:.0f} s: {what}; it is left as it is")
        ports.clock.sleep(settings.rollout.poll_seconds)
    if weight := ports.load_balancer.rule().weights[color]:
        raise RolloutError(f"{color} got weight {weight} meanwhile; it is left as it is")


def await_unused(ports: Ports, color: Color, *, since: datetime) -> None:
    """Wait until a colour that was rolled back gets no request any more: the load balancer may follow its rule late.

    Requests that run there are waited for when it is parked, as its pods end none. Where nothing is known of what the
    load balancer does, the time for the attestation is long enough.

    Raises:
        AttestationTimeoutError: clients still get there.
        RolloutError: it has weight.
    """
    try:
        attest_idle(ports, color, since=since, quiet_seconds=0)
    except AttestationTimeoutError as error:
        if error.cause == CLIENTS_SEEN:
            raise
        ports.journal.write(Note(text=f"{color} is parked without proof that nothing is sent there any more: {error}"))


def require_standing(ports: Ports, color: Color) -> None:
    """Make sure that a colour can do without the other one.

    Raises:
        RolloutError: not all of its replicas are healthy.
    """
    health, needed = ports.load_balancer.health(color), ports.config.read().color(color).replicas
    if health.healthy < needed:
        raise RolloutError(
            f"{color} has {health.healthy} of {needed} targets healthy ({dict(health.states)}), and "
            f"{other_color(color)} is all there is besides: it is left as it is"
        )


def _wait_out_the_drain(ports: Ports, settings: ServiceSettings, color: Color, changed: datetime) -> None:
    over = changed.timestamp() + settings.drain_chain.deregistration_delay_seconds
    # The clock may have been put back since.
    left_seconds = min(over - ports.clock.now().timestamp(), settings.drain_chain.deregistration_delay_seconds)
    if left_seconds > 0:
        ports.journal.write(Note(text=f"waiting {left_seconds:.0f} s until {color} had no weight for its drain time"))
        ports.clock.sleep(left_seconds)


def _give_up_on_crashes(ports: Ports, color: Color, release_id: str) -> None:
    """Tell early of pods that crash again and again: the update itself waits for them as long as for slow ones.

    Raises:
        UpdateFailedError: a pod has crashed too often.
    """
    try:
        pods = ports.replicas.pods(color)
    except Exception:  # whether Kubernetes answers is for the update to find out
        return
    for pod in pods:
        if pod.release_id == release_id and pod.waiting_reason == CRASHING and pod.restarts > FORGIVEN_RESTARTS:
            raise UpdateFailedError(_does_not_come_up(pod))


def _give_up_on(pods: list[Pod]) -> None:
    for pod in pods:
        if pod.waiting_reason in HOPELESS and (pod.restarts > FORGIVEN_RESTARTS or "Image" in pod.waiting_reason):
            raise RolloutError(_does_not_come_up(pod))


def _does_not_come_up(pod: Pod) -> str:
    return f"pod {pod.name} does not come up: {pod.waiting_reason} after {pod.restarts} restarts"
