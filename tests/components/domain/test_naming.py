"""The names by which scripts and people find resources."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.settings import Settings
from components.domain.naming import (
    COLORS,
    Color,
    aws_tags,
    color_name,
    fingerprint,
    other_color,
    pod_labels,
    readiness_gate,
)
from tests.components.example import settings

services = st.from_regex(r"\A[a-z]([-a-z0-9]{0,16}[a-z0-9])?\Z")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@pytest.mark.parametrize("color", COLORS)
def test_the_other_of_the_other_colour_is_the_colour_itself(color: Color) -> None:
    assert other_color(color) != color
    assert other_color(other_color(color)) == color


@given(services, st.sampled_from(COLORS))
def test_every_service_that_the_settings_accept_has_names_that_aws_and_kubernetes_accept(
    service: str, color: Color
) -> None:
    accepted: Settings = settings(service_name=service)
    assert list(accepted.services) == [service]
    # Pulumi adds eight characters to the name of a target group.
    assert len(color_name(service, color)) + 8 <= 32
    assert all(LABEL_VALUE.fullmatch(value) for value in pod_labels(service, color).values())
    assert len(readiness_gate(service, color).rpartition("/")[2]) <= 63


def test_tags_name_a_colour_only_where_there_is_one() -> None:
    assert "vllm-blue-green/color" not in aws_tags("dev", "chat", "weighted-rule")
    assert aws_tags("dev", "chat", "target-group", "green")["vllm-blue-green/color"] == "green"


def test_a_fingerprint_tells_colour_and_release() -> None:
    assert fingerprint("green", "0123456789ab") == "green-0123456789ab"
