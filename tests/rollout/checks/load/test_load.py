"""The load check on a simulated server: it finds the knee, keeps its bounds, and leaves the active colour alone."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from components.config.sections.rollout_settings import GateSettings
from components.domain.naming import Color, fingerprint
from rollout.checks.load.load import Load
from rollout.checks.load.prompts import synthetic_bodies
from rollout.checks.log_lines import RecordedRequest
from rollout.checks.recorded_prompts import RequestLog
from rollout.model.answers import Answer
from rollout.model.errors import RefusedError, RolloutError, StoppedError
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.demand import Lengths, Rate, Throughput
from rollout.statistics.measurements import Histogram
from tests.rollout.fakes import NEW, OLD, START, FakeClock, FakeConfig, World

RECORDED = RequestLog(
    requests=[
        RecordedRequest(body={"messages": [{"role": "user", "content": f"question {number}"}]}) for number in range(9)
    ]
)
LENGTHS = Lengths(
    prompts=Histogram(((100.0, 0.0), (200.0, 10.0), (float("inf"), 10.0))),
    answers=Histogram(((50.0, 10.0), (float("inf"), 10.0))),
)
ANSWER_TOKENS = 100


@dataclass
class Server:
    """A colour: so many open requests get their full pace, and more of them share it."""

    carries: float
    seconds: float = 1.0
    """How long an answer takes at full pace."""
    error: str | None = None
    fingerprint: str = fingerprint("green", NEW.release_id)


@dataclass
class SimulatedLoop:
    clock: FakeClock
    server: Server
    bodies: Iterator[Mapping[str, Any]]
    open: int = 0
    looked_at: float = 0.0
    due: float = 0.0
    sent: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    most_open: int = 0

    def keep_open(self, count: int) -> None:
        self.open = count
        self.most_open = max(self.most_open, count)

    def answers(self) -> Sequence[Answer]:
        now = self.clock.monotonic()
        slow = max(1.0, self.open / self.server.carries)
        self.due += (now - self.looked_at) * self.open / (self.server.seconds * slow)
        self.looked_at, ended = now, int(self.due)
        self.due -= ended
        self.sent += islice(self.bodies, ended)
        one = Answer(
            status=200,
            fingerprint=self.server.fingerprint,
            ttft_seconds=0.1 * slow**2,
            inter_token_seconds=(0.01 * slow,) * 9,
            prompt_tokens=50,
            output_tokens=ANSWER_TOKENS,
            error=self.server.error,
        )
        return [one] * ended

    def waiting_seconds(self) -> Sequence[float]:
        return [100.0] * self.open if self.server.carries < 0.01 else []

    def open_tokens(self) -> int:
        return 0


@dataclass
class Users:
    """Users of the active colour, with a peak in the night."""

    requests_per_second: float = 10.0
    lengths_of: Lengths = LENGTHS
    asked: list[tuple[datetime, datetime]] = field(default_factory=list[tuple[datetime, datetime]])

    def rates(self, start: datetime, end: datetime, *, rate_seconds: float) -> Sequence[Rate]:
        assert rate_seconds > 0
        self.asked.append((start, end))
        peak = Throughput(requests_per_second=self.requests_per_second, tokens_per_second=None)
        return [Rate(at=start + timedelta(hours=1), throughput=peak), Rate(at=end, throughput=peak)]

    def throughput(self, color: Color, at: datetime, *, rate_seconds: float) -> Throughput:
        assert (color, rate_seconds > 0, at >= START) == ("blue", True, True)
        return Throughput(requests_per_second=4.0, tokens_per_second=400.0)

    def lengths(self, color: Color, start: datetime, end: datetime) -> Lengths:
        assert color == "blue"
        assert start < end
        return self.lengths_of


class Stage:
    """The check, with both colours' servers and a clock that moves when it waits."""

    def __init__(
        self, *, carries: float = 40.0, recorded: bool = True, users: Users | None = None, **load: Any
    ) -> None:
        self.clock = FakeClock()
        self.servers: dict[Color, Server] = {
            "green": Server(carries),
            "blue": Server(30.0, fingerprint=fingerprint("blue", OLD.release_id)),
        }
        self.loops: dict[Color, SimulatedLoop] = {}
        self.closed: list[Color] = []
        self.users = users or Users()
        self.cpu_seconds = 0.0
        self.ready = 2
        gates = GateSettings.model_validate({"load": {"level_seconds": 10, **load}})
        assert gates.load is not None
        values = World().config.values
        green = {"release": NEW.model_dump(mode="json"), "replicas": 4}
        self.check = Load(
            closed_loop=self.closed_loop,
            demand=self.users,
            replicas=self.replicas,
            config=FakeConfig({**values, "green": green}),
            clock=self.clock,
            settings=gates.load,
            gates=gates,
            recorded=(lambda: RECORDED) if recorded else None,
            checked=list,
            cpu_seconds=lambda: self.clock.monotonic() * self.cpu_seconds,
        )

    def replicas(self, color: Color) -> int:
        assert color in self.servers
        if not self.ready:
            raise RolloutError("Kubernetes cannot list the pods")
        return self.ready

    @contextmanager
    def closed_loop(
        self, color: Color, bodies: Iterator[Mapping[str, Any]], timeout_seconds: float
    ) -> Generator[SimulatedLoop]:
        assert timeout_seconds > 0
        loop = SimulatedLoop(self.clock, self.servers[color], bodies, looked_at=self.clock.monotonic())
        self.loops[color] = loop
        try:
            yield loop
        finally:
            self.closed.append(color)

    def run(self) -> GateVerdict:
        self.check.prepare()
        return self.check.run("green", NEW)


