"""Going back: the rule first, by a direct call; then config and state follow until all three agree."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from components.config.settings import ServiceSettings
from components.domain.naming import COLORS, Color, other_color
from rollout.model.errors import (
    RefusedError,
    RolloutError,
    StackLockedError,
    UnavailableError,
    UnreconciledError,
    UpdateFailedError,
)
from rollout.model.plan import full_weight_of
from rollout.model.records import Note, RuleChanged
from rollout.model.rule import LiveRule
from rollout.ports import Ports
from rollout.steps.preflight import keep_warm_until
from rollout.steps.retry import retry
from rollout.steps.updates import Updater

MAX_ATTEMPTS = 5
RETRY_SECONDS = 2.0
# How long to go on with calls that AWS does not take, when the config does not say how long an update may take.
RULE_PATIENCE_SECONDS = 900.0
# An interrupted update finishes what is in flight: a node group may take minutes.
INTERRUPT_GRACE_SECONDS = 300.0
REASSERT_SECONDS = 0.2

_T = TypeVar("_T")


def candidate_to_undo(settings: ServiceSettings, rule: LiveRule, now: datetime, *, unfinished: bool) -> Color:
    """Find out which colour a rollback takes traffic from.

    Raises:
        RefusedError: there is nothing to go back from, or nothing to go back to.
    """
    active = rule.active_color or settings.active_color
    idle = other_color(active)
    if not rule.splits(full_weight_of(active)):
        return idle
    if settings.color(idle).serves and keep_warm_until(settings, now):
        return active
    if unfinished or settings.green_weight != full_weight_of(active) or settings.active_color != active:
        return idle
    raise RefusedError(
        f"nothing to roll back: all traffic is on {active}, the promoted colour, and {idle} is not kept warm any more "
        f"(keep_until is {settings.keep_until or 'empty'}). To return to an older release, ramp to it."
    )


def restore_traffic(
    ports: Ports, updater: Updater, *, green_weight: int, active_color: Color, reason: str, sent_back: bool = False
) -> None:
    """Put the rule back at once, end any running update, then repeat until rule, config and state agree.

    Args:
        ports: the world.
        updater: who updates the stack.
        green_weight: where the weight goes back to.
        active_color: the colour that is active from then on.
        reason: why, for the update's message.
        sent_back: whether the rule has been set just now, so that it only remains to be recorded.

    Raises:
        UnreconciledError: traffic is back, but they do not come to agree; the message says what remains.
        RolloutError: not even the rule could be set.
    """
    ports.shield()
    if sent_back:
        ports.journal.write(RuleChanged(green_weight=green_weight, how="direct"))
    else:
        _set_rule(ports, green_weight)
    _end_running_update(ports, green_weight)
    message = f"roll back to {active_color}: {reason}"[:200]
    failure: RolloutError | None = None
    attempts, locked_since, reconciled = 0, None, False
    while attempts < MAX_ATTEMPTS:
        rule = _hold_rule(ports, green_weight)
        agree = failure is None and _agree(rule, ports.config.read(), green_weight, active_color)
        # Only an update of ours has moved the serial for certain: until then the state is asked itself.
        if agree and (reconciled or _is_in_state(ports, updater, rule)):
            return
        try:
            _reconcile(ports, updater, rule, green_weight, active_color, message)
            failure, reconciled = None, True
        except StackLockedError as error:
            # Somebody's update may write the rule once more before it ends; then it is our turn.
            failure, now = error, ports.clock.monotonic()
            if locked_since is None:
                locked_since = now
                ports.journal.write(Note(text=f"traffic is back; waiting for another update to end: {error}"))
            if now - locked_since < ports.config.read().rollout.update_timeout_seconds:
                _watch(ports, green_weight)
                continue
            attempts = MAX_ATTEMPTS
        except UpdateFailedError as error:
            failure = error
            ports.journal.write(Note(text=f"the update that reconciles the state failed: {error}"))
        attempts += 1
        ports.clock.sleep(RETRY_SECONDS if failure else 0)
    raise UnreconciledError(
        f"all traffic is on {active_color}, by a direct update of the rule (green_weight {green_weight}), but rule, "
        "config and state do not agree"
        + (f": {failure}" if failure else "")
        + ". Run scripts.rollback again once the cause is mended; until then a `pulumi up` may move the weight."
    )


def set_rule(ports: Ports, green_weight: int) -> None:
    """Set the rule directly, and go on trying for as long as an update may take when AWS does not take the call.

    Raises:
        RolloutError: the rule could not be set; traffic is where it was.
    """
    told = "traffic is NOT back yet, the rule update is tried on"
    _insist(ports, lambda: ports.load_balancer.set_green_weight(green_weight), told)


def _set_rule(ports: Ports, green_weight: int) -> None:
    set_rule(ports, green_weight)
    ports.journal.write(RuleChanged(green_weight=green_weight, how="direct"))


def _hold_rule(ports: Ports, green_weight: int) -> LiveRule:
    """Read the rule, and put it back when it is elsewhere. While it cannot be read, it is set all the same."""

    def read() -> LiveRule:
        try:
            return ports.load_balancer.rule()
        except UnavailableError:
            with suppress(UnavailableError):
                ports.load_balancer.set_green_weight(green_weight)
            raise

    rule = _insist(ports, read, "the rule cannot be read back, so it is set again and again")
    if not rule.splits(green_weight):
        _set_rule(ports, green_weight)
    return rule


def _insist(ports: Ports, call: Callable[[], _T], told: str) -> _T:
    """Call until AWS takes it, or for as long as an update may take."""
    return retry(
        call,
        ports.clock,
        patience_seconds=lambda: _patience_seconds(ports),
        pause_seconds=REASSERT_SECONDS,
        on_failure=lambda error: ports.journal.write(Note(text=f"{told}: {error}")),
    )


def _patience_seconds(ports: Ports) -> float:
    try:
        return ports.config.read().rollout.update_timeout_seconds
    except RolloutError:  # told when it is edited; the rule comes first
        return RULE_PATIENCE_SECONDS


def _watch(ports: Ports, green_weight: int) -> None:
    """Keep the rule where it is for a while."""
    until = ports.clock.monotonic() + RETRY_SECONDS
    while ports.clock.monotonic() < until:
        ports.clock.sleep(REASSERT_SECONDS)
        _hold_rule(ports, green_weight)


def _end_running_update(ports: Ports, green_weight: int) -> None:
    ports.stack.interrupt()
    deadline = ports.clock.monotonic() + INTERRUPT_GRACE_SECONDS
    while ports.stack.is_running():
        if ports.clock.monotonic() > deadline:
            raise UnreconciledError(
                f"the rule is at green_weight {green_weight}, but a running update does not end although it was "
                "interrupted; see `pulumi cancel`, then run scripts.rollback again"
            )
        ports.clock.sleep(REASSERT_SECONDS)
        _hold_rule(ports, green_weight)  # the update may write the old weight after us


def _agree(rule: LiveRule, settings: ServiceSettings, green_weight: int, active_color: Color) -> bool:
    """Tell whether rule and config agree."""
    return (
        rule.splits(green_weight)
        and settings.green_weight == green_weight
        and rule.active_color == settings.active_color == active_color
        and rule.rollout_serial == settings.rollout_serial
    )


def _is_in_state(ports: Ports, updater: Updater, rule: LiveRule) -> bool:
    """Tell whether Pulumi's state has the rule as it is; an update at the same serial may have moved it."""
    try:
        state = updater.rule_in_state()
    except UpdateFailedError as error:
        ports.journal.write(Note(text=f"whether the state agrees is not known: {error}"))
        return False
    return (
        state is not None
        and state.weights == {rule.target_groups[color]: rule.weights[color] for color in COLORS}
        and state.active_color == rule.active_color
        and state.rollout_serial == rule.rollout_serial
    )


def _reconcile(
    ports: Ports, updater: Updater, rule: LiveRule, green_weight: int, active_color: Color, message: str
) -> None:
    settings = ports.config.read()
    # A step that did not come to its end keeps the promise to the idle colour; a promotion undone has none to keep.
    promise = {"keep_until": ""} if settings.active_color != active_color else {}
    edits = {"green_weight": green_weight, "active_color": active_color, "rolling_out": False, **promise}
    updater.write(edits, rule, message=message)
    if updater.rule_urn is None:
        updater.rule_in_state()  # no preview: that needs Kubernetes' API too
    if updater.rule_urn is None:
        raise UpdateFailedError("Pulumi's state does not have the weighted rule; is this the right stack?")
    # The rule alone: whatever else the program or the config would change has no place in a rollback. Nor has a policy:
    # a rollback always passes, and an update broken off may have left what a policy refuses.
    ports.stack.up(message, targets=[updater.rule_urn], with_policies=False)
    ports.journal.write(RuleChanged(green_weight=green_weight, how="up"))
