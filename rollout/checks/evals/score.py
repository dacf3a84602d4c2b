"""Reads a command's score from the JSON that it writes. Pure."""

import json
import math
import re
from typing import Final

from pydantic import JsonValue

from components.config.sections.check_settings import EvalSettings
from rollout.checks.evals.judgement import Score

_POSITION: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)


class NoScoreError(ValueError):
    """The command left no score. The message says what was found instead."""


def read_score(text: str, settings: EvalSettings) -> Score:
    """Read a score from a JSON document.

    Raises:
        NoScoreError: the score is missing, not a number, or not between 0 and the full score.
    """
    try:
        document: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoScoreError(f"the score must be in JSON, but this is not JSON: {text[:200]!r}") from error
    percent = 100 * _number(document, settings.score_path) / settings.full_score
    if not -1e-6 <= percent <= 100 + 1e-6:
        raise NoScoreError(
            f"rollout.gates.eval.score_path {settings.score_path!r} gives {percent:g} % of full_score "
            f"{settings.full_score:g}; set full_score to the score of all right answers"
        )
    error_points = None
    if settings.standard_error_path is not None:
        error_points = 100 * _number(document, settings.standard_error_path) / settings.full_score
        if error_points < 0:
            raise NoScoreError(f"rollout.gates.eval.standard_error_path {settings.standard_error_path!r} is below 0")
    return Score(percent=percent, standard_error_points=error_points)


def last_line(output: str) -> str:
    """Return the last line that is not empty.

    Raises:
        NoScoreError: all lines are empty.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        raise NoScoreError("it printed nothing; its last line must be JSON with the score")
    return lines[-1]


def _number(document: JsonValue, path: str) -> float:
    value = _at(document, path, path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NoScoreError(f"{path!r} is {json.dumps(value)[:100]}, not a number")
    return value


def _at(value: JsonValue, rest: str, path: str) -> JsonValue:
    """Follow a dotted path. Names may contain dots themselves, so the longest matching name wins."""
    if not rest:
        return value
    if isinstance(value, dict):
        for name in sorted(value, key=len, reverse=True):
            if rest == name or rest.startswith(f"{name}."):
                return _at(value[name], rest[len(name) + 1 :], path)
        known = ", ".join(sorted(value)[:10])
        raise NoScoreError(f"{path!r} does not exist: there is no {rest!r} among {known or 'nothing'}")
    name, _, further = rest.partition(".")
    if isinstance(value, list) and _POSITION.fullmatch(name) and -len(value) <= int(name) < len(value):
        return _at(value[int(name)], further, path)
    raise NoScoreError(f"{path!r} does not exist: {rest!r} is not in {json.dumps(value)[:100]}")
