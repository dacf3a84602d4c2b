"""The shadow check: sends recent user requests to both colours again, and compares the answers."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import partial
from statistics import fmean, median
from typing import Any

from components.config.release.release import Release
from components.config.sections.check_settings import ShadowSettings
from components.domain.naming import Color, fingerprint, other_color
from rollout.checks.asking import ask_all
from rollout.checks.recorded_prompts import KEY, RequestLog, newest, replayed
from rollout.model.answers import Answer
from rollout.model.errors import RefusedError
from rollout.model.verdict import Evidence, GateVerdict, Verdict
from rollout.ports import Clock, Config, Route
from rollout.statistics.exact_tests import LEVEL, paired_p_value

GATE = "shadow"
# Two answers differ in structure if one is more than this many times as long as the other.
LENGTH_RATIO = 3.0
# Up to this many characters, a ratio of lengths says nothing.
SHORT_CHARACTERS = 40
# Structure, words, time to first token, time per token: the four tests share one false-alarm level.
TESTS = 4


@dataclass(frozen=True, kw_only=True)
class Triple:
    """The answers to one prompt: one of the candidate, and two of the active colour."""

    candidate: Answer
    active: Answer
    again: Answer


def differences(one: Answer, other: Answer) -> frozenset[str]:
    """Return the ways in which the structure of two answers differs."""
    if one.error or other.error:
        return frozenset() if one.error and other.error else frozenset({"no answer"})
    found: set[str] = set()
    if one.finish_reason != other.finish_reason:
        found.add("finish reason")
    if _is_json(one.text) != _is_json(other.text):
        found.add("JSON or not")
    if _tools(one) != _tools(other):
        found.add("tools called")
    short, long = sorted((len(one.text), len(other.text)))
    if long > SHORT_CHARACTERS and long > LENGTH_RATIO * short:
        found.add("length")
    return frozenset(found)


def similarity(one: Answer, other: Answer) -> float:
    """Return the similarity of two texts by their words: 1 for identical, 0 for nothing in common."""
    return SequenceMatcher(None, one.text.split(), other.text.split(), autojunk=False).ratio()


def judge_shadow(triples: Sequence[Triple], settings: ShadowSettings) -> GateVerdict:
    """Judge the candidate on the prompts that the active colour answered both times."""
    usable = [one for one in triples if not one.active.error and not one.again.error]
    answered = [one for one in usable if not one.candidate.error]
    evidence: dict[str, float | int | str | None] = {
        "prompts": len(triples),
        "compared": len(usable),
        "candidate_failed": len(usable) - len(answered),
    }
    if len(usable) < settings.minimum_samples:
        reason = (
            f"{len(usable)} of at least {settings.minimum_samples} prompts were answered by the active colour "
            f"({len(triples)} asked)"
        )
        return GateVerdict(gate=GATE, verdict=Verdict.INCONCLUSIVE, reason=reason, evidence=evidence)
    parts = [
        _judge_structure(usable, settings, evidence),
        _judge_words(answered, settings, evidence),
        _judge_time("time to first token", "ttft", lambda one: one.ttft_seconds, answered, settings, evidence),
        _judge_time("time per token", "inter_token", _pace, answered, settings, evidence),
    ]
    errors = [reason for bad, reason in parts if bad]
    reasons = "; ".join(errors or [reason for _, reason in parts])
    verdict = Verdict.FAIL if errors else Verdict.PASS
    return GateVerdict(gate=GATE, verdict=verdict, reason=f"{len(usable)} prompts: {reasons}", evidence=evidence)


def _judge_structure(
    usable: Sequence[Triple], settings: ShadowSettings, evidence: dict[str, float | int | str | None]
) -> tuple[bool, str]:
    differing = [differences(one.candidate, one.active) for one in usable]
    noisy = [differences(one.again, one.active) for one in usable]
    worse = sum(bool(seen) and not noise for seen, noise in zip(differing, noisy, strict=True))
    better = sum(bool(noise) and not seen for seen, noise in zip(differing, noisy, strict=True))
    points, noise_points = (100 * sum(map(bool, seen)) / len(usable) for seen in (differing, noisy))
    p_value = paired_p_value(worse, better)
    evidence |= {
        "different_percent": round(points, 2),
        "noise_percent": round(noise_points, 2),
        "structure_p_value": round(p_value, 5),
    }
    kinds = Counter(kind for seen in differing for kind in seen)
    which = f" ({', '.join(f'{kind} {count}' for kind, count in kinds.most_common())})" if kinds else ""
    reason = f"{points:.0f} % differ in structure{which}, the active colour's own {noise_points:.0f} %"
    bad = points - noise_points > settings.max_difference_points and p_value < LEVEL / TESTS
    return bad, reason + (f": more than {settings.max_difference_points:g} points (p = {p_value:.2g})" if bad else "")


def _judge_words(
    answered: Sequence[Triple], settings: ShadowSettings, evidence: dict[str, float | int | str | None]
) -> tuple[bool, str]:
    if not answered:
        return False, "no words to compare"
    seen = [similarity(one.candidate, one.active) for one in answered]
    noise = [similarity(one.again, one.active) for one in answered]
    evidence |= {"similarity": round(fmean(seen), 3), "noise_similarity": round(fmean(noise), 3)}
    reason = f"text similarity {fmean(seen):.2f}, the active colour's own {fmean(noise):.2f}"
    limit = settings.max_similarity_drop
    if limit is None or fmean(noise) - fmean(seen) <= limit:
        return False, reason
    p_value = _above_p_value([one - other for one, other in zip(noise, seen, strict=True)], limit)
    bad = p_value < LEVEL / TESTS
    return bad, reason + (f": more than {limit:g} less (p = {p_value:.2g})" if bad else "")


def _judge_time(
    name: str,
    key: str,
    time_of: Callable[[Answer], float | None],
    answered: Sequence[Triple],
    settings: ShadowSettings,
    evidence: dict[str, float | int | str | None],
) -> tuple[bool, str]:
    ratios: list[float] = []
    noise: list[float] = []
    for one in answered:
        candidate, active, again = (time_of(answer) for answer in (one.candidate, one.active, one.again))
        if candidate and active:
            ratios.append(math.log(candidate / active))
        if again and active:
            noise.append(math.log(again / active))
    if not ratios or not noise:
        return False, f"{name} not measured"
    ratio, noise_ratio = math.exp(median(ratios)), math.exp(median(noise))
    evidence |= {f"{key}_ratio": round(ratio, 3), f"{key}_noise_ratio": round(noise_ratio, 3)}
    reason = f"{name} {ratio:.2f} times the active colour's (its own second answer: {noise_ratio:.2f} times)"
    if ratio <= settings.latency_ratio_limit:
        return False, reason
    p_value = _above_p_value(ratios, math.log(settings.latency_ratio_limit))
    bad = p_value < LEVEL / TESTS
    limit = f" (limit {settings.latency_ratio_limit:g}, p = {p_value:.2g}"
    return bad, reason + (limit + ")" if bad else limit + ": could be chance)")


def _above_p_value(values: Sequence[float], limit: float) -> float:
    """Return the one-sided p-value of Wilcoxon's signed-rank test that the centre lies above a limit."""
    beyond = [value - limit for value in values]
    if not any(beyond):
        return 1.0
    from scipy.stats import wilcoxon  # slow to import, and needed only when a limit is passed

    tested: Any = wilcoxon(beyond, alternative="greater")
    return float(tested.pvalue)


