"""The one writer: edits the config, previews, checks the plan, updates. Every write counts the rollout serial up."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from pydantic import JsonValue

from components.naming import Color
from rollout.changes import Change, is_weighted_rule, unlike_candidate_change, unlike_weight_change
from rollout.errors import JournalError, PlanRefusedError, StackLockedError, UpdateFailedError
from rollout.ports import LiveRule, Ports, StateRule, Watch
from rollout.records import Kind

Refusal = Callable[[Iterable[Change]], tuple[str, ...]]


class Updater:
    """Makes changes to one service, each of them a previewed update."""

    def __init__(self, ports: Ports, service: str) -> None:
        """Work on ``service`` through ``ports``."""
        self._ports = ports
        self._service = service
        self.rule_urn: str | None = None
        """URN of the weighted rule, once a preview or the state has shown it."""
        self._serial = 0
        self.touched = False
        """Whether the config or the stack is other than it was: an edit was not taken back, or an update has begun."""

    def change_rule(
        self,
        edits: Mapping[str, JsonValue],
        *,
        green_weight: int,
        message: str,
        from_green_weight: int | None = None,
    ) -> None:
        """Update the weighted rule and nothing else.

        Args:
            edits: of the config, beside the weight.
            green_weight: the weight that the rule gets.
            message: what the update is for.
            from_green_weight: the weight before. Then an update to be made again may have come any way: config and
                rule may each be where it began or where it leads. Without it, rule and config must agree.

        Raises:
            PlanRefusedError: the preview shows anything else; the config is as it was.
            UpdateFailedError: the preview or the update failed.
        """
        rule = self._ports.load_balancer.rule()
        configured = self._ports.config.read().green_weight
        ours = {configured} if from_green_weight is None else {from_green_weight, green_weight}
        if configured not in ours or not any(rule.splits(weight) for weight in ours):
            raise PlanRefusedError(
                f"{message}: the live rule splits {dict(rule.weights)} but the config says green_weight {configured}; "
                "somebody changed the rule outside of Pulumi"
            )
        groups = rule.target_groups
        weights = {groups["green"]: green_weight, groups["blue"]: 100 - green_weight}
        self._apply(
            {**edits, "green_weight": green_weight},
            lambda changes: unlike_weight_change(changes, service=self._service, weights=weights),
            message,
            None,
        )

    def change_color(
        self, color: Color, edits: Mapping[str, JsonValue], *, message: str, watch: Watch | None = None
    ) -> None:
        """Update what belongs to the idle colour, and the rule's tags.

        Args:
            color: the colour.
            edits: of the config.
            message: what the update is for.
            watch: looks at the world while the update runs, and raises when it is no use any more.

        Raises:
            PlanRefusedError: the preview shows anything else; the config is as it was.
            UpdateFailedError: the preview or the update failed.
        """
        self._apply(
            edits,
            lambda changes: unlike_candidate_change(changes, service=self._service, color=color),
            message,
            color,
            watch,
        )

    def write(
        self, edits: Mapping[str, JsonValue], rule: LiveRule, *, message: str = "", color: Color | None = None
    ) -> Callable[[], None]:
        """Record an update as begun and edit the config for it; returns what takes the edit back.

        The config gets a serial one beyond both its own and the rule's.
        """
        settings = self._ports.config.read()
        self._serial = max(settings.rollout_serial, rule.rollout_serial) + 1
        self._ports.journal.write(
            Kind.UPDATE,
            status="begun",
            serial=self._serial,
            green_weight=edits.get("green_weight", settings.green_weight),
            message=message,
            color=color,
            edits=dict(edits),
        )
        return self._ports.config.edit({**edits, "rollout_serial": self._serial})

    def rule_in_state(self) -> StateRule | None:
        """Read the weighted rule of Pulumi's state, and remember its URN; none when the state has none.

        Raises:
            UpdateFailedError: the backend does not answer.
        """
        rule = self._ports.stack.rule_in_state(self._service)
        if rule is not None:
            self.rule_urn = rule.urn
        return rule

    def preview(self, message: str) -> tuple[Change, ...]:
        """Preview, and remember the weighted rule's URN when it is among the changes."""
        preview = self._ports.stack.preview(message)
        for note in preview.not_evaluated:
            self._ports.journal.write("note", text=f"policy not evaluated before the update: {note}")
        for change in preview.changes:
            if is_weighted_rule(change, self._service):
                self.rule_urn = change.urn
        return preview.changes

    def _apply(
        self,
        edits: Mapping[str, JsonValue],
        refusal: Refusal,
        message: str,
        color: Color | None,
        watch: Watch | None = None,
    ) -> None:
        before = self.touched
        put_back = self.write(edits, self._ports.load_balancer.rule(), message=message, color=color)
        self.touched = True

        def take_back() -> None:
            put_back()
            self.touched = before
            self._record_end("taken_back")

        try:
            found = refusal(self.preview(message))
        except Exception:  # the update never began, so the config must not run ahead
            take_back()
            raise
        if found:
            take_back()
            raise PlanRefusedError(
                f"{message}: the plan holds more or other than that change: "
                + "; ".join(found)
                + ". Somebody changed the program, the config or the infrastructure; bring them in line and try again."
            )
        try:
            self._ports.stack.up(message, watch=watch)
        except StackLockedError:
            take_back()
            raise
        except UpdateFailedError:
            self._record_end("failed")
            raise
        self._ports.journal.write(Kind.UPDATE, status="done", serial=self._serial)

    def _record_end(self, status: str) -> None:
        with suppress(JournalError):  # what it ended with is worse
            self._ports.journal.write(Kind.UPDATE, status=status, serial=self._serial)
