"""The field facts that make or break a rollout, T1 to T14: each has a test that fails if the code ignores it.

Those of what is declared are here, on the resources of the whole program. Those of how traffic moves are where the
rollout is tested, and are named at the end.
"""

import ast
from itertools import product
from typing import Any

import pytest

from components.config.release.engine_args import DERIVED_ENGINE_ARGS
from components.config.settings import SettingsError
from components.domain.naming import COLORS
from rehearsal.vllm.flags import build_parser
from tests.components.example import ROOT, release, run_program, settings
from tests.components.registrations import Registrations
from tests.syntax import tree_of

BOTH_COLORS: dict[str, Any] = {
    "blue": {"replicas": 2, "release": release()},
    "green": {"replicas": 2, "release": release(sampling={"top_p": 0.5}, lora_adapters={"law": "/adapters/law"})},
}


@pytest.fixture(scope="module")
def declared() -> Registrations:
    """A whole stack whose green colour is a candidate at weight 0."""
    return run_program(**BOTH_COLORS, pods={"pod_monitor": True})


def _weights(declared: Registrations) -> dict[str, int]:
    (action,) = declared["ListenerRule", "llm"].inputs["actions"]
    return {group["arn"]: group["weight"] for group in action["forward"]["targetGroups"]}


def _container(declared: Registrations, color: str) -> dict[str, Any]:
    (container,) = declared["Deployment", f"llm-{color}"].inputs["spec"]["template"]["spec"]["containers"]
    return container


def _argument(declared: Registrations, color: str, flag: str) -> str:
    arguments = _container(declared, color)["args"]
    return arguments[arguments.index(flag) + 1]


@pytest.mark.parametrize("green_weight", [0, 100])
def test_t1_both_target_groups_are_in_the_rule_at_any_weight(green_weight: int) -> None:
    # A target group in no rule is not health-checked, so its colour would never become healthy.
    weights = _weights(run_program(**BOTH_COLORS, green_weight=green_weight))
    assert weights == {"arn:TargetGroup:llm-blue": 100 - green_weight, "arn:TargetGroup:llm-green": green_weight}


@pytest.mark.parametrize("color", COLORS)
def test_t2_pods_come_after_the_rule_that_makes_their_readiness_gate_true(declared: Registrations, color: str) -> None:
    # A pod whose target group is in no rule waits for its gate forever, and so does the update.
    before = declared.precede(("Deployment", f"llm-{color}"))
    assert before >= {("ListenerRule", "llm"), ("TargetGroupBinding", f"llm-{color}"), ("Service", f"llm-{color}")}
    # The pod template declares the gate, because the webhook that would inject it may fail silently.
    gates = declared["Deployment", f"llm-{color}"].inputs["spec"]["template"]["spec"]["readinessGates"]
    assert gates == [{"conditionType": f"target-health.elbv2.k8s.aws/llm-{color}"}]


def test_t3_weights_are_always_given_and_never_ignored(declared: Registrations) -> None:
    # With ignored weights the provider writes a weight of 1 for 0, and resets live ones.
    assert set(_weights(declared).values()) == {0, 100}
    owners = [path for path in (ROOT / "components").rglob("*.py") if "ListenerRule(" in path.read_text()]
    assert owners
    assert not any("ignore_changes" in path.read_text() for path in owners)


@pytest.mark.parametrize(("longest", "propagation"), [(1, 1), (120, 30), (800, 80)])
def test_t4_and_t5_every_link_of_the_drain_chain_outlasts_the_one_before_it(longest: int, propagation: int) -> None:
    # vLLM closes idle connections after 5 s and aborts what runs on SIGTERM, by default.
    declared = run_program(**BOTH_COLORS, max_stream_seconds=longest, deregistration_propagation_seconds=propagation)
    idle_timeout = declared["LoadBalancer", "llm"].inputs["idleTimeout"]
    assert idle_timeout >= longest + 10
    for color in COLORS:
        assert declared["TargetGroup", f"llm-{color}"].inputs["deregistrationDelay"] >= propagation + longest
        container = _container(declared, color)
        pod = declared["Deployment", f"llm-{color}"].inputs["spec"]["template"]["spec"]
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert int(environment["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"]) > idle_timeout
        pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pre_stop >= propagation
        shutdown_timeout = int(_argument(declared, color, "--shutdown-timeout"))
        assert shutdown_timeout >= longest
        assert pre_stop + shutdown_timeout + 10 <= pod["terminationGracePeriodSeconds"] < 900