def _pace(answer: Answer) -> float | None:
    return fmean(answer.inter_token_seconds) if answer.inter_token_seconds else None


def _is_json(text: str) -> bool:
    if not text.strip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _tools(answer: Answer) -> list[str]:
    """Return the names of the called tools. Their arguments do not count as structure."""
    return [call.partition(" ")[0] for call in answer.tool_calls]


def _too_few(log: RequestLog, settings: ShadowSettings) -> str:
    reason = f"{log.distinct} different prompts, minimum_samples asks for {settings.minimum_samples}"
    return f"{reason} ({len(log.requests)} requests; left out: {log.left_out or 'nothing'})"


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """Replays recorded prompts to both colours through their candidate routes."""

    route: Route
    config: Config
    clock: Clock
    settings: ShadowSettings
    recorded: Callable[[], RequestLog]

    def prepare(self) -> None:
        """Read the recorded prompts.

        Raises:
            RefusedError: the prompts cannot be read, or there are too few different ones for a verdict.
        """
        log = self.recorded()
        if log.distinct < self.settings.minimum_samples:
            reason = f"{KEY}: {_too_few(log, self.settings)}"
            raise RefusedError(f"{reason}; record more, or leave the check out with --skip shadow --because REASON")

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Judge the candidate against the active colour, which answers each prompt twice."""
        active = self.config.read().color(other_color(color)).release
        if active is None:
            reason = f"{other_color(color)} serves no release to compare with"
            return GateVerdict(gate=GATE, verdict=Verdict.INCONCLUSIVE, reason=reason)
        log = self.recorded()
        if log.distinct < self.settings.minimum_samples:
            # Its prompts may have been fewer than at preflight, e.g. when a rollout is resumed.
            evidence: Evidence = {"prompts": log.distinct}
            reason = _too_few(log, self.settings)
            return GateVerdict(gate=GATE, verdict=Verdict.INCONCLUSIVE, reason=reason, evidence=evidence)
        prompts = newest(log.requests, self.settings.samples, self.settings.seed)
        # Only adapters that both releases have can be compared.
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
        verdict = judge_shadow(triples, self.settings)
        return replace(verdict, reason=f"{verdict.reason}; left out: {log.left_out}") if log.left_out else verdict

    def _ask(self, body: Mapping[str, Any], color: Color, release: Release, active: Release) -> Triple:
        def ask(to: Color, of: Release) -> Any:
            answer = self.route.ask(to, body, stream=True, timeout_seconds=self.settings.timeout_seconds)
            return answer.by(fingerprint(to, of.release_id))

        outgoing = other_color(color)
        return Triple(active=ask(outgoing, active), candidate=ask(color, release), again=ask(outgoing, active))
