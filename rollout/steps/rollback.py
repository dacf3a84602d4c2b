"""Rollback: sets the rule first, by a direct call, then updates config and state until all three agree."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from pydantic import JsonValue

from components.config.settings import ServiceSettings
from components.domain.moments import format_or_empty
from components.domain.naming import Color, other_color
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
from rollout.model.rule import LiveRule, Routing, share_words
from rollout.ports import Ports
from rollout.steps.conditions import keep_warm_until
from rollout.steps.drift import routing_of, state_agrees
from rollout.steps.retry import retry
from rollout.steps.updates import Updater, message_of
from rollout.system.waits import waiting

MAX_ATTEMPTS = 5
RETRY_SECONDS = 2.0
# How long to retry calls that AWS does not take if the config cannot be read. Otherwise update_timeout_seconds holds.
RULE_PATIENCE_SECONDS = 900.0
# An interrupted update finishes the operations in flight: a node group may take minutes.
INTERRUPT_GRACE_SECONDS = 300.0
REASSERT_SECONDS = 0.2

_T = TypeVar("_T")


def candidate_to_undo(settings: ServiceSettings, rule: LiveRule, now: datetime, *, unfinished: bool) -> Color:
    """Return the colour that a rollback takes traffic from.

    Raises:
        RefusedError: there is nothing to roll back, or no colour to go back to.
    """
    active = rule.active_color or settings.active_color
    idle = other_color(active)
    if rule.undoes_promotion(now):
        return active
    if not rule.splits(full_weight_of(active)) or rule.cohorts_on(idle):
        return idle
    if settings.color(idle).serves and keep_warm_until(settings, now):
        return active
    if unfinished or settings.green_weight != full_weight_of(active) or settings.active_color != active:
        return idle
    raise RefusedError(
        f"nothing to roll back: all traffic is on {active}, the promoted colour, and {idle} is no longer kept warm "
        f"(keep_until is {format_or_empty(settings.keep_until) or 'empty'}). To return to an older release, ramp to it."
    )


def restore_traffic(
    ports: Ports,
    updater: Updater,
    *,
    green_weight: int,
    active_color: Color,
    reason: str,
    sent_back: bool = False,
    rolling_out: bool = False,
) -> None:
    """Set the rule at once, end any running update, then repeat until rule, config and state agree.

    Args:
        ports: the ports.
        updater: updates the stack.
        green_weight: the weight to go back to.
        active_color: the active colour afterwards.
        reason: the reason, for the update's message.
        sent_back: whether the rule has just been set, so that it only needs to be recorded.
        rolling_out: whether some traffic stays where it is for now, because the active colour cannot carry it yet.

    Raises:
        UnreconciledError: traffic is back, but rule, config and state do not agree. The message says what remains.
        RolloutError: the rule could not be set.
    """
    ports.shield()
    routing = Routing(green_weight=green_weight, active_color=active_color)
    if sent_back:
        ports.journal.write(RuleChanged(green_weight=green_weight, how="direct"))
    else:
        _set_rule(ports, routing)
    _end_running_update(ports, routing)
    message = message_of(f"roll back to {active_color}: {reason}")
    failure: RolloutError | None = None
    attempts, locked_since, reconciled = 0, None, False
    while attempts < MAX_ATTEMPTS:
        rule = _hold_rule(ports, routing)
        agree = failure is None and _agree(rule, ports.config.read(), routing)
        # After our own update, matching serials prove that the state agrees. Before it, read the state.
        if agree and (reconciled or _is_in_state(ports, updater, rule)):
            return
        try:
            _reconcile(ports, updater, rule, routing, message, rolling_out=rolling_out)
            failure, reconciled = None, True
        except StackLockedError as error:
            # The other update may write the rule once more before it ends. Then we update.
            failure, now = error, ports.clock.monotonic()
            if locked_since is None:
                locked_since = now
                ports.journal.write(Note(text=f"traffic is back; waiting for another update to end: {error}"))
            limit_seconds = ports.config.read().rollout.update_timeout_seconds
            if now - locked_since < limit_seconds:
                what = "the end of another update of the stack"
                with waiting(what, at_most_seconds=limit_seconds, lasted_seconds=now - locked_since):
                    _watch(ports, routing)
                continue
            attempts = MAX_ATTEMPTS
        except UpdateFailedError as error:
            failure = error
            ports.journal.write(Note(text=f"the update that reconciles the state failed: {error}"))
        attempts += 1
        ports.clock.sleep(RETRY_SECONDS if failure else 0)
    share = share_words(active_color, green_weight)
    raise UnreconciledError(
        f"{share} on {active_color}, by a direct update of the rule (green_weight {green_weight}), but rule, "
        "config and state do not agree"
        + (f": {failure}" if failure else "")
        + ". Run scripts.rollback again once the cause is fixed; until then a `pulumi up` may move the weight."
    )


def set_rule(ports: Ports, routing: Routing) -> None:
    """Set the rules directly. While AWS does not take the calls, retry for as long as an update may take.

    Raises:
        RolloutError: the rule could not be set; traffic is unchanged.
    """
    note = "traffic is NOT back yet, retrying the rule update"
    _retry(ports, lambda: _send(ports, routing), note)


def _send(ports: Ports, routing: Routing) -> None:
    ports.load_balancer.set_green_weight(routing.green_weight, cohorts_to=routing.active_color)


def _set_rule(ports: Ports, routing: Routing) -> None:
    set_rule(ports, routing)
    ports.journal.write(RuleChanged(green_weight=routing.green_weight, how="direct"))


def _hold_rule(ports: Ports, routing: Routing) -> LiveRule:
    """Read the rules, and set them again if one has moved. While they cannot be read, set them anyway."""

    def read() -> LiveRule:
        try:
            return ports.load_balancer.rule()
        except UnavailableError:
            with suppress(UnavailableError):
                _send(ports, routing)
            raise

    rule = _retry(ports, read, "the rule cannot be read back, so it is set repeatedly")
    if not rule.follows(routing):
        _set_rule(ports, routing)
    return rule


def _retry(ports: Ports, call: Callable[[], _T], note: str) -> _T:
    """Repeat a call until AWS takes it, or for as long as an update may take."""
    return retry(
        call,
        ports.clock,
        patience_seconds=lambda: _patience_seconds(ports),
        pause_seconds=REASSERT_SECONDS,
        on_failure=lambda error: ports.journal.write(Note(text=f"{note}: {error}")),
    )


def _patience_seconds(ports: Ports) -> float:
    try:
        return ports.config.read().rollout.update_timeout_seconds
    except RolloutError:  # the edit of the config reports it; the rule comes first
        return RULE_PATIENCE_SECONDS


def _watch(ports: Ports, routing: Routing) -> None:
    """Keep the rule in place for a while."""
    until = ports.clock.monotonic() + RETRY_SECONDS
    while ports.clock.monotonic() < until:
        ports.clock.sleep(REASSERT_SECONDS)
        _hold_rule(ports, routing)


def _end_running_update(ports: Ports, routing: Routing) -> None:
    ports.stack.interrupt()
    deadline = ports.clock.monotonic() + INTERRUPT_GRACE_SECONDS
    with waiting("the end of the update that was interrupted", at_most_seconds=INTERRUPT_GRACE_SECONDS):
        while ports.stack.is_running():
            if ports.clock.monotonic() > deadline:
                raise UnreconciledError(
                    f"the rule is at {routing}, but a running update does not end although it was "
                    "interrupted; see `pulumi cancel`, then run scripts.rollback again"
                )
            ports.clock.sleep(REASSERT_SECONDS)
            _hold_rule(ports, routing)  # the update may write the old weight after us


def _agree(rule: LiveRule, settings: ServiceSettings, routing: Routing) -> bool:
    """Return whether rule and config agree."""
    return (
        rule.follows(routing)
        and routing_of(settings) == routing
        and rule.active_color == routing.active_color
        and rule.rollout_serial == settings.rollout_serial
    )


def _is_in_state(ports: Ports, updater: Updater, rule: LiveRule) -> bool:
    """Return whether Pulumi's state matches the live rule: an update with the same serial may have moved it."""
    try:
        state = updater.rule_in_state()
    except UpdateFailedError as error:
        ports.journal.write(Note(text=f"it is unknown whether the state agrees: {error}"))
        return False
    return (
        state is not None
        and state_agrees(rule, state)
        and state.active_color == rule.active_color
        and state.rollout_serial == rule.rollout_serial
    )


