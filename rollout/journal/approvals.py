"""Approvals: a person's decisions on steps that wait for one. They are in the same store as the journal."""

import json
from dataclasses import asdict
from typing import Any

from components.domain.moments import format_rfc3339, parse_rfc3339
from rollout.journal.store import Store, StoreConflictError
from rollout.model.approval import Approval
from rollout.model.errors import RefusedError


class Approvals:
    """A stack's decisions, by rollout and step. Each is made only once."""

    def __init__(self, store: Store) -> None:
        """Read and write the decisions in ``store``."""
        self._store = store

    def find(self, rollout_id: str, percent: int) -> Approval | None:
        """Return the decision on a step. None when there is none yet.

        Raises:
            StoreError: the store cannot be read.
        """
        stored = self._store.read(_key(rollout_id, percent))
        if stored is None:
            return None
        fields: dict[str, Any] = json.loads(stored.content)
        at = parse_rfc3339(fields.pop("at"))
        return Approval(**fields, at=at)

    def leave(self, rollout_id: str, percent: int, approval: Approval) -> None:
        """Store a decision, which the rollout then finds.

        Raises:
            RefusedError: the step has a decision already.
        """
        fields = {**asdict(approval), "at": format_rfc3339(approval.at)}
        try:
            self._store.create(_key(rollout_id, percent), json.dumps(fields, ensure_ascii=False).encode())
        except StoreConflictError as error:
            found = self.find(rollout_id, percent)
            decision = "" if found is None else f": {found}, {format_rfc3339(found.at)}"
            raise RefusedError(
                f"the step of {percent} % is already decided{decision}. To undo an approval, run scripts.rollback"
            ) from error


def _key(rollout_id: str, percent: int) -> str:
    return f"approvals/{rollout_id}/{percent}.json"
