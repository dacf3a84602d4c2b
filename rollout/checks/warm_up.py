"""The warm-up: sends users' most frequent prompts to the candidate until its prefix cache contains them.

It improves the first users' latency and does not affect answers, so it never fails a candidate. Its verdict says what
could not be warmed or measured. The gates then judge the latency that users see.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from components.config.release.release import Release
from components.config.sections.check_settings import WarmUpSettings
from components.domain.naming import Color
from rollout.checks.asking import OutOfTimeError, ask_all
from rollout.checks.recorded_prompts import RequestLog, frequent, replayed
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Clock, Metrics, Route
from rollout.statistics.measurements import PrefixCache
from rollout.system.failures import describe_error

GATE = "warm_up"
LEVEL_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """Sends rounds of prompts, and reads the hit rate of each round from the candidate's own counters."""

    route: Route
    metrics: Metrics
    clock: Clock
    settings: WarmUpSettings
    poll_seconds: float
    recorded: Callable[[], RequestLog]

    def prepare(self) -> None:
        """Read the recorded prompts.

        Raises:
            RefusedError: the prompts cannot be read, or there are none.
        """
        self.recorded()

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Warm up the candidate. The verdict is always a pass; its reason says how far the warm-up got.

        Raises:
            StoppedError: the rollout was asked to stop.
        """
        prompts = frequent(self.recorded().requests, self.settings.prefixes)
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
            except OutOfTimeError as late:
                error = str(late)
                break
            rounds += 1
            failed += sum(answer.error is not None for answer in answers)
            self.clock.sleep(min(self.poll_seconds, left))
            # Counters are as old as the last scrape: a round that it does not include is measured with the next one.
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
        reason = f"{len(bodies)} prefixes sent {rounds} times: {self._describe_rate(rates, before)}"
        if failed:
            reason += f"; {failed} requests failed"
        if error:
            reason += f"; {error}"
        return GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=reason, evidence=evidence)

    def _describe_rate(self, rates: Sequence[float], latest: PrefixCache | str) -> str:
        if not rates:
            why = latest if isinstance(latest, str) else "its counters did not change"
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
        return "Prometheus has no vllm:prefix_cache counters for it" if counted is None else counted


def is_level(rates: Sequence[float], level_points: float) -> bool:
    """Return whether the hit rate changed by at most ``level_points`` over the last rounds.

    Every replica has its own cache, and a round sends each prompt to only some of the replicas. So two rounds with the
    same rate are not enough: the rate may still be rising slowly.
    """
    last = rates[-LEVEL_ROUNDS:]
    return len(last) == LEVEL_ROUNDS and max(last) - min(last) <= level_points
