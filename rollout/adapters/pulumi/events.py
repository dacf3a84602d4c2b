"""What the engine tells during a preview or an update, as far as a rollout cares."""

import re
from collections.abc import Mapping
from typing import Any

from pulumi.automation.events import EngineEvent

from rollout.model.changes import Change

# What engines put before the words of a guard, which is a hook.
_GUARD = re.compile(r"^.*?before hook \"[^\"]*-guards\" failed: ")

# Operations that leave a resource as it is.
UNCHANGING = frozenset({"same", "read", "refresh"})


class EngineEvents:
    """What the engine tells during a preview or an update."""

    def __init__(self) -> None:
        self._events: list[EngineEvent] = []

    def append(self, event: EngineEvent) -> None:
        """Keep an event; called from the SDK's threads, which must not see an exception."""
        self._events.append(event)

    def changes(self) -> list[Change]:
        """Return every resource that would not stay as it is."""
        steps = [event.resource_pre_event.metadata for event in self._events if event.resource_pre_event]
        return [
            Change(
                op=step.op.value,
                urn=step.urn,
                type=step.type,
                old=_inputs(step.old),
                new=_inputs(step.new),
                paths=tuple(step.detailed_diff or step.diffs or ()),
            )
            for step in steps
            if step.op.value not in UNCHANGING
        ]

    def not_evaluated(self) -> list[str]:
        """Return the messages of policies that could not be evaluated because values are not known yet."""
        return [
            message for level, message in self._policies() if level != "mandatory" and "can't run policy" in message
        ]

    def errors(self) -> str:
        """Return what went wrong: refusals of mandatory policies first, then the errors that were reported."""
        refusals = [f"policy refused: {message}" for message in self._refusals()]
        diagnostics = [event.diagnostic_event for event in self._events if event.diagnostic_event]
        errors = (one.message.strip() for one in diagnostics if one.severity == "error")
        messages = [_GUARD.sub("guard refused: ", message) for message in errors]
        return "\n".join(dict.fromkeys((*refusals, *messages)))

    def refused_by_policy(self) -> bool:
        """Tell whether a mandatory policy has refused."""
        return bool(self._refusals())

    def _refusals(self) -> list[str]:
        return [message for level, message in self._policies() if level == "mandatory"]

    def _policies(self) -> list[tuple[str, str]]:
        found = [event.policy_event for event in self._events if event.policy_event]
        return [(one.enforcement_level, f"{one.policy_name}: {one.message.strip()}") for one in found]


def _inputs(state: Any) -> Mapping[str, object]:
    return {} if state is None else state.inputs or {}
