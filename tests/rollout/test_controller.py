"""Whole rollouts through the controller, in a world of fakes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import JsonValue

from components.domain.moments import format_or_empty
from components.domain.naming import Color
from rollout.controller import Controller, Subject
from rollout.model.changes import Change
from rollout.model.errors import JournalError, UnavailableError
from rollout.model.machine import Phase, ReapRequested, Rollout, advance
from rollout.model.nodes import Pod
from rollout.model.plan import make_plan
from rollout.model.records import Body, Kind, Note
from rollout.model.rule import LiveRule
from rollout.model.verdict import Verdict
from tests.rollout.fakes import BASE, JOINED, NEW, OLD, PERIOD_SECONDS, RULE_URN, SERVICE, World

FOREIGN = Change(op="update", urn="urn::x::chat-blue", type="kubernetes:apps/v1:Deployment", new={"metadata": {}})


def ramp(world: World) -> Rollout:
    settings = world.config.read()
    plan = make_plan(settings.idle_color, settings.rollout)
    return Controller(world.ports(), Subject(service=SERVICE, release=NEW)).run(Rollout(plan=plan))


def undo(world: World) -> Rollout:
    plan = make_plan("green", world.config.read().rollout)
    state = Rollout(plan=plan, phase=Phase.ROLLING_BACK, reason="asked")
    return Controller(world.ports(), Subject(service=SERVICE)).run(state)


def assert_all_agree(world: World, *, green_weight: int, active_color: str) -> None:
    settings = world.config.read()
    assert world.weights["green"] == settings.green_weight == world.state.green_weight == green_weight
    assert settings.active_color == world.state.active_color == active_color
    assert settings.rollout_serial == world.state.rollout_serial


def test_client_errors_that_both_colours_pods_count_as_5xx_fail_no_release() -> None:
    world = World()
    world.miscounted_rate = {"blue": 0.03, "green": 0.03}
    assert ramp(world).phase is Phase.DONE
    said = [one["reason"] for one in world.journal.of("verdict") if one["gate"] == "error_rate"]
    assert any("the sources contradict each other" in reason for reason in said)


def test_client_errors_counted_as_5xx_do_not_hide_a_candidate_that_fails() -> None:
    world = World()
    world.miscounted_rate = {"blue": 0.03, "green": 0.03}
    world.error_rate["green"] = 0.1
    assert ramp(world).phase is Phase.ROLLED_BACK


def test_client_errors_that_only_the_candidates_pods_count_as_5xx_fail_it() -> None:
    world = World()
    world.miscounted_rate["green"] = 0.1
    assert ramp(world).phase is Phase.ROLLED_BACK


BY_MODEL: dict[str, Any] = {"error_rate": {"by": "model_name"}, "ttft_p95": {"by": "model_name"}}


def by_model() -> World:
    world = World(rollout={**BASE["rollout"], "gates": {**BASE["rollout"].get("gates", {}), **BY_MODEL}})
    world.models = {"base": 0.9, "lora": 0.1}
    return world


def test_a_release_that_is_bad_for_one_model_is_rolled_back_by_its_name() -> None:
    world = by_model()
    world.model_error_rate["green", "lora"] = 0.3
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert 'model_name "lora"' in rollout.reason
    last = [one for one in world.journal.of("verdict") if one["gate"] == "error_rate"][-1]
    assert [(one["value"], one["verdict"]) for one in last["slices"]] == [("base", "pass"), ("lora", "fail")]


def test_a_release_that_is_well_for_every_model_is_promoted() -> None:
    world = by_model()
    assert ramp(world).phase is Phase.DONE
    last = [one for one in world.journal.of("verdict") if one["gate"] == "ttft_p95"][-1]
    assert [(one["value"], one["verdict"]) for one in last["slices"]] == [("base", "pass"), ("lora", "pass")]


def test_a_label_that_no_metric_has_is_refused_by_name() -> None:
    world = by_model()
    world.models = {}
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    for gate in BY_MODEL:
        assert f"rollout.gates.{gate}.by: no metric that this gate judges has the label model_name" in rollout.reason


def costs_of(world: World) -> list[dict[str, Any]]:
    return [one for one in world.journal.of("verdict") if one["gate"] == "cost"]


def test_every_step_has_the_costs_of_both_colours() -> None:
    world = World()
    assert ramp(world).phase is Phase.DONE
    shown = [one for one in costs_of(world) if one["evidence"].get("usd_per_million_tokens")]
    assert {one["dry_run"] for one in shown} == {True}
    assert {one["verdict"] for one in shown[1:]} >= {"pass"}
    for one in shown:
        evidence = one["evidence"]
        assert evidence["usd_per_million_tokens"] == pytest.approx(evidence["active_usd_per_million_tokens"])
        assert evidence["usd_per_hour_at_full_size"] == pytest.approx(2 * 2.24208)
    # At 1 % of the requests, the same pool is as served nearly a hundred times as dear.
    first = shown[0]["evidence"]
    served, active = (first[f"{whose}usd_per_million_tokens_as_served"] for whose in ("", "active_"))
    assert 50 < served / active < 100


def at_most(percent: float, **overrides: Any) -> World:
    gates = {**BASE["rollout"]["gates"], "cost": {"max_cost_increase_percent": percent}}
    return World(rollout={**BASE["rollout"], "gates": gates}, **overrides)


def test_a_release_with_more_replicas_for_the_same_tokens_is_rolled_back() -> None:
    world = at_most(20, green={"replicas": 4})
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "cost: " in rollout.reason
    assert "+100.0 %" in rollout.reason


def test_a_release_that_costs_the_same_is_promoted_whatever_its_share_of_the_requests() -> None:
    world = at_most(60)
    assert ramp(world).phase is Phase.DONE
    assert {one["dry_run"] for one in costs_of(world)} == {False}
    # At the last step the outgoing colour has no requests: its tokens are those of the hour before.
    assert costs_of(world)[-1]["verdict"] == "pass"


def test_costs_without_a_price_are_refused_before_anything_changes() -> None:
    world = at_most(20, instance_type="p5e.48xlarge")
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "rollout.gates.cost.max_cost_increase_percent: the price of p5e.48xlarge is unknown" in rollout.reason
    assert "Set node_usd_per_hour" in rollout.reason


def test_a_good_release_is_promoted_step_by_step() -> None:
    world = World()
    assert ramp(world).phase is Phase.DONE
    assert world.shifts_of_traffic == [0, 1, 25, 100]
    assert_all_agree(world, green_weight=100, active_color="green")
    assert world.direct == []
    settings = world.config.read()
    assert settings.color("blue").serves
    assert settings.color("green").release == NEW
    until = world.journal.of("promoted")[0]["keep_until"]
    assert until == format_or_empty(settings.keep_until)
    assert until.endswith("Z")
    held = [record["status"] for record in world.journal.of("weight")]
    assert held == ["begun", "done"] * 3
    assert world.journal.of("finished")[0]["outcome"] == "promoted"


def test_the_price_of_every_headroom_mode_is_noted_before_anything_else_happens() -> None:
    world = World()
    ramp(world)
    kinds = [record.body.kind for record in world.journal.kept]
    first = kinds.index(Kind.STARTED) + 1
    noted = [record.body.text for record in world.journal.kept[first : first + 4] if isinstance(record.body, Note)]
    assert [text.split(":")[0] for text in noted] == [
        "headroom on_rollout",
        "instead, headroom reserved",
        "instead, headroom always",
        "instead, headroom surge of 1",
    ]
    assert Kind.UPDATE not in kinds[:first]


def test_a_rollout_onto_blue_lowers_the_green_weight() -> None:
    blue: dict[str, Any] = {"replicas": 2}
    green = {"replicas": 2, "release": OLD.model_dump(mode="json")}
    world = World(active_color="green", green_weight=100, blue=blue, green=green)
    assert ramp(world).phase is Phase.DONE
    assert world.shifts_of_traffic == [100, 99, 75, 0]
    assert_all_agree(world, green_weight=0, active_color="blue")


def test_each_hold_lasts_at_least_as_long_as_asked() -> None:
    world = World()
    ramp(world)
    done = [record["at"] for record in world.journal.of("weight") if record["status"] == "done"]
    begun = [record["at"] for record in world.journal.of("weight") if record["status"] == "begun"]
    holds = [
        after - before for before, after in zip(done, [*begun[1:], world.journal.of("promoted")[0]["at"]], strict=True)
    ]
    assert all(hold >= 60 for hold in holds)


def test_a_new_weight_is_read_back_and_given_time_to_spread() -> None:
    world = World()
    ramp(world)
    settle_seconds = world.config.read().rollout.settle_seconds
    written = [record["at"] for record in world.journal.of("rule")][: len(world.config.read().rollout.steps)]
    attested = [record["at"] for record in world.journal.of("weight") if record["status"] == "done"]
    assert settle_seconds > 0
    assert all(after - before >= settle_seconds for before, after in zip(written, attested, strict=True))


def test_requests_that_prove_the_first_weight_are_judged_too() -> None:
    world = World()
    ramp(world)
    rollout = world.config.read().rollout
    attested = [one["at"] for one in world.journal.of("weight") if one["status"] == "done"]
    looks = [one for one in world.journal.of("verdict") if one["gate"] == "error_rate"]
    first, second = (next(one["evidence"]["requests"] for one in looks if one["at"] > at) for at in attested[:2])
    rates = [world.requests_per_second * percent / 100 for percent in (1, 25)]
    assert first >= rates[0] * rollout.settle_seconds
    assert second <= rates[1] * (rollout.poll_seconds + 1), "those at the former weight say little about this one"


def test_every_write_counts_the_serial_up() -> None:
    world = World(rollout_serial=7)
    ramp(world)
    assert world.config.read().rollout_serial == 7 + len(world.ups)


def test_errors_on_the_candidate_send_all_traffic_back_and_park_it() -> None:
    world = World()
    world.error_rate["green"] = 0.35
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "error_rate" in rollout.reason
    assert world.shifts_of_traffic == [0, 1, 0]
    assert_all_agree(world, green_weight=0, active_color="blue")
    green = world.config.read().color("green")
    assert green.parked
    assert green.provisioned is False
    assert world.state.color("green") == green
    kinds = [record["kind"] for record in world.journal.records]
    assert kinds.index("decision") < kinds.index("parked") < kinds.index("nodes_released") < kinds.index("finished")


def test_the_config_says_for_how_long_weights_are_being_moved() -> None:
    world = World()
    ramp(world)
    moved = [(state.green_weight, state.active_color, state.rolling_out) for state in world.applied]
    shifts = [(weight, "blue", True) for weight in (0, 1, 25, 100)]
    assert list(dict.fromkeys(moved)) == [*shifts, (100, "green", False)]


def test_after_a_rollback_no_weights_are_being_moved() -> None:
    world = World()
    world.error_rate["green"] = 0.35
    ramp(world)
    assert [state.rolling_out for state in world.applied if state.green_weight == 1] == [True]
    assert not world.state.rolling_out


def test_no_policy_keeps_traffic_from_going_back() -> None:
    world = World()
    ramp(world)
    world.refused_by_policy = "chat-green: scalingConfig.maxSize is 1"
    began = world.clock.elapsed
    rollout = undo(world)
    assert_all_agree(world, green_weight=0, active_color="blue")
    # Nobody waits for a policy to think better of it.
    assert world.clock.elapsed - began < world.config.read().rollout.update_timeout_seconds / 10
    # What follows is judged again: the candidate is left as it is.
    assert rollout.phase is Phase.FAILED
    assert "policy refused: chat-green: scalingConfig.maxSize is 1" in rollout.reason


def test_a_policy_that_refuses_keeps_a_rollout_from_beginning() -> None:
    world = World()
    world.refused_by_policy = "chat-green: scalingConfig.maxSize is 1"
    before = world.config.read()
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert world.journal.of("finished")[0]["outcome"] == "refused"
    assert "policy refused: chat-green: scalingConfig.maxSize is 1" in rollout.reason
    assert world.config.read() == before
    assert world.ups == []


def test_a_rollback_begins_with_the_rule_and_reconciles_the_rule_alone() -> None:
    world = World()
    world.error_rate["green"] = 0.35
    ramp(world)
    decision = world.journal.of("decision")[0]
    direct = next(record for record in world.journal.of("rule") if record["how"] == "direct")
    assert direct["at"] == decision["at"]
    assert [targets for message, targets in world.ups if message.startswith("roll back")] == [(RULE_URN,)]


def test_a_slow_candidate_is_caught_by_comparison_with_the_outgoing_colour() -> None:
    world = World()
    world.ttft_bucket["green"] = "1"
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "ttft_p95" in rollout.reason
    assert world.shifts_of_traffic == [0, 1, 0]


def test_without_enough_requests_the_hold_is_extended_and_then_given_up() -> None:
    world = World()
    world.requests_per_second = 1
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "no verdict after" in rollout.reason
    done = next(record["at"] for record in world.journal.of("weight") if record["status"] == "done")
    assert world.journal.of("decision")[0]["at"] - done >= 60 + 120


def test_a_prometheus_that_stops_answering_is_never_a_pass() -> None:
    world = World()
    count = world.clock.on_sleep

    def break_at_the_first_step() -> None:
        count()
        world.metrics_down = world.weights["green"] > 0

    world.clock.on_sleep = break_at_the_first_step
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic == [0, 1, 0]


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_a_candidate_that_does_not_pass_smoke_never_gets_traffic(verdict: Verdict) -> None:
    world = World()
    world.smoke = verdict
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic == [0]
    assert not world.pods("green")


def test_a_foreign_change_in_the_plan_stops_the_promotion_and_is_not_applied() -> None:
    world = World()
    count = world.clock.on_sleep

    def meddle() -> None:
        count()
        if world.weights["green"] == 25:
            world.foreign = [FOREIGN]

    world.clock.on_sleep = meddle
    rollout = ramp(world)
    assert "chat-blue" in world.journal.of("decision")[-1]["reason"]
    # A step has the rule as its only target: what else somebody changed waits for the promotion.
    assert world.shifts_of_traffic == [0, 1, 25, 100, 0]
    assert [targets for message, targets in world.ups if "% of requests" in message] == [(RULE_URN,)] * 3
    assert_all_agree(world, green_weight=0, active_color="blue")
    # Parking would apply the foreign change too, so a person must look.
    assert rollout.phase is Phase.FAILED
    assert world.pods("green")


def test_pods_that_crash_while_they_are_deployed_end_the_deploy() -> None:
    class Crashing(World):
        def pods(self, color: Color) -> tuple[Pod, ...]:
            pods = super().pods(color)
            if color == "blue":
                return pods
            return tuple(replace(pod, ready=False, waiting_reason="CrashLoopBackOff", restarts=3) for pod in pods)

    world = Crashing()
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "pod chat-green-0 does not come up: CrashLoopBackOff after 3 restarts" in rollout.reason
    assert world.journal.of("ready") == []
    assert world.shifts_of_traffic == [0]


@pytest.mark.parametrize(
    ("crash", "says"),
    [
        ("ValueError: no such quantization", "its log ends with: ValueError: no such quantization"),
        (
            "vllm serve: error: unrecognized arguments: --fingerprint-mode custom",
            "--fingerprint-mode custom. engine_args must fit the image's vLLM, which must be 0.21 or newer",
        ),
    ],
)
def test_the_end_of_a_crashed_pods_log_is_the_reason(crash: str, says: str) -> None:
    class Crashing(World):
        def pods(self, color: Color) -> tuple[Pod, ...]:
            crashed = {"ready": False, "waiting_reason": "CrashLoopBackOff", "restarts": 3, "crash": crash}
            return tuple(replace(pod, **crashed) if color == "green" else pod for pod in super().pods(color))

    rollout = ramp(Crashing())
    assert rollout.phase is Phase.ROLLED_BACK
    assert says in rollout.reason


def test_a_foreign_change_before_the_deploy_changes_nothing() -> None:
    world = World()
    world.foreign = [FOREIGN]
    before = world.config.values
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "the preview contains changes besides green and the rule's tags: update Deployment" in rollout.reason
    assert world.ups == []
    assert world.config.values == before
    assert world.journal.of("update") == [], "preflight has found it"


def test_a_policy_that_refuses_the_plan_refuses_the_ramp() -> None:
    world = World()
    world.refused_by_policy = "chat: keep two replicas"
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "chat: keep two replicas" in rollout.reason
    assert world.journal.of("update") == []


def test_only_deploy_and_promotion_are_previewed_after_preflight() -> None:
    world = World()
    assert ramp(world).phase is Phase.DONE
    assert [
        word for message in world.previews for word in ("onto", "nodes", "deploy", "promote") if word in message
    ] == [
        "onto",
        "nodes",
        "deploy",
        "promote",
    ]


def test_what_a_step_has_changed_beside_the_weight_sends_traffic_back() -> None:
    world = World()
    count = world.clock.on_sleep

    def meddle() -> None:
        count()
        if world.weights["green"] == 1:
            world.program_rule = {"priority": 7}

    world.clock.on_sleep = meddle
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "made other changes: chat: priority" in rollout.reason
    assert world.shifts_of_traffic == [0, 1, 25, 0]
    assert_all_agree(world, green_weight=0, active_color="blue")
    (told,) = (record for record in world.journal.of("update") if record.get("unexpected"))
    assert (told["status"], told["unexpected"]) == ("done", ["chat: priority"])


def test_a_rule_changed_by_hand_stops_the_ramp() -> None:
    world = World()
    count = world.clock.on_sleep

    def meddle() -> None:
        count()
        if world.weights["green"] == 25:
            world.weights = {"blue": 50, "green": 50}

    world.clock.on_sleep = meddle
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert_all_agree(world, green_weight=0, active_color="blue")


@pytest.mark.parametrize("stop_at", range(600, 1020, 7))
@pytest.mark.slow
def test_a_stop_at_any_time_puts_all_traffic_back(stop_at: int) -> None:
    world = World()
    world.clock.stop_at = stop_at
    rollout = ramp(world)
    if rollout.phase is Phase.DONE:
        assert world.clock.elapsed <= stop_at + 10  # the last poll was asleep already
        return
    assert rollout.phase in (Phase.ROLLED_BACK, Phase.REFUSED)
    assert world.weights == {"blue": 100, "green": 0}
    assert_all_agree(world, green_weight=0, active_color="blue")
    assert not world.pods("green")


def test_a_failure_in_the_soak_takes_the_promotion_back() -> None:
    world = World()
    count = world.clock.on_sleep

    def break_in_the_soak() -> None:
        count()
        if world.state.active_color == "green":
            world.healthy["green"] = 0

    world.clock.on_sleep = break_in_the_soak
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert world.shifts_of_traffic == [0, 1, 25, 100, 0]
    assert_all_agree(world, green_weight=0, active_color="blue")
    assert world.config.read().keep_until is None
    assert not world.pods("green")


def test_reconciling_is_tried_again_when_an_update_fails() -> None:
    world = World()
    world.error_rate["green"] = 0.35
    write = world.journal.write

    def fail_after_the_decision(body: Body) -> None:
        write(body)
        if body.kind is Kind.DECISION:
            world.failing_ups = 2

    world.journal.write = fail_after_the_decision  # pyright: ignore[reportAttributeAccessIssue]
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert_all_agree(world, green_weight=0, active_color="blue")


def test_with_the_backend_down_traffic_is_back_and_a_person_is_told() -> None:
    world = World()
    world.error_rate["green"] = 0.35
    write = world.journal.write

    def fail_after_the_decision(body: Body) -> None:
        write(body)
        if body.kind is Kind.DECISION:
            world.failing_ups = 1000

    world.journal.write = fail_after_the_decision  # pyright: ignore[reportAttributeAccessIssue]
    rollout = ramp(world)
    assert rollout.phase is Phase.FAILED
    assert "no credentials" in rollout.reason
    assert world.weights == {"blue": 100, "green": 0}


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"blue": {"replicas": 2}}, "blue"),
        ({"green_weight": 1, "green": {"replicas": 2, "release": OLD.model_dump(mode="json")}}, "green_weight"),
        (
            {"keep_until": "2026-11-22T08:00:00Z", "green": {"replicas": 2, "release": OLD.model_dump(mode="json")}},
            "keep_until",
        ),
    ],
)
def test_preflight_refuses_and_changes_nothing(overrides: dict[str, Any], field: str) -> None:
    world = World(**overrides)
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert rollout.reason.startswith(field)
    assert world.ups == []


@pytest.mark.parametrize(
    ("overrides", "idle_timeout", "told"),
    [
        (
            {},
            129,
            "max_stream_seconds: the load balancer ends connections that are silent for 129 s, but requests need",
        ),
        (
            {},
            140,
            "max_stream_seconds: the load balancer reuses connections for 140 s, but the pods end them after 140",
        ),
        (JOINED, 129, "listener.idle_timeout_seconds: the load balancer ends connections that are silent for 129 s"),
        (
            JOINED,
            310,
            "listener.idle_timeout_seconds: the load balancer reuses connections for 310 s, but the pods end",
        ),
    ],
)
def test_a_load_balancer_that_would_break_requests_off_is_refused(
    overrides: dict[str, Any], idle_timeout: int, told: str
) -> None:
    world = World(**overrides)
    world.idle_timeout = idle_timeout
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert rollout.reason.startswith(told)
    assert "\n" not in rollout.reason
    assert world.ups == []


@pytest.mark.parametrize(("overrides", "idle_timeouts"), [({}, (130, 139)), (JOINED, (130, 309))])
def test_any_idle_timeout_between_the_requests_and_the_pods_will_do(
    overrides: dict[str, Any], idle_timeouts: tuple[int, int]
) -> None:
    for idle_timeout in idle_timeouts:
        world = World(**overrides)
        world.idle_timeout = idle_timeout
        assert ramp(world).phase is Phase.DONE


def test_a_config_file_behind_the_rule_is_refused() -> None:
    world = World(rollout_serial=3)
    world.config.values = {**world.config.values, "rollout_serial": 2}
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "stale" in rollout.reason


def test_an_idle_colour_past_its_time_is_parked_before_it_gets_the_new_release() -> None:
    green = {"replicas": 2, "release": OLD.model_dump(mode="json")}
    world = World(keep_until="2026-11-20T08:00:00Z", green=green)
    assert ramp(world).phase is Phase.DONE
    assert world.journal.of("parked")[0]["color"] == "green"
    assert world.ups[0][0].startswith("park the former release")


def test_reap_parks_first_and_gives_the_nodes_back_last() -> None:
    world = World()
    ramp(world)
    settings = world.config.read()
    world.clock.elapsed += 3600
    world.config.values = {**world.config.values}
    done = Rollout(plan=make_plan("green", settings.rollout), phase=Phase.DONE)
    changed = world.clock.now() - timedelta(seconds=10)
    controller = Controller(world.ports(rule_changed_at=changed), Subject(service=SERVICE))
    waited_from = world.clock.elapsed
    assert controller.run(advance(done, ReapRequested())).phase is Phase.REAPED
    assert world.journal.of("parked")[-1]["at"] - waited_from >= settings.drain_chain.deregistration_delay_seconds - 10
    blue, green = world.config.read().color("blue"), world.config.read().color("green")
    assert blue.parked
    assert blue.provisioned is False
    assert green.serves
    assert [message for message, _ in world.ups[-2:]] == ["park blue", "release the nodes of blue"]


def test_reap_leaves_a_colour_with_running_requests_as_it_is() -> None:
    world = World()
    ramp(world)
    world.running_for_ever = True
    done = Rollout(plan=make_plan("green", world.config.read().rollout), phase=Phase.DONE)
    rollout = Controller(world.ports(), Subject(service=SERVICE)).run(advance(done, ReapRequested()))
    assert rollout.phase is Phase.FAILED
    assert world.pods("blue")


def test_undoing_a_promotion_restores_the_former_colour() -> None:
    world = World()
    ramp(world)
    assert undo(world).phase is Phase.ROLLED_BACK
    assert_all_agree(world, green_weight=0, active_color="blue")
    assert not world.pods("green")


def test_undoing_twice_changes_nothing_more() -> None:
    world = World()
    ramp(world)
    undo(world)
    ups = len(world.ups)
    assert undo(world).phase is Phase.ROLLED_BACK
    assert len(world.ups) == ups


def fill_the_disk(world: World, when: Callable[[str], bool]) -> list[str]:
    """From the first such record on, none can be written; returns those that were lost without ending anything."""
    write, full, lost = world.journal.write, list[str](), list[str]()

    def refuse(body: Body) -> None:
        if not full and not when(body.kind):
            write(body)
            return
        full.append(body.kind)
        if world.journal.best_effort:
            world.journal.lose(body)
            lost.append(body.kind)
        else:
            raise JournalError("chat.jsonl: cannot be written (No space left on device)")

    world.journal.write = refuse  # pyright: ignore[reportAttributeAccessIssue]
    return lost


@pytest.mark.parametrize("failing", ["phase", "weight", "result", "verdict", "decision", "rule"])
def test_a_journal_that_cannot_be_written_ends_the_ramp_and_the_way_back_goes_on_without_it(failing: str) -> None:
    world = World()
    if failing == "decision":
        world.clock.stop_at = 750
    lost = fill_the_disk(world, lambda kind: kind == failing and 25 in world.shifts_of_traffic)
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert ("No space left" in rollout.reason) == (failing != "decision")
    assert_all_agree(world, green_weight=0, active_color="blue")
    assert lost[-1] == "finished"


@pytest.mark.parametrize("failing", ["phase", "started"])
def test_a_journal_that_cannot_be_begun_refuses_the_ramp_before_anything_is_changed(failing: str) -> None:
    world = World()
    before = world.config.values
    fill_the_disk(world, lambda kind: kind == failing)
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "No space left" in rollout.reason
    assert (world.config.values, world.ups, world.direct) == (before, [], [])


def test_a_reap_never_moves_weight_even_when_its_journal_fails() -> None:
    world = World()
    ramp(world)
    fill_the_disk(world, lambda _: True)
    done = Rollout(plan=make_plan("green", world.config.read().rollout), phase=Phase.DONE)
    rollout = Controller(world.ports(), Subject(service=SERVICE)).run(advance(done, ReapRequested()))
    assert rollout.phase is Phase.FAILED
    assert "No space left" in rollout.reason
    assert world.weights == {"blue": 0, "green": 100}


def test_a_locked_stack_is_refused_and_the_config_is_as_it_was() -> None:
    world = World()
    before = world.config.values
    world.stack_locked = True
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "currently locked" in rollout.reason
    assert (world.config.values, world.ups, world.direct) == (before, [], [])


def test_a_stack_that_is_locked_later_is_rolled_back() -> None:
    world = World()
    count = world.clock.on_sleep

    def lock() -> None:
        count()
        world.stack_locked = world.weights["green"] == 25

    world.clock.on_sleep = lock
    rollout = ramp(world)
    assert world.weights == {"blue": 100, "green": 0}
    assert "currently locked" in world.journal.of("decision")[0]["reason"]
    assert rollout.phase is Phase.ROLLED_BACK


def test_an_endpoint_that_is_down_is_found_before_anything_is_changed() -> None:
    world = World()
    world.endpoint_down = True
    rollout = ramp(world)
    assert rollout.phase is Phase.REFUSED
    assert "http://llm does not answer" in rollout.reason
    assert (world.ups, world.direct) == ([], [])


HOOKS: JsonValue = {"after_promotion": ["purge", "new"], "after_rollback": ["purge", "back"]}


def with_hooks() -> World:
    world = World()
    world.config.edit({"rollout.hooks": HOOKS})
    return world


def test_a_promotion_tells_whose_answers_users_get_and_runs_the_hook_for_it() -> None:
    world = with_hooks()
    assert ramp(world).phase is Phase.DONE
    (serving,) = world.journal.of("serving")
    assert (serving["release_id"], serving["cache_namespace"]) == (NEW.release_id, NEW.semantic_cache_namespace)
    assert serving["previous_cache_namespace"] == OLD.semantic_cache_namespace
    assert serving["cache_namespace_changed"] is True
    ((command, variables),) = world.hooks.ran
    assert command == ("purge", "new")
    assert variables["ROLLOUT_SERVICE"] == SERVICE
    assert variables["ROLLOUT_RELEASE_ID"] == NEW.release_id
    assert variables["ROLLOUT_PREVIOUS_RELEASE_ID"] == OLD.release_id
    assert world.journal.of("hook")[0]["error"] == ""


def test_a_rollback_after_promotion_runs_its_own_hook_once_traffic_is_back() -> None:
    world = with_hooks()
    assert ramp(world).phase is Phase.DONE
    assert undo(world).phase is Phase.ROLLED_BACK
    command, variables = world.hooks.ran[-1]
    assert command == ("purge", "back")
    assert (variables["ROLLOUT_COLOR"], variables["ROLLOUT_RELEASE_ID"]) == ("blue", OLD.release_id)
    assert variables["ROLLOUT_CACHE_NAMESPACE"] == OLD.semantic_cache_namespace


def test_a_failing_hook_undoes_nothing_and_is_told() -> None:
    world = with_hooks()
    world.hooks.error = "purge exited with 1"
    assert ramp(world).phase is Phase.DONE
    assert world.journal.of("hook")[0]["error"] == "purge exited with 1"
    assert_all_agree(world, green_weight=100, active_color="green")


def test_without_hooks_only_the_journal_is_told() -> None:
    world = World()
    ramp(world)
    assert world.hooks.ran == []
    assert world.journal.of("serving") != []
    assert world.journal.of("hook") == []


def gates(**changed: Any) -> dict[str, Any]:
    """The rollout's settings with these of the gates."""
    return {**BASE["rollout"], "gates": {**BASE["rollout"]["gates"], **changed}}