def test_it_finds_the_knee_and_judges_the_share_of_the_peak_at_full_size() -> None:
    stage = Stage(carries=40, ttft_p95_limit_seconds=0.2)
    verdict = stage.run()
    # Two replicas carry about 40 requests/s within the limits, so four carry 80: eight times the peak.
    assert verdict.verdict is Verdict.PASS, verdict.reason
    assert verdict.evidence["prompts"] == "recorded"
    assert 15 <= float(verdict.evidence["requests_per_second_per_replica"] or 0) <= 21
    assert 600 <= float(verdict.evidence["percent_of_peak"] or 0) <= 840
    assert (verdict.evidence["replicas"], verdict.evidence["full_replicas"]) == (2, 4)
    assert (list(stage.loops), stage.closed) == (["green"], ["green"])
    assert {body["stream_options"]["include_usage"] for body in stage.loops["green"].sent} == {True}


def test_a_candidate_that_saturates_below_the_peak_fails() -> None:
    verdict = Stage(carries=2, ttft_p95_limit_seconds=0.2).run()
    assert verdict.verdict is Verdict.FAIL
    assert "of the peak of 10 requests/s with 4 replicas (required 120 %)" in verdict.reason


def test_the_gates_own_limits_count_unless_the_check_has_its_own() -> None:
    loose, strict = Stage().run(), Stage(inter_token_p95_limit_seconds=0.0011).run()
    assert float(strict.evidence["concurrency"] or 0) < float(loose.evidence["concurrency"] or 0)


def test_a_candidate_that_fails_requests_carries_nothing() -> None:
    stage = Stage()
    stage.servers["green"].error = "status 500"
    verdict = stage.run()
    assert verdict.verdict is Verdict.FAIL
    assert "requests failed (status 500)" in verdict.reason


def test_answers_of_another_release_count_as_failed() -> None:
    stage = Stage()
    stage.servers["green"].fingerprint = "green-other"
    verdict = stage.run()
    assert verdict.verdict is Verdict.FAIL
    assert "answered by green-other" in verdict.reason


def test_a_candidate_that_hangs_fails() -> None:
    verdict = Stage(carries=0.001).run()
    assert verdict.verdict is Verdict.FAIL
    assert "time to first token p95 100 s" in verdict.reason


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_concurrency": 4}, "cut by rollout.gates.load.max_concurrency (4)"),
        ({"max_seconds": 60}, "cut by rollout.gates.load.max_seconds (60)"),
        ({"max_total_tokens": 30_000}, "cut by rollout.gates.load.max_total_tokens (30000)"),
    ],
)
def test_a_bound_ends_the_load_and_is_named(settings: dict[str, Any], words: str) -> None:
    stage = Stage(carries=4000, users=Users(requests_per_second=100_000), **settings)
    verdict = stage.run()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert words in verdict.reason
    assert float(verdict.evidence["load_seconds"] or 0) <= 901
    if (most := settings.get("max_total_tokens")) is not None:
        longest_look = 150 * 0.2 * stage.loops["green"].most_open
        assert most < float(verdict.evidence["load_tokens"] or 0) <= most + longest_look
    assert stage.loops["green"].most_open <= settings.get("max_concurrency", 256)


def test_answers_that_take_longer_than_any_level_are_no_verdict() -> None:
    stage = Stage()
    stage.servers["green"].seconds = 1000
    verdict = stage.run()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "level_seconds (10): no answer ended in 30 s" in verdict.reason


