"""Taking a colour out of use, in an order that harms nobody: no weight, no pods, no nodes."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from components.config.settings import ServiceSettings
from components.domain.naming import Color
from rollout.model.errors import PolicyRefusedError, RolloutError, UnavailableError, UpdateFailedError
from rollout.model.nodes import Pod
from rollout.model.records import NodesReleased, Note, Parked
from rollout.ports import Ports
from rollout.steps.retry import retry
from rollout.steps.updates import Updater
from rollout.system.failures import describe_error

RETRY_SECONDS: Final = 15.0
"""Between updates that fail where nobody waits for them."""


def park(
    ports: Ports,
    updater: Updater,
    color: Color,
    *,
    message: str,
    patience_seconds: float = 0.0,
) -> None:
    """End a colour's replicas and wait until the last one has finished its requests and is gone.

    Args:
        ports: the world.
        updater: who updates the stack.
        color: the colour.
        message: what the update is for.
        patience_seconds: for how long to try again what fails.

    Raises:
        RolloutError: the colour has weight, the update is refused or fails, or pods stay.
    """
    rule = retry(
        ports.load_balancer.rule,
        ports.clock,
        patience_seconds=lambda: patience_seconds,
        pause_seconds=RETRY_SECONDS,
    )
    if rule.weights[color]:
        raise RolloutError(f"{color} still has weight {rule.weights[color]} and is not parked")
    settings = ports.config.read()
    known = settings.color(color)
    standing = frozenset[str]() if known.serves else _standing(ports, color)
    strange = standing - {"" if known.release is None else known.release.release_id}
    # A stale file may say that it is parked already; the stack does not, then, and follows with the next update.
    if known.serves or (standing and not strange):
        # A promise to keep this colour ends here.
        _update(ports, updater, color, {f"{color}.parked": True, "keep_until": ""}, message, patience_seconds)
    elif strange:
        raise RolloutError(
            f"pods of {color} run release {', '.join(sorted(strange))}, of which the config file knows nothing: the "
            "file is stale. Put the newest one back (the one that the rollout has written), and run scripts.rollback "
            "again"
        )
    _await_gone(ports, settings, color)
    ports.journal.write(Parked(color=color))


def release_nodes(ports: Ports, updater: Updater, color: Color, *, message: str, patience_seconds: float = 0.0) -> None:
    """Give a parked colour's nodes back, unless the headroom mode keeps them up.

    Raises:
        RolloutError: the update is refused or fails.
    """
    settings = ports.config.read()
    if settings.headroom_mode == "always" or not settings.color(color).nodes_wanted:
        return
    _update(ports, updater, color, {f"{color}.provisioned": False}, message, patience_seconds)
    ports.journal.write(NodesReleased(color=color))


def _update(
    ports: Ports,
    updater: Updater,
    color: Color,
    edits: Mapping[str, JsonValue],
    message: str,
    patience_seconds: float,
) -> None:
    """Update a colour; what fails for want of a lock or a service is tried again."""
    retry(
        lambda: updater.change_color(color, edits, message=message),
        ports.clock,
        patience_seconds=lambda: patience_seconds,
        pause_seconds=RETRY_SECONDS,
        on_failure=lambda error: ports.journal.write(Note(text=f"{message}: tried again until it works: {error}")),
        transient=(UpdateFailedError, UnavailableError),
        fatal=(PolicyRefusedError,),
    )


def _await_gone(ports: Ports, settings: ServiceSettings, color: Color) -> None:
    # A node group that scales in ignores disruption budgets, so no pod may be left on its nodes.
    timeout_seconds = settings.drain_chain.grace_period_seconds + settings.rollout.ready_timeout_seconds
    deadline = ports.clock.monotonic() + timeout_seconds
    while left := _left(ports, color):
        if ports.clock.monotonic() > deadline:
            raise RolloutError(f"pods of {color} are still there after {timeout_seconds:.0f} s: {left}")
        ports.clock.sleep(min(settings.rollout.poll_seconds, 1))


def _standing(ports: Ports, color: Color) -> frozenset[str]:
    """Return the releases of the pods that nobody has asked to end; empty when none are known."""
    try:
        pods = ports.replicas.pods(color)
    except Exception:  # they are asked for again
        return frozenset()
    return frozenset(pod.release_id for pod in pods if not pod.terminating)


def _left(ports: Ports, color: Color) -> str:
    """Say which pods are left, and why as far as known; empty when none are."""
    try:
        pods = ports.replicas.pods(color)
    except Exception as error:  # whatever it fails with, it has not said that they are gone
        return f"nothing is known of them: {describe_error(error)}"
    return "; ".join(f"{pod.name} ({_why(pod)})" for pod in pods)


def _why(pod: Pod) -> str:
    if pod.terminating:
        return "terminating: it finishes its requests, or its node does not answer"
    return "not asked to end: Kubernetes' controllers have not followed the Deployment yet"
