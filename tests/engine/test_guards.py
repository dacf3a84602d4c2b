"""The whole program on the CLI, with fake clouds that accept anything: a guard's refusal stops the update.

The clouds are files, so this does not test AWS or Kubernetes; it tests hooks, their order and their messages.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from components.config.release.release import Release
from tests.components.example import release
from tests.engine.conftest import World
from tests.engine.program import GUARDED, PROGRAM, Stack

pytestmark = [pytest.mark.binaries, pytest.mark.timeout(900)]

NOT_SOON = "2099-01-01T00:00:00Z"
A, B = release(), release(model_revision="beef123")
SERIAL = 7
LIVE: dict[str, Any] = {
    "rollout_serial": SERIAL,
    "green_weight": 25,
    "node_volume_gib": 200,
    "blue": {"replicas": 3, "release": A},
    "green": {"replicas": 3, "release": B},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two releases and a quarter of the requests on green. Tests must not change it."""
    stack = Stack(World(tmp_path_factory.mktemp("guards") / "world"), LIVE)
    with stack.world.warmed(PROGRAM):
        stack.up()
        yield stack


PARKED = {"replicas": 3, "release": B, "parked": True}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a stale config that changes the pods too": (
        {"rollout_serial": 5, "green_weight": 0, "green": PARKED, "blue": {"replicas": 1, "release": B}},
        r"llm: rollout_serial 5 of the config is behind the deployed 7: the config is stale .* write the deployed "
        r'values into it: rollout_serial 7, green_weight 25, active_color blue, keep_until ""\.',
    ),
    "a leap": (
        {"green_weight": 90},
        "the weight of green, the idle colour, may not go from 25 to 90 in one update: 65 points, and max_step_points "
        "is 50",
    ),
    "a promotion by hand": ({"active_color": "green"}, "active_color may not go from blue to green while"),
    "a release under weight": (
        {"blue": {"replicas": 3, "release": B}},
        f"llm-blue: release may not go from {Release(**A).release_id} to {Release(**B).release_id} in place: 75 % of",
    ),
    "fewer replicas under weight": (
        {"green": {"replicas": 2, "release": B}},
        "llm-green nodes: may not go from 3 to 2, 3 is the least: 25 % of requests go to green",
    ),
    "parked while its weight leaves": (
        {"green_weight": 0, "green": PARKED},
        "llm-green: replicas may not go from 3 to 0, 3 is the least: 25 % of requests go to green",
    ),
    "fewer nodes under weight": (
        {"instance_type": "g6e.12xlarge", "protect": False},
        "llm-(blue|green) nodes: may not go from 3 to 1",
    ),
    "nodes exchanged under weight": (
        {"node_volume_gib": 300},
        r"llm-(blue|green) nodes: may not be replaced in place \(blockDeviceMappings .* 200 .* 300",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_preview_gives_the_reason_and_changes_nothing(stack: Stack, case: str) -> None:
    changes, message = REFUSED[case]
    before = stack.recorded()
    stack.configure(**changes)
    assert re.search(message, stack.refused("preview"))
    assert stack.world.calls() == []
    assert stack.recorded() == before


@pytest.mark.parametrize("case", ["a stale config that changes the pods too", "a leap", "nodes exchanged under weight"])
def test_a_refused_update_leaves_rule_pods_and_nodes_alone(stack: Stack, case: str) -> None:
    changes, message = REFUSED[case]
    before = stack.recorded()
    stack.configure(**changes)
    with stack.world.put_back():
        assert re.search(message, stack.refused("up", "--yes", "--skip-preview"))
        assert stack.recorded() == before


def test_a_stale_config_is_refused_where_the_rule_is_not_among_the_targets(stack: Stack) -> None:
    deployment = stack.urn("Deployment", "llm-green")
    stack.configure(rollout_serial=5, green_weight=0, green=PARKED)
    assert "rollout_serial 5 of the config is behind the deployed 7" in stack.refused("preview", "--target", deployment)
    stack.configure(green_weight=0, green=PARKED)
    assert "replicas may not go from 3 to 0" in stack.refused("preview", "--target", deployment)


ALLOWED: dict[str, dict[str, Any]] = {
    "a step, more replicas and slower starts": {
        "green_weight": 75,
        "green": {"replicas": 4, "release": B},
        "cold_start_seconds": 900,
    },
    "a rollback by hand": {"green_weight": 0},
    "a promotion by a script": {
        "green_weight": 100,
        "rollout_serial": SERIAL + 1,
        "active_color": "green",
        "keep_until": NOT_SOON,
    },
    "an announced leap, and another release": {
        "green_weight": 100,
        "blue": {"replicas": 2, "release": B},
        "announced": f"{SERIAL} all at once: the first one never started",
    },
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed_changes_pass(stack: Stack, case: str) -> None:
    stack.configure(**ALLOWED[case])
    assert "to update" in stack.preview()


@pytest.fixture
def put_back(stack: Stack) -> Iterator[None]:
    """Restores the stack's state after the test."""
    with stack.world.put_back():
        yield


@pytest.mark.usefixtures("put_back")
def test_the_keep_warm_window_lasts_until_a_script_or_an_announcement_ends_it(stack: Stack) -> None:
    promoted: dict[str, Any] = {
        "active_color": "green",
        "green_weight": 100,
        "rollout_serial": SERIAL + 1,
        "keep_until": NOT_SOON,
    }
    parked = {"blue": {"replicas": 3, "release": A, "parked": True}}
    stack.configure(**promoted)
    stack.up()
    stack.configure(**promoted, **parked)
    assert f"llm-blue: replicas may not go from 3 to 0, 3 is the least: blue is kept warm until {NOT_SOON}" in (
        stack.refused("preview")
    )
    stack.configure(**{**promoted, "keep_until": ""}, **parked)
    assert "keep_until may not go from" in stack.refused("preview")
    stack.configure(**{**promoted, "keep_until": "", "announced": f"{SERIAL + 1} the nodes are needed"}, **parked)
    assert (
        "2 to update" in stack.preview()
    )  # The rule and the pods: the nodes stay as they are until they are released.
    stack.configure(**{**promoted, "keep_until": "", "rollout_serial": SERIAL + 2}, **parked)
    assert (
        "2 to update" in stack.preview()
    )  # The rule and the pods: the nodes stay as they are until they are released.
    # A rollback by hand must always be possible.
    stack.configure(**{**promoted, "active_color": "blue", "green_weight": 0})
    assert "1 to update" in stack.preview()


def test_protection_replaces_guards_where_resources_would_be_replaced_or_deleted(stack: Stack) -> None:
    assert {one["type"].rpartition(":")[2] for one in stack.resources() if one.get("protect")} >= GUARDED - {
        "LaunchTemplate"
    }
    assert "protected" in stack.refused("destroy", "--yes", "--skip-preview")


@pytest.mark.usefixtures("put_back")
def test_a_teardown_needs_only_the_end_of_protection(stack: Stack) -> None:
    stack.configure(protect=False)
    stack.up()
    stack.world.pulumi("destroy", "--yes", "--skip-preview")
    assert stack.recorded() == {}