def test_a_slow_machine_is_not_taken_for_a_slow_candidate() -> None:
    stage = Stage(users=Users(requests_per_second=1000))
    stage.cpu_seconds = 0.95
    verdict = stage.run()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "this machine, which used 95 % of a CPU core for 2 open requests" in verdict.reason


def test_a_request_to_stop_ends_the_load_at_once() -> None:
    stage = Stage()
    stage.clock.stop_at = 15.0
    with pytest.raises(StoppedError):
        stage.run()
    assert stage.closed == ["green"]
    assert stage.clock.elapsed < 15.2


def test_the_active_colour_is_loaded_only_when_asked_and_with_what_its_users_get() -> None:
    stage = Stage(carries=40, send_to_active_color=True, max_throughput_drop_percent=10)
    verdict = stage.run()
    assert list(stage.loops) == ["green", "blue"]
    assert verdict.verdict is Verdict.PASS, verdict.reason
    assert "for each replica than the active colour (limit 10 %)" in verdict.reason
    assert Stage(carries=20, send_to_active_color=True, max_throughput_drop_percent=10).run().verdict is Verdict.FAIL


def test_replicas_that_an_autoscaler_adds_share_what_was_served() -> None:
    stage = Stage(carries=40)
    stage.ready = 8
    verdict = stage.run()
    assert float(verdict.evidence["requests_per_second_per_replica"] or 0) <= 40 * 4 / 8


def test_a_kubernetes_that_does_not_answer_ends_no_load() -> None:
    stage = Stage(carries=40)
    stage.ready = 0
    verdict = stage.run()
    assert verdict.verdict is Verdict.PASS, verdict.reason
    assert verdict.evidence["replicas"] == 4, "those of the config"


def test_without_recorded_prompts_they_are_as_long_as_users() -> None:
    stage = Stage(recorded=False)
    verdict = stage.run()
    assert verdict.evidence["prompts"] == "synthetic"
    sent = stage.loops["green"].sent
    words = [len(body["messages"][0]["content"].split()) for body in sent]
    assert 100 <= min(words) < 130
    assert 170 < max(words) <= 200
    assert {body["max_tokens"] <= 50 for body in sent} == {True}
    assert len({body["messages"][0]["content"] for body in sent}) == len(sent)


def test_synthetic_answers_are_at_most_as_long_as_allowed() -> None:
    long = replace(LENGTHS, answers=Histogram(((5000.0, 0.0), (9000.0, 10.0), (float("inf"), 10.0))))
    bodies = list(islice(synthetic_bodies(long, max_tokens=1024, seed=1), 5))
    assert {(body["max_tokens"], body["ignore_eos"]) for body in bodies} == {(1024, True)}


@pytest.mark.parametrize(
    ("users", "recorded", "words"),
    [
        (Users(requests_per_second=0), True, "rollout.gates.load: Prometheus has no finished requests of the service"),
        (Users(lengths_of=Lengths(prompts=Histogram(), answers=Histogram())), False, "has no lengths of the active"),
    ],
)
def test_what_it_needs_is_missed_before_anything_changes(users: Users, recorded: bool, words: str) -> None:
    stage = Stage(users=users, recorded=recorded)
    with pytest.raises(RefusedError, match=words):
        stage.check.prepare()
    assert stage.loops == {}


def test_a_dry_run_measures_a_service_without_users_too() -> None:
    verdict = Stage(users=Users(requests_per_second=0), dry_run=True).run()
    assert (verdict.verdict, verdict.dry_run) == (Verdict.INCONCLUSIVE, True)
    assert float(verdict.evidence["requests_per_second_per_replica"] or 0) > 0


def test_the_peak_is_as_of_preflight() -> None:
    stage = Stage()
    stage.check.prepare()
    stage.users.requests_per_second = 1e6  # the requests of the checks before
    assert stage.check.run("green", NEW).verdict is Verdict.PASS
    assert stage.users.asked == [(START - timedelta(days=1), START)]


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        (
            {"load": {}, "ttft_p95": {"dry_run": True}, "inter_token_p95": {"dry_run": True}},
            "no latency limit",
        ),
        ({"load": {"max_throughput_drop_percent": 10}}, "the check may not send to it"),
        ({"load": {"required_percent_of_peak": None}}, "any capacity would pass"),
        ({"load": {"max_seconds": 60}}, "at least 6 times level_seconds"),
        ({"load": {"peak_window_seconds": 60}}, "at most peak_window_seconds"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(gates: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GateSettings.model_validate(gates)
