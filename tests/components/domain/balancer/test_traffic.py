"""The weighted rule's tags, and how they are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.balancer.traffic import ColorState
from tests.components.example import release, service_settings

RELEASES = st.text("0123456789abcdef", min_size=1, max_size=12)


@given(release_id=RELEASES, replicas=st.integers(0, 1000), starting=st.booleans())
def test_the_state_of_a_colour_is_read_as_it_was_written(release_id: str, replicas: int, starting: bool) -> None:
    state = ColorState(release_id=release_id, replicas=replicas, starting=starting)
    read = ColorState.parse(str(state))
    assert read == state
    assert read is not None
    assert read.starting == (starting and replicas > 0)


def test_a_colour_that_never_had_a_release_is_unused() -> None:
    assert str(ColorState()) == "unused"
    assert ColorState.parse("unused") == ColorState()


@pytest.mark.parametrize(
    "text", ["", "None", "parked", "abc", "abc x0", "abc x01", "abc x-1", "ABC x1", "abc x1 ", "abc parked starting"]
)
def test_any_other_text_says_nothing(text: str) -> None:
    assert ColorState.parse(text) is None


@pytest.mark.parametrize(("running", "text"), [(0, "x4"), (3, "x3"), (4, "x4 starting")])
def test_the_rule_says_that_the_last_replicas_of_a_rollback_are_still_starting(running: int, text: str) -> None:
    settings = service_settings(
        headroom_mode="surge",
        node_groups="shared",
        surge_replicas=1,
        blue={"replicas": 4, "release": release(), "running_replicas": running},
        green={"replicas": 4},
    )
    assert settings.traffic.tags()["vllm-blue-green/blue"].partition(" ")[2] == text


def test_the_rule_says_what_each_colour_is() -> None:
    blue, green = release(), release(model_revision="beef123")
    settings = service_settings(
        blue={"replicas": 4, "release": blue},
        green={"replicas": 2, "release": green, "parked": True},
    )
    tags = settings.traffic.tags()
    blue_id = settings.blue.release and settings.blue.release.release_id
    green_id = settings.green.release and settings.green.release.release_id
    assert tags["vllm-blue-green/blue"] == f"{blue_id} x4"
    assert tags["vllm-blue-green/green"] == f"{green_id} parked"
    assert service_settings().traffic.tags()["vllm-blue-green/green"] == "unused"


@pytest.mark.parametrize(
    ("announced", "serial", "said"),
    [
        ("", 7, ""),
        ("7 larger nodes", 7, "7"),
        ("6 larger nodes", 7, ""),
        ("8 larger nodes", 7, ""),
        ("0 first", 0, "0"),
    ],
)
def test_an_announcement_counts_at_its_serial_alone(announced: str, serial: int, said: str) -> None:
    tags = service_settings(announced=announced, rollout_serial=serial).traffic.tags()
    assert tags["vllm-blue-green/announced"] == said
