"""Read Kubernetes selectors and percentages: which pods a selector selects, and how many pods a percentage is."""

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any

from policies.resources import items, table, tables, whole


def selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Return whether a label selector selects pods with these labels. An empty selector selects every pod."""
    wanted = table(table(selector).get("matchLabels"))
    return all(labels.get(key) == wanted[key] for key in wanted) and all(
        _matches(expression, labels) for expression in tables(table(selector).get("matchExpressions"))
    )


def is_empty(selector: Any) -> bool:
    """Return whether a label selector has no condition."""
    return not table(table(selector).get("matchLabels")) and not items(table(selector).get("matchExpressions"))


def portion(value: Any, of: int, *, up: bool) -> int | None:
    """Return how many ``of`` pods a number or a percentage means, rounded as Kubernetes does; None for other values."""
    found = re.fullmatch(r"([0-9]+)%", value) if isinstance(value, str) else None
    if found is None:
        return whole(value)
    share = Fraction(int(found[1]) * of, 100)
    return ceil(share) if up else floor(share)


def _matches(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, operator, values = expression.get("key"), expression.get("operator"), items(expression.get("values"))
    match operator:
        case "In":
            return labels.get(str(key)) in values
        case "NotIn":
            return labels.get(str(key)) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
