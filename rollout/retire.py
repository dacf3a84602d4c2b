"""Taking a colour out of use, in an order that harms nobody: no weight, no pods, no nodes."""

from collections.abc import Mapping

from pydantic import JsonValue

from components.naming import Color, other_color
from components.settings import ServiceSettings
from rollout.errors import RolloutError, UpdateFailedError
from rollout.ports import Ports
from rollout.updates import Updater

# An API server or somebody else's update comes back within minutes; what fails for longer needs a person.
UPDATE_PATIENCE_SECONDS = 180.0
UPDATE_RETRY_SECONDS = 5.0


def park(ports: Ports, updater: Updater, color: Color, *, message: str) -> None:
    """End a colour's replicas and wait until the last one has finished its requests and is gone.

    Raises:
        RolloutError: the colour has weight, the update is refused or fails, or pods stay.
    """
    rule = ports.load_balancer.rule()
    if rule.weights[color]:
        raise RolloutError(f"{color} still has weight {rule.weights[color]} and is not parked")
    settings = ports.config.read()
    if settings.color(color).serves:
        _refuse_the_last(ports, color)
        # A promise to keep this colour ends here.
        _change(ports, updater, color, {f"{color}.parked": True, "keep_until": ""}, message=message)
    _await_gone(ports, settings, color)
    ports.journal.write("parked", color=color)


def release_nodes(ports: Ports, updater: Updater, color: Color, *, message: str) -> None:
    """Give a parked colour's nodes back, unless the headroom mode keeps them up.

    Raises:
        RolloutError: the update is refused or fails.
    """
    settings = ports.config.read()
    if settings.headroom_mode == "always" or not settings.color(color).nodes_wanted:
        return
    _change(ports, updater, color, {f"{color}.provisioned": False}, message=message)
    ports.journal.write("nodes_released", color=color)


def _change(ports: Ports, updater: Updater, color: Color, edits: Mapping[str, JsonValue], *, message: str) -> None:
    """Update, again and again for a while: no request depends on it any more, so patience costs nothing.

    Raises:
        RolloutError: the update is refused, or fails for longer than that.
    """
    deadline = ports.clock.monotonic() + UPDATE_PATIENCE_SECONDS
    while True:
        try:
            updater.change_color(color, edits, message=message)
            return
        except UpdateFailedError as error:
            if ports.clock.monotonic() >= deadline:
                raise
            ports.journal.write("note", text=f"to be tried again: {error}")
            ports.clock.sleep(UPDATE_RETRY_SECONDS)


def _refuse_the_last(ports: Ports, color: Color) -> None:
    other = other_color(color)
    if ports.load_balancer.health(other).healthy == 0:
        raise RolloutError(f"{other} has no healthy target, so {color} is left as it is: it is the only one that works")


def _await_gone(ports: Ports, settings: ServiceSettings, color: Color) -> None:
    # A node group that scales in ignores disruption budgets, so no pod may be left on its nodes.
    timeout_seconds = settings.drain_chain.grace_period_seconds + settings.rollout.ready_timeout_seconds
    deadline = ports.clock.monotonic() + timeout_seconds
    while pods := ports.replicas.pods(color):
        if ports.clock.monotonic() > deadline:
            names = ", ".join(pod.name for pod in pods)
            stale = (
                "" if settings.color(color).release else f"; the config file knows no release of {color}: is it stale?"
            )
            raise RolloutError(f"pods of {color} are still there after {timeout_seconds:.0f} s: {names}{stale}")
        ports.clock.sleep(min(settings.rollout.poll_seconds, 1))
