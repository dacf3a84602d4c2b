"""Takes a colour out of use in a safe order: first no weight, then no pods, then no nodes."""

from collections.abc import Callable
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
from rollout.system.waits import waiting

RETRY_SECONDS: Final = 15.0
"""The pause between attempts of a failing update that no user waits for."""


def park(
    ports: Ports,
    updater: Updater,
    color: Color,
    *,
    message: str,
    patience_seconds: float = 0.0,
) -> None:
    """End a colour's replicas, and wait until the last one has finished its requests and is gone.

    Args:
        ports: the ports.
        updater: updates the stack.
        color: the colour.
        message: what the update is for.
        patience_seconds: how long to retry failures.

    Raises:
        RolloutError: the colour has weight, the update is refused or fails, or pods stay.
    """
    rule = retry(
        ports.load_balancer.rule,
        ports.clock,
        patience_seconds=lambda: patience_seconds,
        pause_seconds=RETRY_SECONDS,
    )
    if rule.serves(color):
        raise RolloutError(f"{color} still has {rule.share_text(color)} and is not parked")
    settings = ports.config.read()
    known = settings.color(color)
    standing = frozenset[str]() if known.serves else _standing(ports, color)
    unknown = standing - {"" if known.release is None else known.release.release_id}
    # A stale file may say that the colour is parked already. The stack then follows with this update.
    if known.serves or (standing and not unknown):
        # Parking ends the colour's keep-warm window.
        edits: dict[str, JsonValue] = {f"{color}.parked": True, "keep_until": ""}
        if settings.autoscaling is not None:
            edits[f"{color}.floor_replicas"] = 0
        _persist(lambda: updater.change_color(color, edits, message=message), ports, message, patience_seconds)
    elif unknown:
        raise RolloutError(
            f"pods of {color} run release {', '.join(sorted(unknown))}, which the config file does not contain: the "
            "file is stale. Restore the newest one (the one that the rollout wrote), and run scripts.rollback again"
        )
    await_left(ports, settings, color, 0)
    ports.journal.write(Parked(color=color))


def release_nodes(ports: Ports, updater: Updater, color: Color, *, message: str, patience_seconds: float = 0.0) -> None:
    """Release a parked colour's nodes, unless the headroom mode keeps them or others bring them.

    Raises:
        RolloutError: the update is refused or fails.
    """
    if not ports.config.read().gives_back_nodes(color):
        return
    _persist(lambda: updater.release_nodes(color, message=message), ports, message, patience_seconds)
    ports.journal.write(NodesReleased(color=color))


def _persist(update: Callable[[], None], ports: Ports, message: str, patience_seconds: float) -> None:
    """Update a colour. Failed updates and unavailable services are retried; refusals by policy are not."""
    retry(
        update,
        ports.clock,
        patience_seconds=lambda: patience_seconds,
        pause_seconds=RETRY_SECONDS,
        on_failure=lambda error: ports.journal.write(Note(text=f"{message}: failed and is retried: {error}")),
        transient=(UpdateFailedError, UnavailableError),
        fatal=(PolicyRefusedError,),
    )


def await_left(ports: Ports, settings: ServiceSettings, color: Color, replicas: int) -> None:
    """Wait until a colour has at most so many pods left, including those that are finishing their requests.

    Raises:
        RolloutError: pods stay. The message says which, and why.
    """
    # A node group that scales in ignores disruption budgets, so no pod may be left on its nodes. And a GPU is free only
    # once its pod is gone.
    # https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
    timeout_seconds = settings.drain_chain.grace_period_seconds + settings.rollout.ready_timeout_seconds
    deadline = ports.clock.monotonic() + timeout_seconds
    with waiting(f"the pods of {color} to finish their requests and go", at_most_seconds=timeout_seconds):
        while left := _left(ports, color, replicas):
            if ports.clock.monotonic() > deadline:
                raise RolloutError(f"pods of {color} are still there after {timeout_seconds:.0f} s: {left}")
            ports.clock.sleep(min(settings.rollout.poll_seconds, 1))


def _standing(ports: Ports, color: Color) -> frozenset[str]:
    """Return the releases of the pods that are not terminating. Empty when they cannot be listed."""
    try:
        pods = ports.replicas.pods(color)
    except Exception:  # the wait for their end lists them again
        return frozenset()
    return frozenset(pod.release_id for pod in pods if not pod.terminating)


def _left(ports: Ports, color: Color, replicas: int) -> str:
    """Return which pods are left, and why if known. Empty when there are no more than so many."""
    try:
        pods = ports.replicas.pods(color)
    except Exception as error:  # a failed read is no evidence that they are gone
        return f"they cannot be listed: {describe_error(error)}"
    if len(pods) <= replicas:
        return ""
    return "; ".join(f"{pod.name} ({_why(pod)})" for pod in pods)


def _why(pod: Pod) -> str:
    if pod.terminating:
        return "terminating: it is finishing its requests, or its node does not answer"
    return "not terminating: Kubernetes' controllers have not followed the Deployment yet"