def verdicts(world: World, gate: str) -> list[dict[str, Any]]:
    return [record for record in world.journal.of("verdict") if record["gate"] == gate]


# What of the world is set to what, by the gate that should notice.
SPOILS: dict[str, tuple[str, dict[str, Any]]] = {
    "abandoned": ("abandoned_rate", {"green": 0.4}),
    "ttft_p95": ("ttft_bucket", {"green": "0.5"}),
    "inter_token_p95": ("inter_token_bucket", {"green": "0.25"}),
    "end_to_end_p95": ("end_to_end_bucket", {"blue": "1", "green": "5"}),
    "queue_depth": ("waiting_per_replica", {"green": 30.0}),
    "target_group_latency": ("response_p95_seconds", {"green": 0.5}),
    "target_group_errors": ("error_rate", {"green": 0.2}),
}


@pytest.mark.parametrize("gate", SPOILS)
def test_each_gate_refuses_a_candidate_that_is_worse(gate: str) -> None:
    world = World()
    what, values = SPOILS[gate]
    getattr(world, what).update(values)
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert gate in rollout.reason
    assert verdicts(world, gate)[-1]["verdict"] in (Verdict.FAIL, Verdict.INCONCLUSIVE)


# What the load balancer alone counts: the pods never see the request, or are gone before they count it.
BROKEN = ["refused_rate", "reset_rate"]


