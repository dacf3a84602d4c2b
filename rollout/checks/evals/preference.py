"""Decides by a judge's preferences between both colours' answers, and whether the judge may decide at all. Pure.

A judge sees each pair of answers in both orders. Only a choice that it makes in both counts: a judge that prefers
whatever comes first, or changes its mind, calls a tie. So without a difference between the colours, a win and a loss
are equally likely whatever the judge's habits, and the sign test on them is exact: it fails a candidate that is as good
with a chance of at most ``LEVEL``.

Whether the judge sees what people see is measured each time, on pairs with a person's choice: plain agreement, and the
lower bound of its exact confidence interval (Clopper and Pearson's). Cohen's kappa corrects for agreement by chance,
which is not needed here: as each pair is seen in both orders, a judge that guesses calls a tie half of the time and
agrees on a quarter, and one that always says the same never agrees. Kappa's intervals are only right for many labels;
this one is right for ten.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from components.config.sections.check_settings import JudgeSettings
from rollout.checks.evals.judgement import MAX_MISSING_PERCENT
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.exact_tests import LEVEL, lowest_share, paired_p_value

GATE: Final = "judge"
TRUST_LEVEL: Final = 0.05
"""The highest chance that a judge which agrees with people less often than the limit is found to agree enough."""

Choice = Literal["first", "second", "tie"]
"""What a judge says of two answers in the order in which it saw them."""
Preference = Literal["one", "other", "tie"]
"""What it says of them in both orders together."""

_CHOICES: Final[dict[str, Choice]] = {"a": "first", "b": "second", "tie": "tie"}
_CHOICE: Final = re.compile(r"\[\[\s*(a|b|tie)\s*\]\]", re.IGNORECASE)


def read_choice(text: str) -> Choice | None:
    """Return the choice that ends a judge's answer: ``[[A]]``, ``[[B]]`` or ``[[TIE]]``. None when there is none."""
    found = _CHOICE.findall(text)
    return _CHOICES[found[-1].lower()] if found else None


@dataclass(frozen=True, kw_only=True)
class JudgedPair:
    """A pair of answers, one and the other, as a judge saw it in both orders."""

    forward: Choice | None
    """Its choice when one came first. None when it made no choice."""
    swapped: Choice | None
    """Its choice when the other came first."""

    @property
    def preference(self) -> Preference | None:
        """What it prefers. None when it made no choice in one of the orders."""
        if self.forward is None or self.swapped is None:
            return None
        if (self.forward, self.swapped) == ("first", "second"):
            return "one"
        if (self.forward, self.swapped) == ("second", "first"):
            return "other"
        return "tie"

    @property
    def flipped(self) -> bool:
        """Whether the order decided: it chose the same place in both."""
        return self.forward == self.swapped and self.forward in ("first", "second")


ALIKE: Final = JudgedPair(forward="tie", swapped="tie")
"""Two answers with the same text, which no judge need see."""
WON: Final = JudgedPair(forward="first", swapped="second")
LOST: Final = JudgedPair(forward="second", swapped="first")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often the judge chose what a person chose."""

    agreed: int
    labels: int

    @property
    def percent(self) -> float:
        """The share that was measured."""
        return 100 * self.agreed / self.labels if self.labels else 0.0

    @property
    def at_least_percent(self) -> float:
        """The lower bound of the true share: it is lower with a chance of at most ``TRUST_LEVEL``."""
        return 100 * lowest_share(self.agreed, self.labels, TRUST_LEVEL)


def fewest_labels(minimum_agreement_percent: float) -> int:
    """Return how many labels can show this agreement, if the judge agrees with all of them."""
    labels = 1
    while Agreement(agreed=labels, labels=labels).at_least_percent < minimum_agreement_percent:
        labels += 1
    return labels


def judge_pairs(
    pairs: Sequence[JudgedPair], agreement: Agreement, settings: JudgeSettings, *, missing: int = 0
) -> GateVerdict:
    """Judge the candidate by the preferences. A judge that does not agree with people enough decides nothing.

    Args:
        pairs: the pairs; one is the candidate's answer. ``WON`` and ``LOST`` where only one colour answered.
        agreement: the judge's agreement with people.
        settings: the limits.
        missing: how many prompts the active colour did not answer.
    """
    preferences = [pair.preference for pair in pairs]
    won, lost, tied = (preferences.count(one) for one in ("one", "other", "tie"))
    unread = preferences.count(None)
    compared = won + lost + tied
    win_rate = 100 * (won + tied / 2) / compared if compared else 50.0
    p_value = paired_p_value(lost, won)
    decides = agreement.at_least_percent >= settings.minimum_agreement_percent
    evidence: dict[str, float | int | str | None] = {
        "judge_won": won,
        "judge_lost": lost,
        "judge_tied": tied,
        "judge_flipped": sum(pair.flipped for pair in pairs),
        "judge_unread": unread,
        "judge_missing": missing,
        "judge_win_rate_percent": round(win_rate, 2),
        "judge_p_value": round(p_value, 5),
        "judge_agreement_percent": round(agreement.percent, 2),
        "judge_agreement_at_least_percent": round(agreement.at_least_percent, 2),
        "judge_decides": "yes" if decides else "no",
    }
    figures = (
        f"the judge prefers the candidate in {won} of {compared} pairs and the active colour in {lost} "
        f"(win rate {win_rate:.1f} %, p = {p_value:.2g}); it agrees with people on {agreement.agreed} of "
        f"{agreement.labels} labels, at least {agreement.at_least_percent:.1f} %"
    )
    verdict = GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=figures, evidence=evidence, dry_run=not decides)
    if not compared or 100 * (unread + missing) > MAX_MISSING_PERCENT * len(pairs):
        reason = f"{figures}; {unread} pairs got no choice and {missing} prompts no answer of the active colour"
        return replace(verdict, verdict=Verdict.INCONCLUSIVE, reason=reason)
    if win_rate < settings.minimum_win_rate_percent and p_value < LEVEL:
        reason = f"{figures}: below {settings.minimum_win_rate_percent:g} %, chance is ruled out"
        return replace(verdict, verdict=Verdict.FAIL, reason=reason)
    return verdict


def with_judge(verdict: GateVerdict, judged: GateVerdict) -> GateVerdict:
    """Return the evaluation's verdict together with the judge's. A judge that decides nothing is only reported."""
    evidence = {**verdict.evidence, **judged.evidence}
    if judged.dry_run:
        limit = "too little agreement to decide, so this is only a report"
        reason = f"{verdict.reason}; {judged.reason}: {limit}"
        return replace(verdict, reason=reason, evidence=evidence)
    reason = f"{verdict.reason}; {judged.reason}"
    worst = verdict.verdict if judged.verdict is Verdict.PASS else judged.verdict
    return replace(verdict, verdict=worst, reason=reason, evidence=evidence)
