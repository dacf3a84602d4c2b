"""Which taints keep a service's pods away."""

import pytest

from components.domain.nodes.tolerations import GPU_TOLERATION, Toleration


@pytest.mark.parametrize(
    ("toleration", "tolerated", "barring"),
    [
        (
            GPU_TOLERATION,
            [("nvidia.com/gpu", "", "NoSchedule"), ("nvidia.com/gpu", "present", "NoSchedule")],
            [("nvidia.com/gpu", "", "NoExecute"), ("team", "", "NoSchedule")],
        ),
        (
            Toleration(key="team", value="llm"),
            [("team", "llm", "NoSchedule"), ("team", "llm", "NoExecute")],
            [("team", "web", "NoSchedule"), ("team", "", "NoSchedule"), ("teams", "llm", "NoSchedule")],
        ),
        (Toleration(key="team"), [("team", "web", "NoExecute"), ("team", "", "NoSchedule")], [("x", "", "NoSchedule")]),
    ],
)
def test_a_taint_is_tolerated_by_its_key_and_by_value_and_effect_if_they_are_named(
    toleration: Toleration, tolerated: list[tuple[str, str, str]], barring: list[tuple[str, str, str]]
) -> None:
    assert [one for one in [*tolerated, *barring] if toleration.tolerates(*one)] == tolerated
