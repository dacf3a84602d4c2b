"""Approvals: what a person has said to a step that waits for it, kept beside the rollout's other records."""

import json
from dataclasses import asdict
from typing import Any

from rollout.journal.store import Store, StoreConflictError
from rollout.model.approval import Approval
from rollout.model.errors import RefusedError


class Approvals:
    """The decisions of a stack, by rollout and step; each is made once."""

    def __init__(self, store: Store) -> None:
        """Keep them in ``store``."""
        self._store = store

    def find(self, rollout_id: str, percent: int) -> Approval | None:
        """Return the decision on a step; none so far.

        Raises:
            StoreError: the store cannot be read.
        """
        stored = self._store.read(_key(rollout_id, percent))
        if stored is None:
            return None
        fields: dict[str, Any] = json.loads(stored.content)
        return Approval(**fields)

    def leave(self, rollout_id: str, percent: int, approval: Approval) -> None:
        """Write a decision down for the rollout to find.

        Raises:
            RefusedError: there is one already.
        """
        try:
            self._store.create(_key(rollout_id, percent), json.dumps(asdict(approval), ensure_ascii=False).encode())
        except StoreConflictError as error:
            found = self.find(rollout_id, percent)
            told = "" if found is None else f": {found}, {found.at}"
            raise RefusedError(
                f"the step of {percent} % is decided already{told}. To take an approval back, run scripts.rollback"
            ) from error


def _key(rollout_id: str, percent: int) -> str:
    return f"approvals/{rollout_id}/{percent}.json"
