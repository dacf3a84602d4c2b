"""The shadow check: what users asked lately, asked again of both colours, and the answers compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from components.check_settings import ShadowSettings
from components.naming import Color, fingerprint, other_color
from components.release import Release
from rollout.asking import ask_all
from rollout.ports import Clock, Config, Route
from rollout.prompt_records import Recorded, newest, replayed
from rollout.shadow_comparison import GATE, Triple, judge_shadow
from rollout.verdicts import GateVerdict, Verdict


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """Replays recorded prompts to both colours through their candidate routes."""

    route: Route
    config: Config
    clock: Clock
    settings: ShadowSettings
    recorded: Callable[[], list[Recorded]]

    def prepare(self) -> None:
        """Read the prompts.

        Raises:
            RefusedError: there are none.
        """
        self.recorded()

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Judge the candidate against the active colour; the active colour is asked twice."""
        active = self.config.read().color(other_color(color)).release
        if active is None:
            reason = f"{other_color(color)} serves no release to compare with"
            return GateVerdict(gate=GATE, verdict=Verdict.INCONCLUSIVE, reason=reason)
        prompts = newest(self.recorded(), self.settings.samples, self.settings.seed)
        # What only one of them serves cannot be compared.
        adapters = release.lora_adapters.keys() & active.lora_adapters.keys()
        bodies = [
            replayed(prompt, max_tokens=self.settings.max_tokens, seed=self.settings.seed, names=adapters)
            for prompt in prompts
        ]
        triples = ask_all(
            [partial(self._ask, body, color, release, active) for body in bodies],
            at_once=self.settings.concurrency,
            clock=self.clock,
        )
        return judge_shadow(triples, self.settings)

    def _ask(self, body: Mapping[str, Any], color: Color, release: Release, active: Release) -> Triple:
        def ask(to: Color, of: Release) -> Any:
            answer = self.route.ask(to, body, stream=True, timeout_seconds=self.settings.timeout_seconds)
            return answer.by(fingerprint(to, of.release_id))

        outgoing = other_color(color)
        return Triple(active=ask(outgoing, active), candidate=ask(color, release), again=ask(outgoing, active))
