"""The reader of selectors."""

from typing import Any

import pytest

from policies.label_selectors import is_empty, portion, selects

_LABELS = {"app": "llm", "color": "blue"}


def _where(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "llm"}}, True),
        ({"matchLabels": {"app": "llm", "color": "green"}}, False),
        ({"matchLabels": {"zone": "a"}}, False),
        (_where("color", "In", "green", "blue"), True),
        (_where("color", "In", "green"), False),
        (_where("color", "NotIn", "green"), True),
        (_where("color", "NotIn", "blue"), False),
        (_where("zone", "NotIn", "a"), True),
        (_where("app", "Exists"), True),
        (_where("zone", "Exists"), False),
        (_where("zone", "DoesNotExist"), True),
        (_where("app", "DoesNotExist"), False),
        (_where("app", "Gt", "1"), False),
        ({"matchLabels": {"app": "llm"}, **_where("zone", "Exists")}, False),
        ({"matchLabels": {"app": "web"}, **_where("app", "Exists")}, False),
    ],
)
def test_a_selector_selects_what_it_names(selector: Any, selected: bool) -> None:
    assert selects(selector, _LABELS) is selected


@pytest.mark.parametrize(
    ("selector", "empty"),
    [
        (None, True),
        ({}, True),
        ({"matchLabels": {}, "matchExpressions": []}, True),
        ({"matchLabels": {"app": "llm"}}, False),
        (_where("app", "Exists"), False),
    ],
)
def test_an_empty_selector_names_no_condition(selector: Any, empty: bool) -> None:
    assert is_empty(selector) is empty


@pytest.mark.parametrize(
    ("value", "up", "pods"),
    [
        (2, True, 2),
        (2.0, False, 2),
        ("2", False, 2),
        ("25%", True, 2),
        ("25%", False, 1),
        ("100%", False, 7),
        ("0%", True, 0),
        ("1.5%", True, None),
        ("some", True, None),
        (None, True, None),
    ],
)
def test_a_portion_is_rounded_as_kubernetes_does(value: Any, up: bool, pods: int | None) -> None:
    assert portion(value, 7, up=up) == pods