@pytest.mark.parametrize("what", BROKEN)
def test_a_candidate_that_breaks_connections_is_rolled_back(what: str) -> None:
    world = World()
    getattr(world, what)["green"] = 0.2
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert rollout.reason.startswith("target_group_errors: ")
    assert verdicts(world, "target_group_errors")[-1]["verdict"] == Verdict.FAIL
    assert world.shifts_of_traffic == [0, 1, 0], "at the first step"


@pytest.mark.parametrize("what", BROKEN)
def test_connections_that_break_on_both_colours_as_before_refuse_nobody(what: str) -> None:
    world = World()
    getattr(world, what).update({"blue": 0.009, "green": 0.009})
    assert ramp(world).phase is Phase.DONE


def test_the_other_colours_broken_connections_are_not_the_candidates() -> None:
    world = World()
    world.reset_rate["blue"] = 0.05
    assert ramp(world).phase is Phase.DONE


@pytest.mark.parametrize(("what", "phase"), [("reset_rate", Phase.DONE), ("refused_rate", Phase.ROLLED_BACK)])
def test_on_a_joined_listener_only_the_target_groups_own_errors_count(what: str, phase: Phase) -> None:
    world = World(**JOINED)
    getattr(world, what)["green"] = 0.2  # resets could as well be those of other services
    assert ramp(world).phase is phase


