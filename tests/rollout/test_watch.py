"""The watch after a promotion, on fakes: look after look, until the way back is no longer warm."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from rollout.commands import roll_back
from rollout.journal.store import FileStore
from rollout.model.errors import NotWarmError, RefusedError, RolloutError
from rollout.model.look import WatchState
from rollout.model.machine import Phase
from rollout.model.notification import Notification, Origin
from rollout.model.records import VerdictGiven
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Ports
from rollout.session import Session
from rollout.watch import Seen, look
from tests.rollout.fakes import JOINED, World
from tests.rollout.test_commands import HOUR, FakeSession, promoted_world

ORIGIN = Origin(stack="prod", service="chat", options="--stack prod")


class Watching(FakeSession):
    """A session that can look, with a store of its own. It keeps the notifications."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world)
        self.store = FileStore(folder)
        self.sent: list[Notification] = []
        self.folder = folder

    def look(self) -> Ports:
        return self.world.ports()

    def notify(self, find: Callable[[Origin], Iterable[Notification]]) -> None:
        self.sent += find(ORIGIN)


def watching(tmp_path: Path, world: World | None = None) -> Watching:
    return Watching(promoted_world() if world is None else world, tmp_path)


def ten_minutes(world: World) -> None:
    for _ in range(20):
        world.clock.sleep(30)


def seen(session: Watching) -> Seen:
    """Look once, as a job of its own would: with nothing but the store from before."""
    return look(cast(Session, session))


def failed_gates(found: Seen) -> list[str]:
    return [one.gate for one in found.verdicts if one.verdict is Verdict.FAIL]


def test_a_release_that_is_well_passes_every_look_until_its_way_back_ends(tmp_path: Path) -> None:
    session = watching(tmp_path)
    for number in range(1, 6):
        ten_minutes(session.world)
        found = seen(session)
        assert (found.failure, found.at_risk, found.unread, found.looks) == (None, (), (), number)
        assert {one.verdict for one in found.verdicts} == {Verdict.PASS}
    session.world.clock.sleep(HOUR)
    with pytest.raises(NotWarmError, match="blue is not kept warm"):
        seen(session)
    assert session.sent == []


def test_what_the_load_balancer_failed_before_the_rollout_too_is_no_reason_against_the_release(tmp_path: Path) -> None:
    world = World()
    world.reset_rate.update({"blue": 0.03, "green": 0.03})  # above the limit
    session = watching(tmp_path, promoted_world(world))
    for _ in range(3):
        ten_minutes(world)
        assert seen(session).failure is None
    _reset(world)
    ten_minutes(world)
    assert failed_gates(seen(session)) == ["target_group_errors"]


def test_on_a_joined_listener_the_load_balancers_own_errors_may_be_those_of_others(tmp_path: Path) -> None:
    session = watching(tmp_path, promoted_world(World(**JOINED)))
    _reset(session.world)
    ten_minutes(session.world)
    assert seen(session).failure is None


def test_each_look_begins_where_the_one_before_ended(tmp_path: Path) -> None:
    session = watching(tmp_path)
    for _ in range(3):
        ten_minutes(session.world)
        seen(session)
    (kept,) = (tmp_path / "watch" / "chat").iterdir()
    looks = WatchState.model_validate_json(kept.read_bytes()).looks
    for source in ("pods", "load_balancer"):
        own = [one for one in looks if one.source == source]
        assert len(own) == 3
        assert all(earlier.end == later.start for earlier, later in pairwise(own))


def _fail(world: World) -> None:
    world.error_rate["green"] = 0.1


def _refuse(world: World) -> None:
    world.refused_rate["green"] = 0.1


def _reset(world: World) -> None:
    world.reset_rate["green"] = 0.1


def _begin_late(world: World) -> None:
    world.ttft_bucket["green"] = "+Inf"


def _answer_late(world: World) -> None:
    world.response_p95_seconds["green"] = 600.0


def _lose_every_target(world: World) -> None:
    world.healthy["green"] = 0


@pytest.mark.parametrize(
    ("spoil", "gates"),
    [
        (_fail, {"error_rate", "target_group_errors"}),
        (_refuse, {"target_group_errors"}),
        (_reset, {"target_group_errors"}),
        (_begin_late, {"ttft_p95"}),
        (_answer_late, {"target_group_latency"}),
        (_lose_every_target, {"targets"}),
    ],
)
def test_what_begins_hours_after_the_promotion_is_found_and_rolled_back(
    spoil: Callable[[World], None], gates: set[str], tmp_path: Path
) -> None:
    session = watching(tmp_path)
    for _ in range(3):
        ten_minutes(session.world)
        assert seen(session).failure is None
    spoil(session.world)
    ten_minutes(session.world)
    found = seen(session)
    assert set(failed_gates(found)) == gates
    assert found.failure is not None
    # The rollback sends its own notification.
    assert session.sent == []
    rollout = roll_back(cast(Session, session), found.failure)
    assert rollout.phase is Phase.ROLLED_BACK
    assert session.world.weights == {"blue": 100, "green": 0}


def test_a_model_that_turns_bad_after_the_promotion_is_found_by_its_name(tmp_path: Path) -> None:
    session = watching(tmp_path)
    session.world.config.edit({"rollout.gates.error_rate.by": "model_name"})
    session.world.models = {"base": 0.99, "lora": 0.01}
    for _ in range(3):
        ten_minutes(session.world)
        found = seen(session)
        assert found.failure is None
        assert [one.value for one in named(found, "error_rate").slices] == ["base", "lora"]
    session.world.model_error_rate["green", "lora"] = 0.3
    ten_minutes(session.world)
    found = seen(session)
    assert failed_gates(found) == ["error_rate"]
    assert 'model_name "lora"' in (found.failure or "")
    assert any(line.strip().startswith('model_name "base": pass') for line in found.lines())


