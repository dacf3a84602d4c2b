"""The ladder: how the two colours of a service share nodes that hold fewer replicas than both need at full size.

Pure. There are places for all replicas of one colour and for ``surge`` more. A rollout climbs rung by rung: the
outgoing colour gives up replicas, the candidate takes their places, and then the weight moves. A rollback goes the
other way in waves. At every moment, both colours together run at most as many replicas as there are places, and each
has the replicas that its share of the requests needs.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_ALL: Final = 100
_CAPACITY = re.compile(r"(?P<replicas>[1-9][0-9]*)\+(?P<surge>[1-9][0-9]*) at (?P<percent>[1-9][0-9]*)")


class LadderError(ValueError):
    """No weight fits between two rungs; the message says between which, with the numbers."""


@dataclass(frozen=True, kw_only=True)
class SharedCapacity:
    """The places that both colours share, and how much each replica may carry."""

    replicas: int
    """Replicas of one colour that serve all requests."""
    surge: int
    """Places beyond these."""
    max_utilization_percent: int = _ALL
    """How much a replica may carry while both colours share the nodes, in percent of its share at full size."""

    @property
    def places(self) -> int:
        """The most replicas that both colours may run together."""
        return self.replicas + self.surge

    def needed(self, percent: int) -> int:
        """Return how many replicas a share of the requests needs."""
        return -(-percent * self.replicas // self.max_utilization_percent)

    def carried_percent(self, replicas: int) -> int:
        """Return the largest share of the requests that so many replicas can carry, in percent."""
        return min(replicas * self.max_utilization_percent // self.replicas, _ALL)

    def fair_percent(self, replicas: int) -> int:
        """Return the share of the requests that so many replicas carry at full size, to the nearest percent."""
        return min((2 * _ALL * replicas + self.replicas) // (2 * self.replicas), _ALL)

    def __str__(self) -> str:
        """Return the text of the weighted rule's tag, such as ``4+1 at 105``."""
        return f"{self.replicas}+{self.surge} at {self.max_utilization_percent}"

    @classmethod
    def parse(cls, text: str) -> "SharedCapacity | None":
        """Return the capacity that a tag's text describes; None when the text has another format."""
        found = _CAPACITY.fullmatch(text)
        if found is None:
            return None
        replicas, surge, percent = (int(found[name]) for name in ("replicas", "surge", "percent"))
        return cls(replicas=replicas, surge=surge, max_utilization_percent=percent)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One rung: how many replicas each colour runs, and the candidate's share of the requests."""

    candidate_replicas: int
    outgoing_replicas: int
    candidate_percent: int


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The rungs of a rollout, lowest first, with the capacity that they were made for."""

    capacity: SharedCapacity
    rungs: tuple[Rung, ...]

    def waves_back(self, rung: Rung) -> int:
        """Return how many waves a rollback from a rung takes until the outgoing colour carries all requests again."""
        return waves_back(self.capacity, rung.outgoing_replicas)

    @property
    def most_waves_back(self) -> int:
        """The waves of the slowest way back: from the last rung, where the outgoing colour has the fewest replicas."""
        return self.waves_back(self.rungs[-1])

    def lines(self, *, wave_seconds: float) -> Iterator[str]:
        """Yield each rung as a line, with its way back."""
        for number, rung in enumerate(self.rungs, 1):
            back = way_back(self.waves_back(rung), wave_seconds)
            yield (
                f"rung {number}: {rung.candidate_percent} %, candidate x{rung.candidate_replicas}, outgoing colour "
                f"x{rung.outgoing_replicas}; way back: {back}"
            )


def make_ladder(capacity: SharedCapacity, percents: Sequence[int], *, kept_replicas: int | None = None) -> Ladder:
    """Return the ladder with a rung for each of these shares, and as few rungs between them as the places allow.

    The outgoing colour keeps all of its replicas for as long as the surge places carry the candidate's share. Before it
    gives up the first one, there is a rung that needs all surge places.

    Args:
        capacity: the places.
        percents: the candidate's shares that the ramp asks for. They rise and end at 100.
        kept_replicas: the outgoing colour's replicas on the last rung. None for as many as there are surge places.

    Raises:
        LadderError: there is no such ladder.
    """
    kept = min(capacity.surge if kept_replicas is None else kept_replicas, capacity.replicas)
    rungs: list[Rung] = []
    last = Rung(candidate_replicas=0, outgoing_replicas=capacity.replicas, candidate_percent=0)
    for percent in percents:
        while last.candidate_percent < percent:
            last = _rung_after(last, percent, capacity, kept)
            rungs.append(last)
    return Ladder(capacity=capacity, rungs=tuple(rungs))


def smallest_surge(
    capacity: SharedCapacity,
    percents: Sequence[int],
    *,
    kept_replicas: int | None = None,
    most_waves: int | None = None,
) -> int | None:
    """Return the smallest surge with which there is a ladder whose way back takes at most so many waves.

    None when even places for both colours at full size do not help, because too few replicas are kept.
    """
    for surge in range(1, capacity.replicas + 1):
        wider = SharedCapacity(
            replicas=capacity.replicas, surge=surge, max_utilization_percent=capacity.max_utilization_percent
        )
        if kept_replicas is not None and kept_replicas > surge:
            continue
        try:
            ladder = make_ladder(wider, percents, kept_replicas=kept_replicas)
        except LadderError:
            continue
        if most_waves is None or ladder.most_waves_back <= most_waves:
            return surge
    return None


def share_at_once(capacity: SharedCapacity, *, has_percent: int, healthy: int, others_healthy: int) -> int:
    """Return the share of the requests that a colour which has given up replicas can take back at once, in percent.

    Args:
        capacity: the places.
        has_percent: the colour's share now. It never gets less, unless it has no healthy replica.
        healthy: its healthy replicas.
        others_healthy: the other colour's. Where a colour has none, requests fail, so the other one gets them all.
    """
    if healthy and not others_healthy:
        return _ALL
    if others_healthy and not healthy:
        return 0
    return max(has_percent, capacity.carried_percent(healthy))


def next_wave(capacity: SharedCapacity, outgoing_replicas: int, outgoing_percent: int) -> tuple[int, int]:
    """Return the replicas of the candidate and of the outgoing colour after one wave of a rollback.

    The candidate keeps what the rest of the requests needs, at least one replica, and all other places are the outgoing
    colour's. It gets at least one more, so that a rollback always ends.
    """
    needed = capacity.needed(_ALL - outgoing_percent)
    candidate = max(min(needed, capacity.places - outgoing_replicas - 1), 1)
    return candidate, min(capacity.replicas, capacity.places - candidate)


def waves_back(capacity: SharedCapacity, outgoing_replicas: int) -> int:
    """Return how many waves it takes until the outgoing colour carries all requests. None are needed at full size."""
    waves = 0
    while (carried := capacity.carried_percent(outgoing_replicas)) < _ALL:
        _, outgoing_replicas = next_wave(capacity, outgoing_replicas, carried)
        waves += 1
    return waves


def way_back(waves: int, wave_seconds: float) -> str:
    """Return in words how long a way back takes."""
    if not waves:
        return "instant"
    return f"{waves * wave_seconds:.0f} s ({waves} wave{'s' if waves != 1 else ''} of {wave_seconds:.0f} s)"


def _rung_after(last: Rung, percent: int, capacity: SharedCapacity, kept: int) -> Rung:
    """Return the next rung on the way to a share: the one with that share if it is in reach."""
    # What the outgoing colour may keep if the candidate is to carry the share, and what its own share still needs.
    room = kept if percent == _ALL else capacity.places - capacity.needed(percent)
    outgoing, least = min(last.outgoing_replicas, room), capacity.needed(_ALL - last.candidate_percent)
    if outgoing < last.outgoing_replicas == capacity.replicas:
        alone = min(capacity.fair_percent(capacity.surge), capacity.carried_percent(capacity.surge), percent - 1)
        untried = capacity.needed(last.candidate_percent) < capacity.surge
        if alone > last.candidate_percent and (untried or outgoing < least):
            return _rung(capacity, capacity.replicas, alone)
    if outgoing >= least:
        return _rung(capacity, outgoing, percent)
    candidate = _rung(capacity, least, percent).candidate_replicas
    most = min(capacity.carried_percent(candidate), percent - 1)
    if most <= last.candidate_percent:
        raise LadderError(
            f"no weight fits after {last.candidate_percent} %: the outgoing colour needs {least} of its "
            f"{capacity.replicas} replicas for the rest, which leaves {candidate} of {capacity.places} places to the "
            f"candidate, and they carry {most} %"
        )
    # Of the shares after which the outgoing colour can give up the most, the one that then loads both colours alike.
    rest = capacity.needed(_ALL - most)
    first = max(last.candidate_percent + 1, _ALL - capacity.carried_percent(rest))
    alike = round(_ALL * candidate / (candidate + rest))
    added = min(max(alike, first), most)
    surge_percent = min(capacity.carried_percent(capacity.surge), percent - 1)
    if last.outgoing_replicas == capacity.replicas and added <= surge_percent:
        return _rung(capacity, capacity.replicas, surge_percent)
    return _rung(capacity, least, added)


def _rung(capacity: SharedCapacity, outgoing: int, percent: int) -> Rung:
    """Return a rung on which the candidate has all places that the outgoing colour leaves."""
    candidate = min(capacity.replicas, capacity.places - outgoing)
    return Rung(candidate_replicas=candidate, outgoing_replicas=outgoing, candidate_percent=percent)
