"""The warm-up: the prompts that users send most often, sent to the candidate until its prefix cache knows them.

It protects the first users' latency, not anybody's answers, so it never fails a candidate: what could not be warmed or
measured is said in its verdict, and the gates judge the latency that users then see.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from components.config.check_settings import WarmUpSettings
from components.config.release import Release
from components.domain.naming import Color
from rollout.checks.asking import OutOfTimeError, ask_all
from rollout.checks.recorded_prompts import Recorded, frequent, replayed
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Clock, Metrics, Route
from rollout.statistics.measurements import PrefixCache
from rollout.system.failures import describe_error

GATE = "warm_up"
LEVEL_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """Sends rounds of prompts, and reads the hit rate of each from the candidate's own counters."""

    route: Route
    metrics: Metrics
    clock: Clock
    settings: WarmUpSettings
    poll_seconds: float
    recorded: Callable[[], list[Recorded]]

    def prepare(self) -> None:
        """Read the prompts.

        Raises:
            RefusedError: there are none.
        """
        self.recorded()

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Warm the candidate up; always a pass, whose reason says how far it came.

        Raises:
            StoppedError: somebody asked the rollout to stop.
        """
        prompts = frequent(self.recorded(), self.settings.prefixes)
        bodies = [replayed(prompt, max_tokens=1, seed=1, names=release.lora_adapters) for prompt in prompts]
        began = self.clock.monotonic()
        left = self.settings.max_seconds
        rates: list[float] = []
        rounds = failed = 0
        error = ""
        before = self._counted(color)
        while left > 0 and not is_level(rates, self.settings.level_points):
            asks = [
                partial(self.route.ask, color, body, timeout_seconds=self.settings.timeout_seconds) for body in bodies
            ]
            try:
                answers = ask_all(asks, at_once=self.settings.concurrency, clock=self.clock, limit_seconds=left)
            except OutOfTimeError as error:
                error = str(error)
                break
            rounds += 1
            failed += sum(answer.error is not None for answer in answers)
            self.clock.sleep(min(self.poll_seconds, left))
            # Counters are as old as the last scrape: a round that none has seen yet is measured with the next one.
            after = self._counted(color)
            if isinstance(after, PrefixCache) and isinstance(before, PrefixCache):
                if (rate := after.hit_percent_since(before)) is not None:
                    rates.append(rate)
                    before = after
            else:
                before = after
            left = self.settings.max_seconds - (self.clock.monotonic() - began)
        evidence: dict[str, float | int | str | None] = {
            "prefixes": len(bodies),
            "requests": rounds * len(bodies),
            "failed": failed,
            "hit_rate_percent": round(rates[-1], 2) if rates else None,
            "seconds": round(self.clock.monotonic() - began, 1),
        }
        told = f"{len(bodies)} prefixes sent {rounds} times: {self._told(rates, before)}"
        if failed:
            told += f"; {failed} requests failed"
        reason = f"{told}; {error}" if error else told
        return GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=reason, evidence=evidence)

    def _told(self, rates: Sequence[float], latest: PrefixCache | str) -> str:
        if not rates:
            why = latest if isinstance(latest, str) else "its counters did not move"
            return f"the prefix cache's hit rate could not be measured ({why})"
        if is_level(rates, self.settings.level_points):
            return f"the prefix cache's hit rate is level at {rates[-1]:.0f} %"
        return f"the prefix cache's hit rate is {rates[-1]:.0f} % and not level yet"

    def _counted(self, color: Color) -> PrefixCache | str:
        """Return the candidate's counters, or why there are none."""
        try:
            counted = self.metrics.prefix_cache(color)
        except Exception as error:  # whatever the source fails with, the candidate is warmed all the same
            return describe_error(error)
        return "Prometheus has no vllm:prefix_cache counters of it" if counted is None else counted


def is_level(rates: Sequence[float], level_points: float) -> bool:
    """Tell whether the last rounds changed the hit rate by next to nothing.

    Every replica has a cache of its own, and a round reaches only some of them for each prompt: two rounds that agree
    may only be slow to rise.
    """
    last = rates[-LEVEL_ROUNDS:]
    return len(last) == LEVEL_ROUNDS and max(last) - min(last) <= level_points
