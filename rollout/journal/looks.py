"""The looks of the watch, in the same store as the journal. A look needs no lock, so that it never keeps others out."""

from pydantic import ValidationError

from rollout.journal.store import Store, StoreConflictError
from rollout.model.errors import RefusedError
from rollout.model.look import WatchState


class Looks:
    """The looks at one service since one promotion."""

    def __init__(self, store: Store, service: str, rollout_id: str) -> None:
        """Read and write the looks after the promotion by this rollout."""
        self._store = store
        self._key = f"watch/{service}/{rollout_id}.json"
        self._version: str | None = None

    def read(self) -> WatchState:
        """Return the looks so far.

        Raises:
            RefusedError: they are not what the watch writes.
            StoreError: the store cannot be read.
        """
        stored = self._store.read(self._key)
        if stored is None:
            return WatchState()
        self._version = stored.version
        try:
            return WatchState.model_validate_json(stored.content)
        except ValidationError as error:
            raise RefusedError(
                f"{self._key} in the store of the journal is not what scripts.watch writes ({error.error_count()} "
                "errors). Delete it: the watch then begins again at the promotion"
            ) from error

    def write(self, watched: WatchState) -> bool:
        """Store the looks in place of those that were read. Return False when another watch has looked meanwhile.

        Raises:
            StoreError: the store cannot be written.
        """
        content = watched.model_dump_json().encode()
        try:
            if self._version is None:
                self._version = self._store.create(self._key, content)
            else:
                self._version = self._store.replace(self._key, content, self._version)
        except StoreConflictError:
            return False
        return True
