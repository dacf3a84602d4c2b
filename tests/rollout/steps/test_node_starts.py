"""A rollout that waits for nodes: it ends early, with the cause and the fix, when they cannot start."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain.naming import Color
from rollout.model.account import Launch, NodeGroupIssue, NodeGroupState
from rollout.model.errors import UpdateFailedError
from rollout.model.node_pools import NodePool
from rollout.steps.node_starts import MAX_PATIENCE_SECONDS, POOL_PATIENCE_SECONDS, NodeStarts, failure
from tests.rollout.fakes import World

NO_CAPACITY = (
    "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient "
    "g6e.2xlarge capacity in the Availability Zone you requested (us-east-1a)."
)
GROUP = NodeGroupState(name="chat-green-1", status="ACTIVE")
OLD = Launch(id="old", failed=True, message="of an earlier rollout")
FAILED = Launch(id="1", failed=True, message=NO_CAPACITY)
STARTED = Launch(id="2", failed=False)
ISSUE = NodeGroupIssue(code="NodeCreationFailure", message="Instances failed to join", resource_ids=("i-1",))
PASSING = NodeGroupIssue(code="ClusterUnreachable", message="the API server does not answer")


def with_launches(*launches: Launch) -> NodeGroupState:
    return replace(GROUP, launches=launches)


def watch(world: World) -> NodeStarts:
    world.node_groups["green"] = with_launches(OLD)
    return NodeStarts(world.ports(), "green")


def wait(world: World, starts: NodeStarts, seconds: float) -> None:
    until = world.clock.elapsed + seconds
    while world.clock.elapsed < until:
        starts.check()
        world.clock.sleep(2)


def test_nodes_that_fail_to_start_end_the_wait_with_cause_type_and_fix() -> None:
    world = World()
    starts = watch(world)
    wait(world, starts, 600)  # what was there before is of no interest
    world.node_groups["green"] = with_launches(FAILED, OLD)
    wait(world, starts, MAX_PATIENCE_SECONDS - 5)
    with pytest.raises(UpdateFailedError) as failed:
        wait(world, starts, 20)
    said = str(failed.value)
    assert said.startswith("the nodes of green do not start: node group chat-green-1 (g6e.2xlarge): Could not launch")
    assert NO_CAPACITY in said
    assert "EC2 has no g6e.2xlarge left there. Name subnets of other zones in node_subnet_ids" in said
    assert "green.reservation" in said


def test_where_nodes_start_quickly_the_wait_is_shorter() -> None:
    world = World(node_start_seconds=10)
    starts = watch(world)
    world.node_groups["green"] = with_launches(FAILED, OLD)
    wait(world, starts, 4)
    with pytest.raises(UpdateFailedError):
        wait(world, starts, 4)


def test_a_node_that_starts_in_another_zone_begins_the_wait_anew() -> None:
    world = World()
    starts = watch(world)
    for number in range(5):
        failed = Launch(id=f"failed {number}", failed=True, message=NO_CAPACITY)
        world.node_groups["green"] = with_launches(failed, OLD)
        wait(world, starts, MAX_PATIENCE_SECONDS - 15)
        world.node_groups["green"] = with_launches(STARTED, failed, OLD)
        wait(world, starts, 20)


def test_an_account_that_does_not_answer_ends_nothing() -> None:
    world = World()
    starts = watch(world)

    def down(color: Color | None) -> NodeGroupState | None:
        raise OSError(f"AWS does not answer for {color}")

    world.node_group = down
    wait(world, starts, 3 * MAX_PATIENCE_SECONDS)
    NodeStarts(world.ports(), "green").check()


def test_what_is_there_at_the_first_answer_does_not_count_when_nothing_could_be_read_before() -> None:
    world = World()
    read = world.node_group

    def nothing(color: Color | None) -> NodeGroupState | None:
        del color

    world.node_group = nothing
    starts = NodeStarts(world.ports(), "green")
    world.node_groups["green"] = with_launches(OLD)
    world.node_group = read
    wait(world, starts, 3 * MAX_PATIENCE_SECONDS)
    world.node_groups["green"] = with_launches(FAILED, OLD)
    with pytest.raises(UpdateFailedError):
        wait(world, starts, 2 * MAX_PATIENCE_SECONDS)


def test_a_shared_group_is_watched_for_both_colours() -> None:
    world = World(headroom_mode="always", node_groups="shared")
    starts = NodeStarts(world.ports(), "green")
    world.node_groups[None] = with_launches(FAILED)
    with pytest.raises(UpdateFailedError):
        wait(world, starts, 2 * MAX_PATIENCE_SECONDS)


POOL = {"existing_nodes": {"karpenter_node_pool": {"node_class": "gpu"}}}
NONE_LEFT = "NodeClaim chat-green-b2x4z event: with fleet error(s), InsufficientInstanceCapacity: We do not have enough"


def test_a_node_pool_for_which_there_is_no_capacity_ends_the_wait_soon() -> None:
    world = World(**POOL)
    world.pool_launches["chat-green"] = [OLD]
    starts = NodeStarts(world.ports(), "green")
    world.pool_launches["chat-blue"] = [FAILED]
    wait(world, starts, 600)  # the other colour's nodes are of no interest
    world.pool_launches["chat-green"] = [Launch(id="1", failed=True, message=NONE_LEFT), OLD]
    with pytest.raises(UpdateFailedError) as failed:
        wait(world, starts, POOL_PATIENCE_SECONDS + 10)
    said = str(failed.value)
    assert said.startswith(f"the nodes of green do not start: node pool chat-green (g6e.2xlarge): {NONE_LEFT}")
    assert "EC2 has no g6e.2xlarge left there. Let the node pool use more zones" in said


def test_a_node_that_another_node_pool_starts_meanwhile_ends_nothing() -> None:
    world = World(**POOL)
    starts = NodeStarts(world.ports(), "green")
    world.pool_launches["chat-green"] = [Launch(id="1", failed=True, message=NONE_LEFT)]
    wait(world, starts, POOL_PATIENCE_SECONDS - 5)
    world.pool_launches["chat-green"] = [STARTED, Launch(id="1", failed=True, message=NONE_LEFT)]
    wait(world, starts, 600)


def test_nodes_that_nobody_brings_are_not_watched() -> None:
    world = World(existing_nodes={"node_selector": {"team": "llm"}})
    world.node_groups[None] = with_launches(FAILED)
    starts = NodeStarts(world.ports(), "green")
    world.node_groups[None] = with_launches(Launch(id="9", failed=True, message=NO_CAPACITY))
    wait(world, starts, 600)


def test_node_pools_of_others_are_watched_if_they_may_bring_the_nodes() -> None:
    world = World(existing_nodes={"node_selector": {"team": "llm"}, "autoscaled": True})
    world.others_node_pools = [NodePool(name="llm", labels={"team": "llm"}), NodePool(name="web")]
    starts = NodeStarts(world.ports(), "green")
    world.pool_launches["web"] = [FAILED]
    wait(world, starts, 600)
    world.pool_launches["llm"] = [FAILED]
    with pytest.raises(UpdateFailedError, match="node pool llm "):
        wait(world, starts, POOL_PATIENCE_SECONDS + 10)


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ("VcpuLimitExceeded - You have requested more vCPU capacity", "Request a higher vCPU quota for g6e.2xlarge"),
        ("ReservationCapacityExceeded - the reservation is full", "Reserve more"),
        ("Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state", "AWSServiceRoleForAuto"),
        ("InsufficientFreeAddressesInSubnet", "Use larger node_subnet_ids"),
        ("something new", "Correct that, and run scripts.ramp again"),
        ("", "Correct that, and run scripts.ramp again"),
    ],
)
def test_each_cause_has_its_fix(message: str, fix: str) -> None:
    world = World()
    starts = watch(world)
    world.node_groups["green"] = with_launches(Launch(id="1", failed=True, message=message))
    with pytest.raises(UpdateFailedError, match=re.escape(fix)):
        wait(world, starts, 2 * MAX_PATIENCE_SECONDS)


def test_issues_count_when_they_are_new_and_do_not_pass_by_themselves() -> None:
    assert failure(replace(GROUP, issues=(ISSUE,)), GROUP) == "NodeCreationFailure: Instances failed to join"
    assert failure(replace(GROUP, issues=(ISSUE,)), replace(GROUP, issues=(ISSUE,))) is None
    assert failure(replace(GROUP, issues=(PASSING,)), GROUP) is None
    other = replace(ISSUE, resource_ids=("i-2",))
    assert failure(replace(GROUP, issues=(ISSUE, other)), replace(GROUP, issues=(ISSUE,))) is not None


@given(st.lists(st.booleans()), st.lists(st.booleans()))
def test_of_new_launches_the_newest_decides(new: list[bool], old: list[bool]) -> None:
    before = [Launch(id=f"old {number}", failed=failed, message="x") for number, failed in enumerate(old)]
    launches = [Launch(id=f"new {number}", failed=failed, message="x") for number, failed in enumerate(new)]
    found = failure(with_launches(*launches, *before), with_launches(*before))
    assert (found is not None) == (bool(new) and new[0])
