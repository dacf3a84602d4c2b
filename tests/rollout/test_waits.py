"""Everything that a rollout waits for has a name, and a limit where there is one."""

from collections.abc import Callable
from typing import Any

import pytest

from rollout.controller import Controller, Subject
from rollout.model.machine import Phase, ReapRequested, Rollout, advance
from rollout.model.plan import make_plan
from rollout.system import waits
from rollout.system.waits import Wait
from tests.rollout.fakes import SERVICE, World
from tests.rollout.report.test_read import ramp


@pytest.fixture(scope="module")
def begun() -> tuple[World, list[Wait]]:
    """All waits of a promotion and of the reap after it, as they begin."""
    found: list[Wait] = []
    begin: Callable[..., Wait] = waits.begin

    def collected(*arguments: Any, **options: Any) -> Wait:
        found.append(begin(*arguments, **options))
        return found[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waits, "begin", collected)
        world = World()
        ramp(world)
        world.clock.elapsed += 3600 * 25
        plan = make_plan("green", world.config.read().rollout)
        state = advance(Rollout(plan=plan, phase=Phase.DONE), ReapRequested())
        Controller(world.ports(), Subject(service=SERVICE)).run(state)
    return world, found


def test_a_promotion_waits_for_readiness_checks_counts_and_verdicts(begun: tuple[World, list[Wait]]) -> None:
    settings = begun[0].config.read()
    found = {one.what: one.at_most_seconds for one in reversed(begun[1])}
    assert found["preflight: everything that the rollout needs"] is None
    ready = settings.cold_start_seconds + settings.rollout.ready_timeout_seconds
    assert found[f"{settings.green.replicas} replicas of green to be ready"] == ready
    assert {"the check smoke", "the check eval"} <= found.keys()
    for step in settings.rollout.steps:
        attested = f"the load balancer's counts to agree with green_weight {step.candidate_percent}"
        assert found[attested] == settings.rollout.attestation.timeout_seconds
        longest = step.hold_seconds + settings.rollout.gates.max_hold_extension_seconds
        assert found[f"the gates' verdict at {step.candidate_percent} %"] == longest
    assert "the gates' verdict in the soak" in found
    assert waits.current() is None


def test_a_hold_is_one_wait_although_the_gates_look_many_times(begun: tuple[World, list[Wait]]) -> None:
    looks = [one for one in begun[1] if one.what == "the gates' verdict at 25 %"]
    assert len(looks) > 3
    hold = next(step for step in begun[0].config.read().rollout.steps if step.candidate_percent == 25)
    assert looks[-1].seconds() - looks[0].seconds() > hold.hold_seconds / 2


def test_a_reap_waits_for_the_last_requests_and_pods(begun: tuple[World, list[Wait]]) -> None:
    settings = begun[0].config.read()
    found = {one.what: one.at_most_seconds for one in begun[1]}
    gone = settings.drain_chain.grace_period_seconds + settings.rollout.ready_timeout_seconds
    assert found["the pods of blue to finish their requests and go"] == gone
    assert "the last requests on blue" in found
