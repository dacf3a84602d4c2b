"""Judges a candidate's evaluation, by pairs of answers to the same questions or by two scores. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.config.sections.check_settings import EvalSettings
from rollout.model.verdict import GateVerdict, Verdict
from rollout.statistics.exact_tests import LEVEL, fewest_sure_losses, paired_p_value

GATE = "eval"
# The comparison needs the active colour's answers: at most this share of them may be missing.
MAX_MISSING_PERCENT = 10


@dataclass(frozen=True, kw_only=True)
class Graded:
    """Whether each colour answered one question right. ``active`` is None when there is no answer to compare with."""

    question: str
    candidate: bool
    active: bool | None


@dataclass(frozen=True, kw_only=True)
class Score:
    """A command's measurement, in percent of the full score."""

    percent: float
    standard_error_points: float | None = None


def judge_suite(graded: Sequence[Graded], settings: EvalSettings) -> GateVerdict:
    """Judge the candidate's answers, by themselves and against the active colour's to the same questions."""
    if not graded:
        return GateVerdict(gate=GATE, verdict=Verdict.INCONCLUSIVE, reason="no question was answered")
    right = sum(one.candidate for one in graded)
    percent = 100 * right / len(graded)
    pairs = [one for one in graded if one.active is not None]
    worse = sum(bool(one.active) and not one.candidate for one in pairs)
    better = sum(one.candidate and not one.active for one in pairs)
    active_right = sum(bool(one.active) for one in pairs)
    p_value = paired_p_value(worse, better)
    evidence: dict[str, float | int | str | None] = {
        "questions": len(graded),
        "right": right,
        "score_percent": round(percent, 2),
        "minimum_score_percent": settings.minimum_score_percent,
        "compared": len(pairs),
        "active_right": active_right,
        "lost": worse,
        "won": better,
        "p_value": round(p_value, 5),
    }
    summary = f"{right} of {len(graded)} questions right ({percent:.1f} %)"
    lost = [one.question for one in pairs if one.active and not one.candidate]
    if settings.minimum_score_percent is not None and percent < settings.minimum_score_percent:
        reason = f"{summary}, but at least {settings.minimum_score_percent:g} % are required"
        return GateVerdict(gate=GATE, verdict=Verdict.FAIL, reason=reason, evidence=evidence)
    if settings.max_drop_points is None:
        return GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=summary, evidence=evidence)
    drop = 100 * (worse - better) / len(pairs) if pairs else 0.0
    evidence["drop_points"] = round(drop, 2)
    summary += f", the active colour {active_right} of {len(pairs)}"
    if drop > settings.max_drop_points and p_value < LEVEL:
        reason = (
            f"{summary}: {drop:.1f} points worse (limit {settings.max_drop_points:g}), {worse} lost and {better} won, "
            f"p = {p_value:.2g}; lost: {_some(lost)}"
        )
        return GateVerdict(gate=GATE, verdict=Verdict.FAIL, reason=reason, evidence=evidence)
    if (blind := _blind(len(graded), len(pairs), active_right)) is not None:
        # A score above the absolute minimum is evidence by itself.
        verdict = Verdict.INCONCLUSIVE if settings.minimum_score_percent is None else Verdict.PASS
        return GateVerdict(gate=GATE, verdict=verdict, reason=f"{summary}: {blind}", evidence=evidence)
    noticed = max(settings.max_drop_points, 100 * fewest_sure_losses() / len(pairs))
    evidence["noticed_from_points"] = round(noticed, 2)
    if drop > settings.max_drop_points:
        summary += f": {drop:.1f} points worse, which could be chance (p = {p_value:.2g}; lost: {_some(lost)})"
    reason = f"{summary}; with this many questions, a drop is noticed from {noticed:.1f} points on"
    return GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=reason, evidence=evidence)


def _blind(questions: int, pairs: int, active_right: int) -> str | None:
    """Return why a drop could not have been noticed. None when it could."""
    if 100 * (questions - pairs) > MAX_MISSING_PERCENT * questions:
        return f"it left {questions - pairs} unanswered, so there is too little to compare with"
    if active_right < fewest_sure_losses():
        return (
            f"with fewer than {fewest_sure_losses()} right answers a drop cannot be shown; use questions that the "
            "active colour can answer, or set rollout.gates.eval.minimum_score_percent"
        )
    return None


def judge_scores(candidate: Score, active: Score | None, settings: EvalSettings) -> GateVerdict:
    """Judge the score that a command measured, by itself and against the active colour's.

    Without standard errors, chance is not ruled out: every drop above the limit fails.
    """
    evidence: dict[str, float | int | str | None] = {
        "score_percent": round(candidate.percent, 3),
        "minimum_score_percent": settings.minimum_score_percent,
        "active_score_percent": None if active is None else round(active.percent, 3),
    }
    summary = f"score {candidate.percent:.2f} %"
    if settings.minimum_score_percent is not None and candidate.percent < settings.minimum_score_percent:
        reason = f"{summary}, but at least {settings.minimum_score_percent:g} % are required"
        return GateVerdict(gate=GATE, verdict=Verdict.FAIL, reason=reason, evidence=evidence)
    if settings.max_drop_points is None:
        return GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=summary, evidence=evidence)
    if active is None:
        reason = f"{summary}, but there is no data of the active colour to compare with"
        return GateVerdict(gate=GATE, verdict=Verdict.INCONCLUSIVE, reason=reason, evidence=evidence)
    drop = active.percent - candidate.percent
    summary += f", the active colour {active.percent:.2f} %"
    evidence["drop_points"] = round(drop, 3)
    if drop <= settings.max_drop_points:
        return GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=summary, evidence=evidence)
    summary += f": {drop:.2f} points worse (limit {settings.max_drop_points:g})"
    p_value = _p_value(drop, candidate.standard_error_points, active.standard_error_points)
    if p_value is None:
        return GateVerdict(gate=GATE, verdict=Verdict.FAIL, reason=summary, evidence=evidence)
    evidence["p_value"] = round(p_value, 5)
    if p_value < LEVEL:
        reason = f"{summary}, p = {p_value:.2g}"
        return GateVerdict(gate=GATE, verdict=Verdict.FAIL, reason=reason, evidence=evidence)
    reason = f"{summary}, which could be chance (p = {p_value:.2g}); evaluate on more samples to be sure"
    return GateVerdict(gate=GATE, verdict=Verdict.PASS, reason=reason, evidence=evidence)


def _p_value(drop: float, one: float | None, other: float | None) -> float | None:
    """Return the probability that chance alone makes such a drop (normal test). None without standard errors."""
    if one is None or other is None or one + other == 0:
        return None
    from scipy.special import ndtr  # slow to import, and needed only when there is a drop

    return float(ndtr(-drop / math.hypot(one, other)))


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
