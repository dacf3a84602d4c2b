"""The warm-up ends when the hit rate is level or the time is over, and never fails a candidate."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.check_settings import WarmUpSettings
from components.domain.naming import Color
from rollout.checks.log_lines import RecordedRequest
from rollout.checks.recorded_prompts import RequestLog
from rollout.checks.warm_up import WarmUp, is_level
from rollout.model.answers import Answer
from rollout.model.errors import StoppedError
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.measurements import PrefixCache
from tests.rollout.fakes import NEW, FakeClock, FakeRoute, World

PROMPTS = [
    RecordedRequest(body={"messages": [{"role": "user", "content": f"question {number}"}]}) for number in range(5)
]


class CachingWorld(World):
    """A candidate whose cache contains earlier prompts, and whose counters are scraped now and then."""

    def __init__(self, scrape_seconds: float = 0.0) -> None:
        super().__init__()
        self.route = FakeRoute(Slow(self.clock))
        self.scrape_seconds = scrape_seconds
        self.scraped_at = -1e9
        self.seen: PrefixCache | None = None
        self.broken = False

    def prefix_cache(self, color: Color) -> PrefixCache | None:
        if self.broken:
            raise OSError("refused")
        if self.clock.elapsed - self.scraped_at >= self.scrape_seconds:
            self.scraped_at = self.clock.elapsed
            bodies = [str(body) for to, body, _ in self.route.asked if to == color]
            known = len(bodies) - len(set(bodies))
            self.seen = PrefixCache(queries=100.0 * len(bodies), hits=100.0 * known)
        return self.seen


@dataclass
class Slow:
    """Answers slowly."""

    clock: FakeClock
    seconds: float = 0.0
    error: str | None = None
    asked: int = field(default=0)

    def __call__(self, _color: Color, _body: Mapping[str, Any]) -> Answer:
        self.clock.elapsed += self.seconds
        return Answer(status=200, error=self.error)


def warm(world: World, **settings: Any) -> GateVerdict:
    return WarmUp(
        route=world.route,
        metrics=world,
        clock=world.clock,
        settings=WarmUpSettings.model_validate({"prefixes": 3, "concurrency": 1, **settings}),
        poll_seconds=5,
        recorded=lambda: RequestLog(requests=PROMPTS),
    ).run("green", NEW)


def test_it_ends_when_the_hit_rate_is_level() -> None:
    world = CachingWorld()
    verdict = warm(world)
    assert verdict.verdict is Verdict.PASS
    assert "3 prefixes sent 4 times: the prefix cache's hit rate is level at 100 %" in verdict.reason
    assert {body["max_tokens"] for _, body, _ in world.route.asked} == {1}
    assert world.route.asked_of("blue") == 0


def test_counters_that_are_scraped_seldom_are_waited_for() -> None:
    world = CachingWorld(scrape_seconds=30)
    verdict = warm(world)
    assert "level at 100 %" in verdict.reason
    assert float(verdict.evidence["seconds"] or 0) >= 90


def test_it_ends_when_the_time_is_over() -> None:
    world = CachingWorld()
    world.route = FakeRoute(Slow(world.clock, seconds=20))
    verdict = warm(world, max_seconds=50)
    assert verdict.verdict is Verdict.PASS
    assert "not level yet" in verdict.reason or "could not be measured" in verdict.reason
    assert float(verdict.evidence["seconds"] or 0) < 150


def test_a_round_that_takes_too_long_ends_it_and_is_named() -> None:
    world = CachingWorld()
    over = threading.Event()

    def answer(_color: Color, _body: Mapping[str, Any]) -> Answer:
        world.clock.elapsed += 100
        over.wait(10)
        return Answer(status=200)

    world.route = FakeRoute(answer)
    try:
        verdict = warm(world, max_seconds=50)
    finally:
        over.set()
    assert verdict.verdict is Verdict.PASS
    assert verdict.reason.endswith("; 3 of 3 were not answered within 50 s")


@pytest.mark.parametrize("broken", [True, False])
def test_what_cannot_be_measured_is_said_and_warmed_anyway(broken: bool) -> None:
    world = CachingWorld(scrape_seconds=1e9)
    world.broken = broken
    verdict = warm(world, max_seconds=20)
    assert verdict.verdict is Verdict.PASS
    assert "could not be measured" in verdict.reason
    assert ("refused" in verdict.reason) == broken
    assert world.route.asked_of("green") >= 3


def test_requests_that_fail_are_reported() -> None:
    world = CachingWorld()
    world.route = FakeRoute(Slow(world.clock, error="status 500"))
    verdict = warm(world, max_seconds=5)
    assert verdict.verdict is Verdict.PASS
    assert "requests failed" in verdict.reason


def test_a_request_to_stop_is_obeyed() -> None:
    world = CachingWorld()
    world.clock.stop_at = world.clock.elapsed + 6
    with pytest.raises(StoppedError):
        warm(world)


@given(st.lists(st.floats(0, 100)), st.floats(0.1, 100))
def test_a_rate_is_level_only_when_three_rounds_agree(rates: list[float], points: float) -> None:
    assert is_level([*rates, 50.0, 50.0, 50.0], points)
    assert not is_level([*rates, 50.0, 50.0, 50.0 + 1.01 * points], points)
    assert not is_level(rates[:2], points)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_hit_rate_is_between_none_and_all(a: float, b: float, c: float, d: float) -> None:
    rate = PrefixCache(queries=a, hits=b).hit_percent_since(PrefixCache(queries=c, hits=d))
    assert rate is None or 0 <= rate <= 100
