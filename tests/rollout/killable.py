"""A world of fakes whose controller can be killed at any record, or in any update."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from rollout.model.changes import EngineRun
from rollout.model.records import Body
from rollout.model.run import last_run
from rollout.ports import Watch
from tests.rollout.fakes import FakeJournal, World, copy_of, green_weights


class Killed(BaseException):
    """Stands for SIGKILL, which no handler in the process can catch."""


@dataclass(frozen=True, order=True)
class Kill:
    """A moment of a kill: before or after a record, by its number in the process."""

    at: int
    before: bool

    def __str__(self) -> str:
        return f"{'before' if self.before else 'after'} {self.at}"


class KillableJournal(FakeJournal):
    """A journal that can end the process before or after a given record."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.kill_at: int | None = None
        """The number of the record, counted in this process. None for no kill."""
        self.before = False
        self.written = 0
        self.watch: Callable[[Kill], None] | None = None
        """Called at every moment at which ``kill_at`` could kill."""

    def write(self, body: Body) -> None:
        self.written += 1
        self._perhaps_die(before=True)
        super().write(body)
        self._perhaps_die(before=False)

    def _perhaps_die(self, *, before: bool) -> None:
        if self.watch is not None:
            self.watch(Kill(self.written, before))
        if self.written == self.kill_at and self.before == before:
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


KillableT = TypeVar("KillableT", bound=KillableWorld)


def kills(world: KillableT, act: Callable[[KillableT], object]) -> list[Kill]:
    """Act, and return the kills at records that would have left different worlds behind.

    Where nothing but the process has changed since the record before, a kill before a record leaves the same as a kill
    after the one before it.
    """
    found, outlasting = list[Kill](), ""

    def watch(kill: Kill) -> None:
        nonlocal outlasting
        now = _outlasting(world)
        if not kill.before or now != outlasting:
            found.append(kill)
        outlasting = now

    world.killable.watch = watch
    act(world)
    return found


def killed_worlds(make: Callable[[], KillableT], act: Callable[[KillableT], object]) -> dict[Kill, KillableT]:
    """Return what each kill at a record leaves behind, all from one run: it does not begin anew for each."""
    world, left = make(), dict[Kill, KillableT]()

    def watch(kill: Kill) -> None:
        left[kill] = copied = copy_of(world)
        copied.killable.watch = None

    world.killable.watch = watch
    act(world)
    return left


def _outlasting(world: KillableWorld) -> str:
    """Describe what outlasts a process, besides the journal."""
    lists = {name: len(value) for name, value in vars(world).items() if isinstance(value, list)}  # they only grow
    others = {
        name: id(value) if isinstance(value, BaseModel) else value
        for name, value in vars(world).items()
        if name not in lists and not isinstance(value, FakeJournal) and name != "_pods"
    }
    return repr((lists, others))