def named(found: Seen, gate: str) -> GateVerdict:
    return next(one for one in found.verdicts if one.gate == gate)


def test_the_failure_says_since_when(tmp_path: Path) -> None:
    session = watching(tmp_path)
    for _ in range(3):
        ten_minutes(session.world)
        seen(session)
    begun = session.world.clock.now()
    session.world.error_rate["green"] = 0.05
    ten_minutes(session.world)
    (error,) = [one for one in seen(session).verdicts if one.gate == "error_rate"]
    assert error.verdict is Verdict.FAIL
    assert f"failed (5.00 %, limit 1 %) since {begun:%Y-%m-%dT%H:%M:%SZ}" in error.reason


def test_an_alarm_is_sent_once_until_the_failure_is_gone(tmp_path: Path) -> None:
    session = watching(tmp_path)
    session.world.config.values["rollout"]["watch"] = {"on_failure": "alarm"}
    session.world.healthy["green"] = 0
    for _ in range(2):
        ten_minutes(session.world)
        seen(session)
    assert [one.event for one in session.sent] == ["watch_failed"]
    assert "scripts.rollback --stack prod" in session.sent[0].text
    session.world.healthy["green"] = None
    ten_minutes(session.world)
    assert seen(session).failure is None
    session.world.healthy["green"] = 0
    ten_minutes(session.world)
    seen(session)
    assert [one.event for one in session.sent] == ["watch_failed"] * 2


def test_a_way_back_that_is_not_whole_is_told_while_there_is_time(tmp_path: Path) -> None:
    session = watching(tmp_path)
    world = session.world
    world.healthy["blue"] = 1
    every = world.nodes

    def closing() -> Any:
        return [replace(node, cordoned=True) if node.name == "blue-0" else node for node in every()]

    world.nodes = closing  # pyright: ignore[reportAttributeAccessIssue]
    ten_minutes(world)
    found = seen(session)
    assert found.at_risk == ("blue: 1 of 2 targets are healthy", "blue: its node blue-0 is cordoned")
    assert found.failure is None
    (sent,) = session.sent
    assert (sent.event, sent.details["color"]) == ("way_back_at_risk", "blue")
    ten_minutes(world)
    seen(session)
    assert len(session.sent) == 1


def test_a_way_back_that_nobody_can_see_is_not_called_ready_and_a_known_risk_is_not_told_twice(tmp_path: Path) -> None:
    session = watching(tmp_path)
    world = session.world
    nodes = world.nodes

    def down() -> Any:
        raise RolloutError("Kubernetes does not answer")

    world.healthy["blue"] = 1
    ten_minutes(world)
    assert seen(session).at_risk
    world.healthy["blue"] = 2
    world.nodes = down  # pyright: ignore[reportAttributeAccessIssue]
    ten_minutes(world)
    blind = seen(session)
    assert (blind.at_risk, blind.unread) == ((), ("Kubernetes: Kubernetes does not answer",))
    assert "the way back: blue may not be ready to take all requests back" in blind.lines()
    world.nodes = nodes  # pyright: ignore[reportAttributeAccessIssue]
    world.healthy["blue"] = 1
    ten_minutes(world)
    assert seen(session).at_risk
    assert [one.event for one in session.sent] == ["way_back_at_risk"]


def test_time_without_an_answer_is_covered_by_the_next_look(tmp_path: Path) -> None:
    session = watching(tmp_path)
    world = session.world
    world.error_rate["green"] = 0.1
    world.metrics_down = True
    ten_minutes(world)
    found = seen(session)
    assert found.unread == ("Prometheus: Prometheus does not answer",)
    (error,) = [one for one in found.verdicts if one.gate == "error_rate"]
    assert (error.verdict, error.reason) == (Verdict.INCONCLUSIVE, "no data since the promotion")
    world.metrics_down = False
    assert "error_rate" in failed_gates(seen(session))


def test_a_second_watch_at_the_same_time_changes_nothing(tmp_path: Path) -> None:
    session = watching(tmp_path)
    session.world.healthy["blue"] = 0
    ten_minutes(session.world)
    create = session.store.create

    def both(key: str, content: bytes) -> str:
        create(key, content)
        return create(key, content)

    session.store.create = both
    assert seen(session).at_risk
    assert session.sent == []  # the other one has sent it


def test_failures_that_the_rollout_showed_to_be_none_raise_the_limit(tmp_path: Path) -> None:
    world = promoted_world()
    world.miscounted_rate["green"] = 0.05
    session = watching(tmp_path, world)
    ten_minutes(world)
    assert failed_gates(seen(session)) == ["error_rate"]
    evidence = {"requests": 1000, "refuted": 50}
    world.journal.write(
        VerdictGiven(gate="error_rate", verdict=Verdict.PASS, reason="", evidence=evidence, dry_run=False)
    )
    assert failed_gates(seen(session)) == []


def test_without_a_promotion_there_is_nothing_to_watch(tmp_path: Path) -> None:
    with pytest.raises(NotWarmError, match="green is not kept warm"):
        seen(watching(tmp_path, World()))


def test_a_look_that_is_not_ours_is_refused_by_name(tmp_path: Path) -> None:
    session = watching(tmp_path)
    ten_minutes(session.world)
    seen(session)
    (kept,) = (tmp_path / "watch" / "chat").iterdir()
    kept.write_text("{}x")
    with pytest.raises(RefusedError, match=r"watch/chat/r1\.json in the store .* Delete it"):
        seen(session)


def test_with_a_colour_that_has_traffic_there_is_no_look(tmp_path: Path) -> None:
    session = watching(tmp_path)
    session.world.set_green_weight(99)
    with pytest.raises(RefusedError, match="green_weight"):
        seen(session)