def _reconcile(
    ports: Ports,
    updater: Updater,
    rule: LiveRule,
    routing: Routing,
    message: str,
    *,
    rolling_out: bool,
) -> None:
    settings = ports.config.read()
    # Undoing a promotion ends the keep-warm window. Undoing an unfinished step keeps it.
    window = {"keep_until": ""} if settings.active_color != routing.active_color else {}
    cohorts: dict[str, JsonValue] = {"cohorts_on_candidate": []} if settings.cohorts_on_candidate else {}
    edits = {
        "green_weight": routing.green_weight,
        "active_color": routing.active_color,
        "rolling_out": rolling_out,
        **window,
        **cohorts,
    }
    updater.write(edits, rule, message=message)
    targets = (updater.rule_urn,)
    if updater.rule_urn is None or rule.cohorts:
        # Not a preview, which would also need Kubernetes' API.
        state = updater.rule_in_state()
        targets = () if state is None else state.urns
    if not (urns := [urn for urn in targets if urn is not None]):
        raise UpdateFailedError("Pulumi's state does not have the weighted rule; is this the right stack?")
    # Only the rules: a rollback must not apply other changes of the program or the config. No policies either: a
    # rollback must always pass, and an interrupted update may have left things that a policy refuses.
    ports.stack.up(message, targets=urns, with_policies=False)
    ports.journal.write(RuleChanged(green_weight=routing.green_weight, how="up"))
