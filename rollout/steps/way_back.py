"""The way back of a rollback where the outgoing colour may have given up replicas: in waves, never over capacity.

First it gets the requests that its replicas carry. In each wave the candidate then gives up the replicas that the rest
does not need, the outgoing colour starts as many in their places, and gets what it can carry now. What is there decides
what comes next, so a rollback can be interrupted and resumed anywhere.
"""

from collections.abc import Callable
from datetime import timedelta

from components.config.settings import ServiceSettings
from components.domain.capacity.ladder import next_wave, waves_back, way_back
from components.domain.naming import Color
from rollout.model.errors import RefusedError, RolloutError
from rollout.model.plan import Plan, candidate_percent_of, full_weight_of
from rollout.model.records import Note
from rollout.ports import Config, LoadBalancer, Ports
from rollout.steps.resize import record_resize, set_replicas, shrink
from rollout.steps.retire import RETRY_SECONDS
from rollout.steps.retry import retry
from rollout.steps.rollback import REASSERT_SECONDS, restore_traffic
from rollout.steps.updates import Updater
from rollout.system.failures import describe_error
from rollout.system.waits import waiting


def bring_back(ports: Ports, updater: Updater, plan: Plan, *, reason: str, sent_back: int | None) -> None:
    """Send all traffic back to the outgoing colour, as fast as its replicas allow.

    Args:
        ports: the ports.
        updater: updates the stack.
        plan: the rollout's plan.
        reason: the reason, for the updates' messages.
        sent_back: the green weight to which the rule has just been set. None when that failed.

    Raises:
        UnreconciledError: traffic is back, but rule, config and state do not agree. The message says what remains.
        RolloutError: the rule could not be set, or replicas do not come up. The message says which.
    """
    outgoing, capacity, weight = plan.outgoing, plan.capacity, sent_back
    noted = waited = False
    ports.shield()
    while True:
        if weight is None:
            weight = _asked(ports, plan, lambda: weight_back(ports, plan))
        restore_traffic(
            ports,
            updater,
            green_weight=weight,
            active_color=outgoing,
            reason=reason,
            sent_back=weight == sent_back,
            rolling_out=weight != plan.initial_green_weight,
        )
        settings = ports.config.read()
        running = settings.color(outgoing).running_replicas
        if capacity is None or (weight == plan.initial_green_weight and not running):
            return
        if not running:
            raise RolloutError(
                f"{outgoing}.running_replicas: the config file says that all replicas run, but {outgoing} has given "
                "some up: the file is stale. Restore the newest one, and run scripts.rollback again"
            )
        if not noted:
            noted = True
            ports.journal.write(Note(text=_announcement(ports, settings, plan, weight)))
        if not waited and _asked(ports, plan, lambda: ports.load_balancer.health(outgoing).healthy) < running:
            # A process that has ended began this, or replicas were lost.
            waited = _grow(ports, updater, plan, running, weight)
        elif running >= capacity.replicas:
            ports.config.edit({f"{outgoing}.running_replicas": 0})
            if weight == plan.initial_green_weight:
                return
        else:
            percent = candidate_percent_of(outgoing, weight)
            candidate_replicas, outgoing_replicas = next_wave(capacity, running, percent)
            _shrink(ports, updater, plan.candidate, candidate_replicas)
            waited = _grow(ports, updater, plan, outgoing_replicas, weight)
        weight = sent_back = None


def weight_back(ports: Ports, plan: Plan) -> int:
    """Return the green weight that a rollback may set at once.

    Raises:
        UnavailableError: the load balancer does not answer now.
    """
    if plan.capacity is None:
        return plan.initial_green_weight
    return weight_back_to(ports.load_balancer, ports.config, plan.outgoing)