def test_t7_answers_and_metrics_name_their_colour_although_both_serve_one_model_name(declared: Registrations) -> None:
    # The label `model_name` is the same in both colours, and so is the model in an answer.
    names = {_argument(declared, color, "--served-model-name") for color in COLORS}
    assert len(names) == 1
    for color in COLORS:
        assert _argument(declared, color, "--fingerprint-mode") == "custom"
        assert _argument(declared, color, "--fingerprint-value").startswith(f"{color}-")
        (endpoint,) = declared["PodMonitor", f"llm-{color}"].inputs["spec"]["podMetricsEndpoints"]
        assert "color" in {relabeling["targetLabel"] for relabeling in endpoint["relabelings"]}


def test_t8_ready_is_who_answers_a_request_not_who_merely_lives(declared: Registrations) -> None:
    # `/health` runs no inference: it says that the engine's process is not dead.
    probe = _container(declared, "green")["readinessProbe"]
    assert "httpGet" not in probe
    (source,) = declared["ConfigMap", "llm-green-probe"].inputs["data"].values()
    assert "/v1/completions" in source
    assert "/v1/models" in source


def test_t10_no_stickiness_outranks_the_weights(declared: Registrations) -> None:
    # A client with a sticky cookie stays on its colour, even after a rollback.
    for rule in declared.of_type("ListenerRule").values():
        for action in rule.inputs["actions"]:
            assert action.get("forward", {}).get("stickiness", {"enabled": False})["enabled"] is False
    (action,) = declared["ListenerRule", "llm"].inputs["actions"]
    assert action["forward"]["stickiness"]["enabled"] is False
    for group in declared.of_type("TargetGroup").values():
        assert group.inputs["stickiness"]["enabled"] is False


def test_t11_the_ramp_warms_up_not_a_slow_start(declared: Registrations) -> None:
    # An empty group gets no slow start, and slow start excludes routing to the least busy pod.
    for group in declared.of_type("TargetGroup").values():
        assert not group.inputs.get("slowStart")
        assert group.inputs["loadBalancingAlgorithmType"] == "least_outstanding_requests"


@pytest.mark.parametrize("color", COLORS)
def test_t13_vllm_knows_every_argument_that_the_program_derives(declared: Registrations, color: str) -> None:
    # vLLM exits at once on an unknown or removed argument, so the pods would crash in a loop.
    arguments = _container(declared, color)["args"]
    flags = {word for word in arguments if word.startswith("--")}
    assert flags <= DERIVED_ENGINE_ARGS
    build_parser().parse_args(arguments)


def test_t13_an_argument_that_vllm_has_given_up_is_refused_before_a_pod_meets_it() -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["org/model", "--disable-log-requests"])
    with pytest.raises(SettingsError, match=r"--disable-log-requests exists only from vLLM 0\.33 on"):
        settings(blue={"release": release(engine_args=["--disable-log-requests"])})


ELSEWHERE = {
    # An aborted request is a 200: its finish reason counts as a failure.
    "T6": (
        "tests/rollout/statistics/test_measurements.py",
        "test_failures_are_server_errors_or_engine_errors_and_aborts",
    ),
    # A weight takes time to reach every node of the load balancer.
    "T9": ("tests/rollout/test_controller.py", "test_a_new_weight_is_read_back_and_given_time_to_spread"),
    # CloudWatch reports no zeros: a missing metric is no data, never a pass.
    "T12": ("tests/rollout/adapters/test_load_balancer.py", "test_no_requests_are_no_data"),
    # moto reports every target as healthy, so verdicts on health are tested without it.
    "T14": ("tests/rollout/gates/test_verdicts.py", "test_targets_pass_only_all_together"),
}


@pytest.mark.parametrize("trap", ELSEWHERE)
def test_the_rollouts_traps_have_their_tests_too(trap: str) -> None:
    place, name = ELSEWHERE[trap]
    tree = tree_of(ROOT / place)
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_trap_is_left_out() -> None:
    tree = tree_of(ROOT / "tests/components/test_traps.py")
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    here = {f"T{number}" for number, name in product(range(1, 15), names) if f"t{number}" in name.split("_")}
    assert here.isdisjoint(ELSEWHERE)
    assert here | ELSEWHERE.keys() == {f"T{number}" for number in range(1, 15)}
