"""The engine's events during a preview or an update, as far as a rollout needs them."""

import re
from collections.abc import Mapping
from typing import Any

from pulumi.automation.events import EngineEvent

from rollout.model.changes import Change

# Guards are hooks: the engine puts this before their messages.
_GUARD = re.compile(r"^.*?before hook \"[^\"]*-guards\" failed: ")

# Operations that leave a resource as it is.
UNCHANGING = frozenset({"same", "read", "refresh"})


class EngineEvents:
    """The engine's events during a preview or an update."""

    def __init__(self) -> None:
        self._events: list[EngineEvent] = []

    def append(self, event: EngineEvent) -> None:
        """Store an event. Called from the SDK's threads, so it must not raise."""
        self._events.append(event)

    def changes(self) -> list[Change]:
        """Return every resource that does not stay as it is."""
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
        """Return the messages of policies that could not be evaluated because some values are not known yet."""
        return [
            message for level, message in self._policies() if level != "mandatory" and "can't run policy" in message
        ]

    def errors(self) -> str:
        """Return what went wrong: first the refusals of mandatory policies, then the reported errors."""
        refusals = [f"policy refused: {message}" for message in self._refusals()]
        diagnostics = [event.diagnostic_event for event in self._events if event.diagnostic_event]
        errors = (one.message.strip() for one in diagnostics if one.severity == "error")
        messages = [_GUARD.sub("guard refused: ", message) for message in errors]
        return "\n".join(dict.fromkeys((*refusals, *messages)))

    def refused_by_policy(self) -> bool:
        """Return whether a mandatory policy has refused."""
        return bool(self._refusals())

    def _refusals(self) -> list[str]:
        return [message for level, message in self._policies() if level == "mandatory"]

    def _policies(self) -> list[tuple[str, str]]:
        found = [event.policy_event for event in self._events if event.policy_event]
        return [(one.enforcement_level, f"{one.policy_name}: {one.message.strip()}") for one in found]


def _inputs(state: Any) -> Mapping[str, object]:
    return {} if state is None else state.inputs or {}