@pytest.mark.parametrize("gate", ["error_rate", "ttft_p95", "queue_depth", "target_group_latency"])
def test_a_dry_run_is_journalled_and_decides_nothing(gate: str) -> None:
    spoiled: dict[str, Any] = {"error_rate": {"limit_percent": 0}, "ttft_p95": {"limit_seconds": 0.01}}
    others = {"queue_depth": {"limit_per_replica": 0}, "target_group_latency": {"limit_seconds": 0.01}}
    limits = {**spoiled, **others}[gate]
    for dry_run in (False, True):
        # The fakes count requests at each poll. Response times are judged by periods that have requests.
        rollout = {**gates(**{gate: {**limits, "dry_run": dry_run}}), "poll_seconds": PERIOD_SECONDS}
        world = World(rollout=rollout)
        world.waiting_per_replica["green"] = 1.0
        world.error_rate = {"blue": 0.001, "green": 0.001}
        assert ramp(world).phase is (Phase.DONE if dry_run else Phase.ROLLED_BACK)
        judged = verdicts(world, gate)
        assert any(record["verdict"] == Verdict.FAIL for record in judged)
        assert all(record["dry_run"] is dry_run for record in judged)


def test_a_candidate_that_answers_nobody_fails_below_the_minimum() -> None:
    world = World(rollout=gates(minimum_requests=5000))
    world.error_rate["green"] = 1.0
    rollout = ramp(world)
    assert rollout.phase is Phase.ROLLED_BACK
    failed = next(record for record in world.journal.of("verdict") if record["verdict"] == Verdict.FAIL)
    assert failed["evidence"]["requests"] < 100
    assert failed["evidence"]["log_evidence_absolute"] >= failed["evidence"]["log_evidence_needed"]


