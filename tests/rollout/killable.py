"""A world of fakes whose controller can be killed at any record, or in any update."""

from collections.abc import Sequence
from typing import Any

from rollout.model.changes import EngineRun
from rollout.model.records import Body
from rollout.model.run import last_run
from rollout.ports import Watch
from tests.rollout.fakes import FakeJournal, World, green_weights


class Killed(BaseException):
    """Stands for SIGKILL, which no handler in the process can catch."""


class KillableJournal(FakeJournal):
    """A journal that can end the process before or after a given record."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.kill_at: int | None = None
        """The number of the record, counted in this process. None for no kill."""
        self.before = False
        self.written = 0

    def write(self, body: Body) -> None:
        self.written += 1
        if self.written == self.kill_at and self.before:
            raise Killed
        super().write(body)
        if self.written == self.kill_at:
            raise Killed

    def reopen(self) -> None:
        """Become the journal of the next process."""
        self.kill_at, self.written = None, 0
        self.phase, self.best_effort, self.run = None, False, last_run(self.kept)


class KillableWorld(World):
    """A world whose controller can be killed at a record or in an update."""

    def __init__(self, **overrides: Any) -> None:
        super().__init__(**overrides)
        self.killable = KillableJournal(self)
        self.journal = self.killable
        self.kill_in_up: tuple[int, str] | None = None
        """The number of an update, and the moment of the kill. None for no kill."""
        self.ups_begun = 0

    def up(
        self, message: str, *, targets: Sequence[str] = (), with_policies: bool = True, watch: Watch | None = None
    ) -> EngineRun:
        self.ups_begun += 1
        number, how = self.kill_in_up or (None, "")
        if number != self.ups_begun:
            how = ""
        if how == "before":
            raise Killed
        if how == "weights":  # the rule has its new weights, but not its new tags, and the state has neither
            self._set_weights(self.config.read().green_weight)
            self.cohorts = green_weights(self.config.read())
            raise Killed
        run = super().up(message, targets=targets, with_policies=with_policies, watch=watch)
        if how == "after":
            raise Killed
        return run
