"""Gives places of one colour to the other: one shrinks and drains, then the other grows and is ready.

What is there decides what is done, so each function can be called again after any interruption.
"""

from components.config.settings import ColorSettings
from components.domain.naming import Color
from rollout.model.errors import RefusedError, RolloutError
from rollout.model.records import Resized
from rollout.ports import Ports
from rollout.steps.deploy import await_ready, give_up_on_pods
from rollout.steps.node_starts import NodeStarts
from rollout.steps.retire import await_left
from rollout.steps.updates import Updater


def shrink(ports: Ports, updater: Updater, color: Color, replicas: int, *, rollback: bool = False) -> None:
    """End a colour's replicas beyond so many, and wait until they have finished their requests and are gone.

    Args:
        ports: the ports.
        updater: updates the stack.
        color: the colour. If it runs no more than that, nothing is done.
        replicas: how many it keeps.
        rollback: whether this is part of a rollback: then no policy stands in the way.

    Raises:
        RefusedError: the config file knows nothing of the pods.
        RolloutError: the update is refused or fails, or pods stay.
    """
    settings, began = ports.config.read(), ports.clock.monotonic()
    colored = settings.color(color)
    if not colored.serves and ports.replicas.pods(color):
        raise RefusedError(
            f"pods of {color} run, but the config file says that none do: the file is stale. Restore the newest one "
            "(the one that the rollout wrote), and run scripts.rollback again"
        )
    if not colored.serves or (colored.wanted_replicas <= replicas and len(ports.replicas.pods(color)) <= replicas):
        return
    set_replicas(ports, updater, color, min(replicas, colored.wanted_replicas), rollback=rollback)
    await_left(ports, settings, color, replicas)
    record_resize(ports, color, colored.wanted_replicas, replicas, began)


def grow(ports: Ports, updater: Updater, color: Color, replicas: int) -> None:
    """Start a colour's replicas up to so many, and wait until all are ready and healthy in the target group.

    Raises:
        RolloutError: the update is refused or fails, or the replicas do not become ready.
    """
    began, colored = ports.clock.monotonic(), ports.config.read().color(color)
    set_replicas(ports, updater, color, replicas)
    await_ready(ports, color, release_id_of(colored))
    if colored.wanted_replicas != replicas:
        record_resize(ports, color, colored.wanted_replicas, replicas, began)


def set_replicas(ports: Ports, updater: Updater, color: Color, replicas: int, *, rollback: bool = False) -> None:
    """Declare how many replicas a colour runs, unless config and pods say so already.

    Raises:
        RolloutError: the update is refused or fails.
    """
    colored = ports.config.read().color(color)
    standing = sum(not pod.terminating for pod in ports.replicas.pods(color))
    if colored.wanted_replicas == replicas == standing:
        return
    message = f"run {replicas} replicas of {color}"
    if rollback:
        # All replicas are written as their number, too: 0 says that they have been ready.
        updater.resize(color, replicas, message=message, with_policies=False)
        return
    starts, release_id = NodeStarts(ports, color), release_id_of(colored)
    updater.resize(
        color,
        0 if replicas == colored.replicas else replicas,
        message=message,
        watch=lambda: give_up_on_pods(ports, color, release_id, starts),
    )


def release_id_of(colored: ColorSettings) -> str:
    """Return the id of the release that a colour runs.

    Raises:
        RolloutError: it has none.
    """
    if colored.release is None:
        raise RolloutError("a colour without a release cannot get more replicas")
    return colored.release.release_id


def record_resize(ports: Ports, color: Color, former: int, replicas: int, began: float) -> None:
    """Record a colour's new number of replicas, and how long it took since a moment of the monotonic clock."""
    seconds = round(ports.clock.monotonic() - began, 1)
    ports.journal.write(Resized(color=color, former=former, replicas=replicas, seconds=seconds))