def test_probes_fill_the_minimum_that_clients_would_not_reach() -> None:
    world = World(rollout={**gates(probes={"enabled": True}), "cloudwatch_period_seconds": 5})
    world.requests_per_second = 10.0  # 0.1 a second for the candidate at first, over 180 s at most
    assert ramp(world).phase is Phase.DONE
    sent = [color for color, _, _ in world.route.asked]
    assert sent.count("green") == sent.count("blue") > 10
    assert any("probes to both colours" in record["text"] for record in world.journal.of("note"))
    counted = [record["evidence"] for record in verdicts(world, "ttft_p95") if record["verdict"] == Verdict.PASS]
    assert all(one["client_requests"] + one["probe_requests"] >= 50 for one in counted)
    assert counted[0]["probe_requests"] > 10


def test_without_probes_too_few_clients_are_never_a_pass() -> None:
    world = World()
    world.requests_per_second = 10.0
    assert ramp(world).phase is Phase.ROLLED_BACK
    assert world.route.asked == []


def meddled(at: Callable[[World], bool], meddle: Callable[[World], None]) -> tuple[World, Rollout]:
    """A ramp in which somebody does something, once, when the time has come."""
    world, done = World(), [False]
    count = world.clock.on_sleep

    def act() -> None:
        count()
        if not done[0] and at(world):
            done[0] = True
            meddle(world)

    world.clock.on_sleep = act
    return world, ramp(world)


