"""The only writer: edits the config, updates the stack, and checks that only the intended change is made.

An update with targets can change nothing else, and is checked afterwards: of the weight, of a colour's number of
replicas, of its nodes when they go. Every other one is previewed and checked first. Every write increases the rollout
serial.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal

from pydantic import JsonValue

from components.domain.naming import Color
from rollout.model.changes import Change, EngineRun, is_weighted_rule, unlike_candidate_change, unlike_weight_change
from rollout.model.errors import (
    Interruption,
    JournalError,
    PlanRefusedError,
    StackLockedError,
    UnexpectedChangeError,
    UpdateFailedError,
)
from rollout.model.records import Note, UpdateBegun, UpdateEnded
from rollout.model.rule import LiveRule, Routing, StateRule
from rollout.ports import Ports, Watch
from rollout.steps.drift import routing_of

Refusal = Callable[[Iterable[Change]], tuple[str, ...]]
"""Returns every change that is not the intended one."""

MAX_MESSAGE: Final = 200
"""The longest message of an update, in characters. Pulumi stores it in the stack's history."""

_WHO = "Somebody changed the program, the config or the infrastructure; bring them in line and try again."


def message_of(text: str) -> str:
    """Return what an update is for, cut where Pulumi's history would be flooded."""
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…"


class Updater:
    """Makes changes to one service, one update each."""

    def __init__(self, ports: Ports, service: str) -> None:
        """Work on ``service`` through ``ports``."""
        self._ports = ports
        self._service = service
        self.rule_urn: str | None = None
        """URN of the weighted rule, once a preview or the state has shown it."""
        self._serial = 0
        self.touched = False
        """Whether the config or the stack may have changed: an edit was not undone, or an update has begun."""

    def change_weight(self, green_weight: int, *, message: str, from_green_weight: int | None = None) -> None:
        """Move the weight, by one update whose only target is the weighted rule.

        Args:
            green_weight: the rule's new weight.
            message: what the update is for.
            from_green_weight: the weight before, if the update may be a repeated one: config and rule may then each
                have the weight before or the new one. If None, rule and config must agree.

        Raises:
            PlanRefusedError: somebody moved the rule, or it would not change; the config is unchanged.
            UnexpectedChangeError: the update made other changes than the weight.
            UpdateFailedError: the update failed; if the rule is unchanged, so is the config.
        """
        now = routing_of(self._ports.config.read())
        before = None if from_green_weight is None else replace(now, green_weight=from_green_weight)
        self.change_routing(replace(now, green_weight=green_weight), message=message, before=before)

    def change_routing(self, routing: Routing, *, message: str, before: Routing | None = None) -> None:
        """Move the weight and cohorts, by one update whose only targets are the weighted rule and those cohorts' rules.

        Args:
            routing: the new routing.
            message: what the update is for.
            before: the routing before, if the update may be a repeated one: config and rules may then each have it or
                the new one. If None, rules and config must agree.

        Raises:
            PlanRefusedError: somebody moved a rule, or none would change; the config is unchanged.
            UnexpectedChangeError: the update made other changes.
            UpdateFailedError: the update failed; if the weighted rule is unchanged, so is the config.
        """
        rule = self._rule_to_change(message, routing, before)
        former = routing_of(self._ports.config.read()) if before is None else before
        cohorts = routing.cohorts_on_candidate ^ former.cohorts_on_candidate
        edits: dict[str, JsonValue] = {"green_weight": routing.green_weight}
        if cohorts:
            edits["cohorts_on_candidate"] = [*sorted(routing.cohorts_on_candidate)]
        self._apply(
            edits, rule, self._unlike_routing(rule, routing, cohorts), message, targets=self._rules_alone(cohorts)
        )

    def change_rule(self, edits: Mapping[str, JsonValue], *, green_weight: int, message: str) -> None:
        """Update only the weighted rule, after a preview that shows no other change.

        Args:
            edits: edits of the config, besides the weight.
            green_weight: the rule's new weight.
            message: what the update is for.

        Raises:
            PlanRefusedError: the preview contains other changes; the config is unchanged.
            UpdateFailedError: the preview or the update failed.
        """
        routing = replace(routing_of(self._ports.config.read()), green_weight=green_weight)
        rule = self._rule_to_change(message, routing)
        self._apply({**edits, "green_weight": green_weight}, rule, self._unlike_routing(rule, routing), message)

    def change_color(
        self, color: Color, edits: Mapping[str, JsonValue], *, message: str, watch: Watch | None = None
    ) -> None:
        """Update the idle colour's resources and the rule's tags.

        Args:
            color: the colour.
            edits: edits of the config.
            message: what the update is for.
            watch: called while the update runs. Raises when the update has become pointless.

        Raises:
            PlanRefusedError: the preview contains other changes; the config is unchanged.
            UpdateFailedError: the preview or the update failed.
        """
        self._apply(
            edits,
            self._ports.load_balancer.rule(),
            self._unlike_candidate(color),
            message,
            color=color,
            watch=watch,
        )

    def resize(
        self,
        color: Color,
        replicas: int,
        *,
        message: str,
        key: Literal["running_replicas", "floor_replicas"] = "running_replicas",
        with_policies: bool = True,
        watch: Watch | None = None,
    ) -> None:
        """Change how many replicas a colour runs, by an update of nothing but its Deployment and the rule's tags.

        The colour's disruption budget and its ScaledObject are part of it. No other change of the program or the config
        is applied, so that neither stands in the way of a rollback.

        Args:
            color: the colour.
            replicas: how many it should run, or run at least; 0 for what it does without a rollout.
            message: what the update is for.
            key: the colour's setting.
            with_policies: whether the policies judge it.
            watch: called while the update runs. Raises when the update has become pointless.

        Raises:
            UnexpectedChangeError: the update made other changes.
            UpdateFailedError: the update failed, or the state does not have the colour's Deployment.
        """
        state = self.rule_in_state()
        if state is None or not state.sized.get(color):
            raise UpdateFailedError(f"Pulumi's state does not have the Deployment of {color}; is this the right stack?")
        self._apply(
            {f"{color}.{key}": replicas},
            self._ports.load_balancer.rule(),
            self._unlike_candidate(color),
            message,
            color=color,
            watch=watch,
            targets=(state.urn, *state.sized[color]),
            with_policies=with_policies,
        )

    def release_nodes(self, color: Color, *, message: str) -> None:
        """Scale a parked colour's node group in, by an update of nothing but it and the rule's tags.

        If the state does not have the node group, the whole program is previewed first.

        Args:
            color: the colour.
            message: what the update is for.

        Raises:
            UnexpectedChangeError: the update made other changes.
            PlanRefusedError: the preview contains other changes; the config is unchanged.
            UpdateFailedError: the preview or the update failed.
        """
        state = self.rule_in_state()
        self._apply(
            {f"{color}.provisioned": False},
            self._ports.load_balancer.rule(),
            self._unlike_candidate(color),
            message,
            color=color,
            targets=(state.urn, state.nodes[color]) if state is not None and color in state.nodes else (),
        )

    def write(
        self, edits: Mapping[str, JsonValue], rule: LiveRule, *, message: str = "", color: Color | None = None
    ) -> Callable[[], None]:
        """Record an update as begun, edit the config for it, and return a function that undoes the edit.

        The config's new serial is one above the larger of its own and the rule's.
        """
        settings = self._ports.config.read()
        self._serial = max(settings.rollout_serial, rule.rollout_serial) + 1
        wanted = edits.get("green_weight", settings.green_weight)
        self._ports.journal.write(
            UpdateBegun(
                serial=self._serial,
                green_weight=wanted if isinstance(wanted, int) else settings.green_weight,
                message=message,
                color=color,
                edits=dict(edits),
            )
        )
        return self._ports.config.edit({**edits, "rollout_serial": self._serial})

    def rule_in_state(self) -> StateRule | None:
        """Read the weighted rule from Pulumi's state, and remember its URN. Return None when the state has none.

        Raises:
            UpdateFailedError: the backend does not answer.
        """
        rule = self._ports.stack.rule_in_state(self._service)
        if rule is not None:
            self.rule_urn = rule.urn
        return rule

    def preview(self, message: str) -> tuple[Change, ...]:
        """Preview the whole program, and remember the weighted rule's URN if it is among the changes."""
        return self._noted(self._ports.stack.preview(message))

    def _rule_to_change(self, message: str, routing: Routing, before: Routing | None = None) -> LiveRule:
        rule = self._ports.load_balancer.rule()
        configured = routing_of(self._ports.config.read())
        ours = (configured,) if before is None else (before, routing)
        if configured not in ours or not any(rule.follows(one) for one in ours):
            raise PlanRefusedError(
                f"{message}: the live rule {rule} but the config says {configured}; somebody changed the rule outside "
                "of Pulumi"
            )
        return rule

    def _unlike_routing(self, rule: LiveRule, routing: Routing, cohorts: Collection[str] = ()) -> Refusal:
        def by_group(green_weight: int) -> dict[str, int]:
            return {rule.target_groups["green"]: green_weight, rule.target_groups["blue"]: 100 - green_weight}

        green_weights = {cohort: routing.green_weight_of(cohort) for cohort in cohorts}
        return lambda changes: unlike_weight_change(
            changes,
            service=self._service,
            weights=by_group(routing.green_weight),
            cohorts={cohort: by_group(weight) for cohort, weight in green_weights.items()},
            moving=[cohort for cohort, weight in green_weights.items() if rule.cohorts.get(cohort) != weight],
        )

    def _unlike_candidate(self, color: Color) -> Refusal:
        return lambda changes: unlike_candidate_change(changes, service=self._service, color=color)

    def _rules_alone(self, cohorts: Collection[str]) -> tuple[str, ...]:
        """Return the URNs of the weighted rule and these cohorts' rules, as targets.

        Empty when neither a preview nor the state has shown them: the whole program is then previewed.
        """
        state: StateRule | None = None
        if self.rule_urn is None or cohorts:
            with suppress(UpdateFailedError):
                state = self.rule_in_state()
        if self.rule_urn is None or (cohorts and (state is None or not state.cohorts.keys() >= set(cohorts))):
            return ()
        return (self.rule_urn, *(state.cohorts[one].urn for one in sorted(cohorts) if state is not None))

    def _apply(
        self,
        edits: Mapping[str, JsonValue],
        rule: LiveRule,
        unlike: Refusal,
        message: str,
        *,
        color: Color | None = None,
        watch: Watch | None = None,
        targets: tuple[str, ...] = (),
        with_policies: bool = True,
    ) -> None:
        """Update the targets, and check what has changed. Without targets, check a preview of everything first."""
        before = self.touched
        undo_edit = self.write(edits, rule, message=message, color=color)
        self.touched = True

        def take_back() -> None:
            undo_edit()
            self.touched = before
            self._record_end("taken_back")

        if not targets:
            try:
                found = unlike(self.preview(message))
            except (Exception, Interruption):  # the update has not begun, so the config must not be ahead of it
                take_back()
                raise
            if found:
                take_back()
                raise PlanRefusedError(f"{message}: the preview contains other changes: {'; '.join(found)}. {_WHO}")
        try:
            run = self._ports.stack.up(message, targets=targets, with_policies=with_policies, watch=watch)
        except UpdateFailedError as error:
            # Guards and policies on the rule refuse before the change. With the rule among the targets, an unchanged
            # rule proves that nothing changed: its serial always changes, and it is updated first.
            if isinstance(error, StackLockedError) or (targets and self._stands(rule)):
                take_back()
            else:
                self._record_end("failed")
            raise
        if targets and (found := unlike(self._noted(run))):
            if not run.changes and self._stands(rule):
                take_back()
                raise PlanRefusedError(f"{message}: {'; '.join(found)}. {_WHO}")
            self._record_end("done", unexpected=found)
            raise UnexpectedChangeError(f"{message}: the update made other changes: {'; '.join(found)}. {_WHO}")
        self._ports.journal.write(UpdateEnded(status="done", serial=self._serial))

    def _noted(self, run: EngineRun) -> tuple[Change, ...]:
        """Return the changes. Record the policies that were not evaluated, and remember the weighted rule's URN."""
        for note in run.not_evaluated:
            self._ports.journal.write(Note(text=f"policy not evaluated before the update: {note}"))
        for change in run.changes:
            if is_weighted_rule(change, self._service):
                self.rule_urn = change.urn
        return run.changes

    def _stands(self, rule: LiveRule) -> bool:
        """Return whether the rule is unchanged and no running update can still change it."""
        try:
            return not self._ports.stack.is_running() and self._ports.load_balancer.rule() == rule
        except Exception:  # a failed read is no evidence that the rule is unchanged
            return False

    def _record_end(self, status: Literal["done", "failed", "taken_back"], unexpected: tuple[str, ...] = ()) -> None:
        with suppress(JournalError):  # the error that ended the update matters more
            self._ports.journal.write(UpdateEnded(status=status, serial=self._serial, unexpected=unexpected))