def weight_back_to(load_balancer: LoadBalancer, config: Config, to: Color) -> int:
    """Return the green weight that a rollback to a colour may set at once, whatever rollout it ends.

    Raises:
        UnavailableError: the load balancer does not answer now.
    """
    try:
        starting = config.read().color(to).last_replicas_start
    except RolloutError:  # users must not wait for a file
        starting = None
    return load_balancer.rule().weight_back(to, lambda color: load_balancer.health(color).healthy, starting=starting)


def _shrink(ports: Ports, updater: Updater, color: Color, replicas: int) -> None:
    _insist(ports, lambda: shrink(ports, updater, color, replicas, rollback=True))


def _grow(ports: Ports, updater: Updater, plan: Plan, replicas: int, green_weight: int) -> bool:
    """Start replicas of the outgoing colour, and wait for them. If some do not come up, the others still carry more.

    Returns:
        Whether the wait is over. False when the colour has lost all of its healthy targets: its share must move first.
    """
    color = plan.outgoing
    settings, began = ports.config.read(), ports.clock.monotonic()
    former = settings.color(color).wanted_replicas
    _insist(ports, lambda: set_replicas(ports, updater, color, replicas, rollback=True))
    timeout_seconds = settings.cold_start_seconds + settings.rollout.ready_timeout_seconds
    with waiting(f"{replicas} replicas of {color} to be healthy", at_most_seconds=timeout_seconds):
        while (healthy := _asked(ports, plan, lambda: ports.load_balancer.health(color).healthy)) < replicas:
            if not healthy and green_weight != full_weight_of(plan.candidate):
                return False
            if ports.clock.monotonic() - began > timeout_seconds:
                words = (
                    f"{healthy} of {replicas} replicas of {color} are healthy after {timeout_seconds:.0f} s; the "
                    "rollback goes on"
                )
                ports.journal.write(Note(text=words))
                break
            ports.clock.sleep(min(settings.rollout.poll_seconds, 1))
    if former != replicas:
        record_resize(ports, color, former, replicas, began)
    return True


def _insist(ports: Ports, act: Callable[[], None]) -> None:
    """Repeat what fails, for as long as an update may take: nothing else brings the rest of the traffic back."""
    began, known = ports.clock.monotonic(), set[str]()
    while True:
        try:
            act()
        except RefusedError:
            raise
        except Exception as error:  # also of Kubernetes' client
            words = describe_error(error)
            if ports.clock.monotonic() - began >= ports.config.read().rollout.update_timeout_seconds:
                raise
            if words not in known:
                known.add(words)
                ports.journal.write(Note(text=f"part of the way back failed and is retried: {words}"))
            ports.clock.sleep(RETRY_SECONDS)
        else:
            return


def _asked(ports: Ports, plan: Plan, question: Callable[[], int]) -> int:
    """Ask the load balancer until it answers, or for as long as an update may take."""
    return retry(
        question,
        ports.clock,
        patience_seconds=lambda: ports.config.read().rollout.update_timeout_seconds,
        pause_seconds=REASSERT_SECONDS,
        on_failure=lambda error: ports.journal.write(Note(text=f"what {plan.outgoing} carries is unknown: {error}")),
    )


def _announcement(ports: Ports, settings: ServiceSettings, plan: Plan, green_weight: int) -> str:
    """Say what the rollback does, and how long that takes."""
    assert plan.capacity is not None
    outgoing = plan.outgoing
    running, percent = settings.color(outgoing).wanted_replicas, candidate_percent_of(outgoing, green_weight)
    waves = waves_back(plan.capacity, running)
    seconds = settings.wave_seconds(ports.start_seconds())
    by = ports.clock.now() + timedelta(seconds=waves * seconds)
    carried = "as many as" if percent <= plan.capacity.carried_percent(running) else "more than"
    return (
        f"{outgoing} has {percent} % of the requests back, {carried} its {running} of {plan.capacity.replicas} "
        f"replicas carry. {plan.candidate} gives its places back in waves: {outgoing} carries all again after "
        f"{way_back(waves, seconds)}, at about {by:%H:%M:%S} UTC"
    )
