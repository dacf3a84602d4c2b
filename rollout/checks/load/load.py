"""The load check: sends rising load to the candidate until its latencies pass their limits, before any user does.

The load is closed: a number of requests is open at any time, and each that ends is followed by the next. So a candidate
that becomes slow gets fewer requests, not a growing queue. The load ends when the knee is found, at the bounds of time
and tokens, and at once when the rollout is asked to stop.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import cycle
from typing import Any

from components.config.release.release import Release
from components.config.sections.check_settings import LoadSettings
from components.config.sections.rollout_settings import GateSettings
from components.domain.naming import Color, fingerprint, other_color
from rollout.checks.load.judgement import Capacity, judge_load
from rollout.checks.load.prompts import recorded_bodies, synthetic_bodies
from rollout.checks.load.search import Level, Limits, Search, level_of, next_concurrency, tokens_of
from rollout.checks.recorded_prompts import RequestLog
from rollout.model.answers import Answer
from rollout.model.errors import RefusedError, RolloutError
from rollout.model.verdict import GateVerdict
from rollout.ports import Clock, ClosedLoop, Config, Demand
from rollout.statistics.demand import Lengths, Span, Throughput, peak_of
from rollout.system.waits import waiting

KEY = "rollout.gates.load"
LOOK_SECONDS = 0.1
FEWEST_ANSWERS = 20
"""A level lasts longer than ``level_seconds`` until so many answers have ended, or two for each open request."""
LONGEST_LEVELS = 3
"""A level lasts at most so many times ``level_seconds``."""
BUSY_PERCENT = 80
"""Above this share of one CPU core, this machine may be what is slow."""


class _CutError(Exception):
    """The search ends before both sides of the knee are known. The message says what ended it."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Searches the knee of the candidate, and, only if the settings allow it, of the active colour."""

    closed_loop: Callable[[Color, Iterator[Mapping[str, Any]], float], AbstractContextManager[ClosedLoop]]
    """Opens a loop of requests to a colour, with the longest time that one may be silent, in seconds."""
    demand: Demand
    replicas: Callable[[Color], int]
    """Counts a colour's ready replicas."""
    config: Config
    clock: Clock
    settings: LoadSettings
    gates: GateSettings
    recorded: Callable[[], RequestLog] | None
    """Reads the recorded prompts. None when the settings name none."""
    checked: Callable[[], Sequence[Span]]
    """Returns when our own checks sent requests."""
    cpu_seconds: Callable[[], float] = time.process_time
    """Returns how long this process has computed."""

    def prepare(self) -> None:
        """Read the peak, and the prompts or their lengths.

        Raises:
            RefusedError: Prometheus has no requests of users, or the prompts cannot be read.
        """
        needs_peak = self.settings.required_percent_of_peak is not None and not self.settings.dry_run
        if self._peak is None and needs_peak:
            days = self.settings.peak_window_seconds / 86_400
            raise RefusedError(
                f"{KEY}: Prometheus has no finished requests of the service within {days:g} days, apart from our own "
                "checks, so its peak is not known; raise peak_window_seconds, set dry_run: true, or leave the check "
                "out with --skip load --because REASON"
            )
        if self.recorded is not None:
            self.recorded()
        elif not self._lengths.prompts.count or not self._lengths.answers.count:
            raise RefusedError(
                f"{KEY}: Prometheus has no lengths of the active colour's requests (vllm:request_prompt_tokens, "
                "vllm:request_generation_tokens) to make prompts of; set rollout.gates.recorded_prompts, or leave the "
                "check out with --skip load --because REASON"
            )

    @cached_property
    def _window(self) -> tuple[datetime, datetime]:
        now = self.clock.now()
        return now - timedelta(seconds=self.settings.peak_window_seconds), now

    @cached_property
    def _peak(self) -> Throughput | None:
        """The peak as of preflight: later, the other checks' requests would count."""
        rate_seconds = self.settings.peak_rate_seconds
        rates = self.demand.rates(*self._window, rate_seconds=rate_seconds)
        return peak_of(rates, self.checked(), rate_seconds=rate_seconds)

    @cached_property
    def _lengths(self) -> Lengths:
        return self.demand.lengths(self.config.read().active_color, *self._window)

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Judge the candidate.

        Raises:
            StoppedError: the rollout was asked to stop; no request is open any more.
        """
        settings = self.config.read()
        other = other_color(color)
        active = settings.color(other).release
        peak = self._peak  # before the load
        candidate = Capacity(search=self._search(color, release, settings.color(color).wanted_replicas))
        compared: Capacity | None = None
        if self.settings.send_to_active_color and active is not None:
            # Its users are served meanwhile, and what they get is part of what it carries.
            seconds = self.settings.peak_rate_seconds
            served = self.demand.throughput(other, self.clock.now(), rate_seconds=seconds)
            replicas = self.ready_replicas(other, settings.color(other).wanted_replicas)
            users = Throughput(
                requests_per_second=served.requests_per_second / replicas,
                tokens_per_second=(served.tokens_per_second or 0.0) / replicas,
            )
            compared = Capacity(search=self._search(other, active, replicas), users=users)
        return judge_load(
            candidate,
            compared,
            peak,
            self.settings,
            full_replicas=settings.color(color).replicas,
            prompts="synthetic" if self.recorded is None else "recorded",
        )

    @cached_property
    def _limits(self) -> Limits:
        ttft, between = self.gates.load_limits_seconds
        return Limits(
            ttft_p95_seconds=ttft,
            inter_token_p95_seconds=between,
            failed_percent=self.gates.error_rate.limit_percent,
        )

    def _bodies(self, release: Release) -> Iterator[Mapping[str, Any]]:
        most, seed = self.settings.max_tokens, self.settings.seed
        if self.recorded is None:
            return synthetic_bodies(self._lengths, max_tokens=most, seed=seed)
        records = self.recorded().requests
        return cycle(recorded_bodies(records, max_tokens=most, seed=seed, names=release.lora_adapters))

    def ready_replicas(self, color: Color, before: int) -> int:
        """Return how many replicas are ready. If Kubernetes does not answer now, as many as before."""
        try:
            return max(1, self.replicas(color))
        except RolloutError:
            return before

    def _search(self, color: Color, release: Release, replicas: int) -> Search:
        most = self.settings.max_concurrency
        first = self.ready_replicas(color, replicas)
        with self.closed_loop(color, self._bodies(release), self.settings.timeout_seconds) as loop:
            run = _Run(self, loop, color, fingerprint(color, release.release_id), self._limits)
            levels: list[Level] = []
            cut = ""
            try:
                while (number := next_concurrency(levels, self._limits, first=first, most=most)) is not None:
                    levels.append(run.level(number, levels[-1].replicas if levels else first))
            except _CutError as error:
                cut = str(error)
        found = Search(
            levels=levels, limits=self._limits, cut=cut, requests=run.requests, tokens=run.tokens, seconds=run.seconds
        )
        return found if cut or found.saturated else replace(found, cut=f"{KEY}.max_concurrency ({most})")


class _Run:
    """The load on one colour."""

    def __init__(self, check: Load, loop: ClosedLoop, color: Color, expected: str, limits: Limits) -> None:
        self._check = check
        self._limits = limits
        self._loop = loop
        self._color: Color = color
        self._expected = expected
        self._began = check.clock.monotonic()
        self.requests = 0
        self.tokens = 0
        """Tokens of prompts and answers that have ended."""

    @property
    def seconds(self) -> float:
        return self._check.clock.monotonic() - self._began

    def level(self, concurrency: int, replicas: int) -> Level:
        """Measure a level, once the requests of the one before have mostly ended.

        Args:
            concurrency: how many requests to keep open.
            replicas: how many replicas were ready before.

        Raises:
            StoppedError: the rollout was asked to stop.
            _CutError: a bound is reached, or this machine is too slow.
        """
        clock, longest = self._check.clock, self._check.settings.level_seconds
        with waiting(f"{concurrency} open requests to {self._color}", at_most_seconds=(1 + LONGEST_LEVELS) * longest):
            self._loop.keep_open(concurrency)
            began, ended = clock.monotonic(), 0
            while ended < concurrency and clock.monotonic() - began < longest:
                ended += len(self._look())
            began, computed, answers = clock.monotonic(), self._check.cpu_seconds(), list[Answer]()
            fewest = min(FEWEST_ANSWERS, 2 * concurrency)
            while not self._is_over(clock.monotonic() - began, enough=len(answers) >= fewest):
                answers += self._look()
        seconds = clock.monotonic() - began
        busy_percent = 100 * (self._check.cpu_seconds() - computed) / seconds
        if busy_percent > BUSY_PERCENT:
            raise _CutError(
                f"this machine, which used {busy_percent:.0f} % of a CPU core for {concurrency} open requests; run the "
                f"script on a faster one, or lower {KEY}.max_concurrency"
            )
        limit = self._limits.ttft_p95_seconds
        waited = [one for one in self._loop.waiting_seconds() if limit is not None and one > limit]
        if not answers and not waited:
            raise _CutError(f"{KEY}.level_seconds ({longest:g}): no answer ended in {seconds:.0f} s")
        replicas = self._check.ready_replicas(self._color, replicas)
        return level_of(answers, waited, concurrency=concurrency, replicas=replicas, seconds=seconds)

    def _is_over(self, seconds: float, *, enough: bool) -> bool:
        planned = self._check.settings.level_seconds
        return seconds >= planned and (enough or seconds >= LONGEST_LEVELS * planned)

    def _look(self) -> list[Answer]:
        """Wait a moment, and return what has ended in it."""
        settings = self._check.settings
        self._check.clock.sleep(LOOK_SECONDS)
        answers = [answer.by(self._expected) for answer in self._loop.answers()]
        self.requests += len(answers)
        self.tokens += sum((answer.prompt_tokens or 0) + tokens_of(answer) for answer in answers)
        if self.tokens + self._loop.open_tokens() > settings.max_total_tokens:
            raise _CutError(f"{KEY}.max_total_tokens ({settings.max_total_tokens})")
        if self.seconds > settings.max_seconds:
            raise _CutError(f"{KEY}.max_seconds ({settings.max_seconds:g})")
        return answers