def in_the_hold(world: World) -> bool:
    return world.journal.phase == "holding" and world.weights["green"] == 25


def in_the_soak(world: World) -> bool:
    return world.journal.phase == "soaking"


def pulumi_up(world: World) -> None:
    """Of somebody's own checkout, at the same serial."""
    green_weight = 0 if world.weights["green"] == 25 else 50
    world.state = world.state.model_copy(update={"green_weight": green_weight})
    world.weights = {"blue": 100 - green_weight, "green": green_weight}


def by_hand(world: World) -> None:
    world.weights = {"blue": 50, "green": 50}


def checkout(world: World) -> None:
    """Of an older config file."""
    world.config.values = {**world.config.values, "green_weight": 0, "active_color": "blue", "rollout_serial": 1}


@pytest.mark.parametrize("at", [in_the_hold, in_the_soak])
@pytest.mark.parametrize(
    ("meddle", "told"),
    [
        (pulumi_up, "somebody's `pulumi up` has changed it"),
        (by_hand, "somebody has changed it outside of Pulumi"),
        (checkout, "the file is stale"),
    ],
)
def test_whoever_moves_rule_or_config_in_a_hold_or_the_soak_is_noticed_at_the_next_look(
    at: Callable[[World], bool], meddle: Callable[[World], None], told: str
) -> None:
    world, rollout = meddled(at, meddle)
    assert rollout.phase is Phase.ROLLED_BACK
    assert told in rollout.reason
    assert ("drift", "fail") in [(one["gate"], one["verdict"]) for one in world.journal.of("verdict")]
    assert_all_agree(world, green_weight=0, active_color="blue")


def test_a_file_put_back_before_the_promotion_stops_it() -> None:
    world, rollout = meddled(lambda world: world.journal.phase == "promoting", checkout)
    assert rollout.phase is Phase.ROLLED_BACK
    assert "the file is stale" in rollout.reason
    assert world.journal.of("promoted") == []
    assert_all_agree(world, green_weight=0, active_color="blue")


def test_a_rule_that_cannot_be_read_for_a_moment_in_a_hold_is_no_verdict() -> None:
    world = World()
    read, left = world.rule, [3]

    def rule() -> LiveRule:
        if left[0] and world.journal.phase == "holding":
            left[0] -= 1
            raise UnavailableError("AWS DescribeRules: InternalFailure: oops")
        return read()

    world.rule = rule  # type: ignore[method-assign]
    assert ramp(world).phase is Phase.DONE
    told = [one for one in world.journal.of("verdict") if one["gate"] == "drift"]
    assert [one["verdict"] for one in told] == ["inconclusive"] * 3
