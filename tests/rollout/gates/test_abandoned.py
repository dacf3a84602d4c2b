"""A candidate whose clients give up is caught, and open streams and impatient clients are no reason to refuse one."""

import heapq
from collections.abc import Callable

import numpy as np
import pytest

from components.config.sections.gate_settings import AbandonedSettings
from components.config.sections.rollout_settings import GateSettings
from components.domain.naming import Color
from rollout.gates.comparisons import PodComparison
from rollout.gates.verdicts import Thresholds, judge_abandoned
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.measurements import Counters, sample

LIMITS = AbandonedSettings()  # 90 %, 10 points
RATE = 0.05
BAR = Thresholds(minimum_requests=50, false_alarm_rate=RATE)


def judged(
    counts: tuple[int, int] | None,
    active: tuple[int, int] | None = None,
    compared: float = 0.0,
    known: float | None = None,
) -> GateVerdict:
    return judge_abandoned("abandoned", counts, active, compared, known, LIMITS, BAR)


@pytest.mark.parametrize(
    ("counts", "active", "compared", "verdict"),
    [
        (None, None, 0.0, Verdict.INCONCLUSIVE),
        ((49, 0), None, 0.0, Verdict.INCONCLUSIVE),
        ((100, 0), (100, 0), 0.0, Verdict.PASS),
        ((100, 30), (100, 30), 0.0, Verdict.PASS),  # impatient clients are on both colours
        ((100, 35), (100, 10), 0.0, Verdict.INCONCLUSIVE),
        ((100, 35), (100, 10), 99.0, Verdict.FAIL),
        ((200, 200), None, 0.0, Verdict.FAIL),  # the last step has no active colour to compare with
        ((200, 170), None, 0.0, Verdict.PASS),
    ],
)
def test_abandoned_requests_are_judged_by_limit_and_by_the_active_colours(
    counts: tuple[int, int] | None, active: tuple[int, int] | None, compared: float, verdict: Verdict
) -> None:
    assert judged(counts, active, compared).verdict is verdict


@pytest.mark.parametrize(
    ("abandoned", "known", "verdict"),
    [
        (100, 2.0, Verdict.FAIL),
        (22, 2.0, Verdict.PASS),
        (100, 45.0, Verdict.PASS),  # clients of this service hang up
        (100, None, Verdict.PASS),
        (200, 95.0, Verdict.FAIL),  # the limit holds whatever was before
    ],
)
def test_at_the_last_step_the_active_colours_share_from_before_counts(
    abandoned: int, known: float | None, verdict: Verdict
) -> None:
    assert judged((200, abandoned), (0, 0), known=known).verdict is verdict


def test_the_verdict_speaks_of_abandoned_requests() -> None:
    verdict = judged((100, 5), (200, 4))
    assert verdict.reason == "5 of 100 requests were abandoned (5.00 %, limit 90 %), 2.00 % on the active colour"
    assert (verdict.evidence["abandoned"], verdict.evidence["active_abandoned"]) == (5, 4)


Draw = Callable[[np.random.Generator], tuple[float, float, float]]
"""Returns a request's times in seconds after its arrival: the first token, its end, and when its client gives up."""
NEVER = float("inf")


def impatient(generator: np.random.Generator) -> tuple[float, float, float]:
    """A fifth of the users stop an answer that has just begun; complete answers take minutes."""
    leaves = generator.exponential(4) if generator.random() < 0.2 else NEVER
    return 0.5, generator.exponential(120), leaves


def patient(generator: np.random.Generator) -> tuple[float, float, float]:
    """Clients whose timeout cuts the longest answers."""
    return 0.5, generator.exponential(20), 60.0


def stalling(share: float, of: Draw = impatient) -> Draw:
    """A share of the requests never gets a token, and clients give up after half a minute."""
    return lambda generator: (NEVER, NEVER, 30.0) if generator.random() < share else of(generator)


class Traffic:
    """Both colours' counters, while requests arrive at 2 a second. The candidate gets a quarter, from now on."""

    def __init__(self, draw: dict[Color, Draw], seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.draw = draw
        self.now = -600.0
        self.counts = {(color, what): 0.0 for color in draw for what in ("tokens", "answered", "finished")}
        self.events: list[tuple[float, Color, str]] = []

    def run_until(self, end: float) -> dict[Color, Counters]:
        """Let requests arrive and end, and return the counters."""
        while self.now < end:
            self.now += self.generator.exponential(0.5)
            color: Color = "green" if self.now > 0 and self.generator.random() < 0.25 else "blue"
            first, ends, leaves = self.draw[color](self.generator)
            ends = max(first, ends)
            if first < leaves:
                heapq.heappush(self.events, (self.now + first, color, "tokens"))
            if ends < leaves:
                heapq.heappush(self.events, (self.now + ends, color, "finished"))
            heapq.heappush(self.events, (self.now + min(ends, leaves), color, "answered"))
        while self.events and self.events[0][0] <= end:
            _, color, what = heapq.heappop(self.events)
            self.counts[color, what] += 1
        return {color: self.counters(color) for color in self.draw}

    def counters(self, color: Color) -> Counters:
        tokens, answered, finished = (self.counts[color, what] for what in ("tokens", "answered", "finished"))
        return Counters(
            responses={("pod", "2xx"): answered},
            answered={("pod", ""): answered},
            finished={("pod", "stop"): finished},
            ttft_buckets={("pod", "+Inf"): tokens},
        )


def hold(candidate: Draw, active: Draw, seed: int, looks: int = 40) -> list[Verdict]:
    """Judge a hold of ten minutes every 15 seconds, which begins with the step."""
    traffic = Traffic({"blue": active, "green": candidate}, seed)
    start = traffic.run_until(0.0)
    comparison = PodComparison(start, "green", "blue", GateSettings())
    verdicts: list[Verdict] = []
    for look in range(1, looks + 1):
        end = traffic.run_until(15.0 * look)
        counts: list[tuple[int, int]] = []
        for color in ("green", "blue"):
            seen = sample(start[color], end[color])
            assert seen is not None
            assert seen.abandoned is not None
            counts.append((seen.begun, seen.abandoned))
        verdicts.append(judged(counts[0], counts[1], comparison.look(end)["abandoned"]).verdict)
    return verdicts


@pytest.mark.slow
@pytest.mark.parametrize("draw", [impatient, patient])
def test_the_false_alarm_rate_of_a_hold_is_kept_while_streams_are_open(draw: Draw) -> None:
    holds = [hold(draw, draw, seed) for seed in range(40)]
    assert sum(Verdict.FAIL in verdicts for verdicts in holds) <= 40 * RATE
    assert sum(verdicts[-1] is Verdict.PASS for verdicts in holds) >= 38


@pytest.mark.parametrize("draw", [impatient, patient])
def test_a_candidate_that_stalls_is_caught(draw: Draw) -> None:
    holds = [hold(stalling(0.4, draw), draw, seed) for seed in range(10)]
    assert all(Verdict.FAIL in verdicts for verdicts in holds)


def test_streams_that_only_stay_open_are_no_stalls() -> None:
    def endless(_: np.random.Generator) -> tuple[float, float, float]:
        return 0.5, NEVER, NEVER

    verdicts = hold(endless, impatient, 1)
    assert Verdict.FAIL not in verdicts
    assert verdicts[-1] is Verdict.PASS
