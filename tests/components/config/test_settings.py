"""The typed settings: one reader, and one error that lists every violation."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from components.config.settings import Settings, SettingsError
from components.domain.capacity.capacity import PoolSize
from components.domain.naming import KEEP_UNTIL_KEY
from tests.components.example import SECRET, config, release, service_settings, settings


def test_a_flat_config_is_one_service() -> None:
    name, service = settings(service_name="chat").service()
    assert name == "chat"
    assert service.blue.release is not None
    assert service.blue.release.model == "org/model"
    assert service.green.release is None


def test_without_a_name_the_only_service_is_called_llm() -> None:
    assert list(settings().services) == ["llm"]


def test_flat_keys_are_the_defaults_of_several_services() -> None:
    stack = settings(blue=None, green=None, services={"chat": {"green_weight": 25}, "code": {"cold_start_seconds": 90}})
    assert {name: service.instance_type for name, service in stack.services.items()} == {
        "chat": "g6e.2xlarge",
        "code": "g6e.2xlarge",
    }
    assert (stack.services["chat"].green_weight, stack.services["code"].cold_start_seconds) == (25, 90)


def test_an_empty_value_means_not_set() -> None:
    stack = settings(certificate_arn="", keep_until="", services={}, endpoint_url="")
    assert stack.certificate_arn is None
    assert stack.service()[1].endpoint_url is None
    assert list(stack.services) == ["llm"]


def test_a_text_that_looks_like_something_else_stays_a_text() -> None:
    stack = settings(cluster_name="123", service_name="true", announced="7 larger nodes")
    assert stack.cluster_name == "123"
    assert stack.service()[0] == "true"
    assert stack.service()[1].announced == "7 larger nodes"


def test_keys_of_other_projects_are_left_alone() -> None:
    assert Settings.from_config({**config(), "aws:region": "us-east-1"}) == settings()


def test_the_secret_stays_out_of_the_settings() -> None:
    assert SECRET not in repr(settings())


@given(st.integers(0, 100))
def test_the_weights_of_both_colours_are_always_a_hundred(green_weight: int) -> None:
    service = service_settings(green_weight=green_weight, green={"release": release()})
    assert service.weight("green") == green_weight
    assert service.weight("blue") + service.weight("green") == 100


def test_all_violations_are_listed_at_once_with_field_value_and_fix() -> None:
    with pytest.raises(SettingsError) as raised:
        settings(vpc_id=None, green_weigth=25, green_weight=101, blue={"replica": 2}, client_cidrs=[])
    lines = str(raised.value).splitlines()
    assert lines[0] == "The stack config is invalid:"
    assert sorted(lines[1:]) == [
        "  - vllm-blue-green:blue.replica: is not a known key. Did you mean replicas?",
        '  - vllm-blue-green:client_cidrs: must be a list of at least 1, e.g. ["10.0.0.0/8"] (got []).',
        "  - vllm-blue-green:green_weight: must be a whole number from 0 to 100, e.g. 25 (got 101).",
        "  - vllm-blue-green:green_weigth: is not a known key. Did you mean green_weight?",
        "  - vllm-blue-green:vpc_id: is required but not set. "
        "Set it to a VPC's id, e.g. vpc-0a1b2c3d4e5f60718. VPC of the cluster.",
    ]


def test_a_service_without_settings_is_a_violation_like_any_other() -> None:
    with pytest.raises(
        SettingsError, match=r"vllm-blue-green:services\.chat: must be an object with keys that docs.* \(got null\)"
    ):
        settings(services={"chat": None})


def test_a_violation_among_several_services_names_the_service() -> None:
    with pytest.raises(SettingsError, match=r"vllm-blue-green:services\.code\.green_weight: .* \(got 101\)"):
        settings(blue=None, green=None, services={"chat": {}, "code": {"green_weight": 101}})


@pytest.mark.parametrize("weight", ["25.5", "true", '"25"', "half"])
def test_a_weight_that_is_not_a_whole_number_is_refused(weight: str) -> None:
    with pytest.raises(SettingsError, match=r"vllm-blue-green:green_weight: must be a whole number from 0 to 100"):
        settings(green_weight=weight)


def test_a_colour_with_weight_cannot_be_parked() -> None:
    with pytest.raises(SettingsError, match=r"green:blue\.parked: must be false while green_weight 25 sends 75 %"):
        settings(green_weight=25, blue={"release": release(), "parked": True}, green={"release": release()})


def test_no_weight_goes_to_a_colour_without_a_release() -> None:
    with pytest.raises(SettingsError, match="green_weight: must be 0 while green has no release"):
        settings(green_weight=25)


def test_an_unused_service_may_have_any_weight() -> None:
    assert service_settings(blue={}, green={}, green_weight=0).weight("blue") == 100


def test_replicas_need_nodes() -> None:
    with pytest.raises(SettingsError, match=r"green\.provisioned: must be true while replicas run"):
        settings(green={"release": release(), "provisioned": False})


def test_a_replica_that_fits_no_node_is_refused() -> None:
    with pytest.raises(
        SettingsError,
        match=r"gpus_per_replica: must be at most 1: a g6e\.2xlarge node has no more GPUs for one replica \(got 2\)",
    ):
        settings(gpus_per_replica=2)


@pytest.mark.parametrize("mode", ["on_rollout", "reserved"])
def test_only_nodes_that_are_always_up_can_be_shared(mode: str) -> None:
    message = f"node_groups: must be per_color with headroom_mode {mode}: shrinking a shared group"
    with pytest.raises(SettingsError, match=message):
        service_settings(node_groups="shared", headroom_mode=mode)
    assert service_settings(node_groups="shared", headroom_mode="always").shares_nodes


def test_colours_that_share_their_nodes_share_their_ami_release() -> None:
    shared = {"node_groups": "shared", "headroom_mode": "always", "blue": {"node_release_version": "1.33.4-20260801"}}
    with pytest.raises(SettingsError, match=r"green\.node_release_version: must be 1\.33\.4-20260801, as for blue"):
        service_settings(**shared)
    assert service_settings(**shared, green={"node_release_version": "1.33.4-20260801"}).shares_nodes


def test_a_drain_longer_than_a_node_group_waits_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"max_stream_seconds: must be at most 859 with .* \(got 870\)"):
        settings(max_stream_seconds=870)


@pytest.mark.parametrize("text", ["2026-11-22T08:00:00Z", "2026-11-22t08:00:00z", "2026-11-22T10:00:00+02:00"])
def test_a_time_is_read_as_a_moment_and_its_tag_is_in_utc(text: str) -> None:
    service = service_settings(keep_until=text)
    assert service.keep_until == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert service.traffic.tags()[KEEP_UNTIL_KEY] == "2026-11-22T08:00:00Z"
    assert service.model_dump(mode="json")["keep_until"] == "2026-11-22T08:00:00Z"


def test_without_a_keep_warm_window_the_tag_is_empty() -> None:
    for service in (service_settings(), service_settings(keep_until="")):
        assert service.keep_until is None
        assert service.traffic.tags()[KEEP_UNTIL_KEY] == ""
        assert service.model_dump(mode="json")["keep_until"] == ""


def test_keep_until_needs_a_time_zone() -> None:
    with pytest.raises(SettingsError, match="must have a time zone"):
        settings(keep_until="2026-11-22T08:00:00")


@pytest.mark.parametrize("name", ["chat-blue", "chat-green", "chat-green-x"])
def test_a_service_cannot_be_named_like_a_pool_of_another(name: str) -> None:
    message = rf"services\.{name}: must not begin with chat-(blue|green), the name of a pool of the service chat"
    with pytest.raises(SettingsError, match=message):
        settings(blue=None, green=None, services={"chat": {}, name: {}})


@pytest.mark.parametrize("name", ["chat-bluegreen", "chat-blues", "chatter-blue", "blue", "green-chat"])
def test_a_service_may_be_named_after_a_colour_that_is_no_pool(name: str) -> None:
    assert set(settings(blue=None, green=None, services={"chat": {}, name: {}}).services) == {"chat", name}


def test_two_services_cannot_share_a_namespace() -> None:
    with pytest.raises(
        SettingsError, match=r"vllm-blue-green:namespace: must be different for the services chat and code"
    ):
        settings(namespace="models", blue=None, green=None, services={"chat": {}, "code": {}})


def test_a_service_name_leaves_room_for_what_aws_adds() -> None:
    assert settings(service_name="a" * 18)
    with pytest.raises(SettingsError, match="vllm-blue-green:service_name: must be a service's name"):
        settings(service_name="a" * 19)


def test_a_candidate_is_provisioned_before_it_serves() -> None:
    provisioned = service_settings(green={"replicas": 2, "provisioned": True, "parked": True})
    assert provisioned.pools["green"] == PoolSize(min_nodes=0, desired_nodes=2, max_nodes=2)
    assert not provisioned.green.serves
    released = service_settings(green={"replicas": 2, "provisioned": False, "parked": True, "release": release()})
    assert released.pools["green"].desired_nodes == 0


def test_the_only_service_needs_no_name_and_others_do() -> None:
    assert settings().service()[0] == settings().service("llm")[0] == "llm"
    two = settings(blue=None, green=None, services={"chat": {}, "code": {}})
    assert two.service("code")[0] == "code"
    with pytest.raises(SettingsError, match=r"must be named, since this stack has several \(chat, code\)"):
        two.service()


def test_values_may_be_json_as_pulumi_hands_objects_over() -> None:
    flat = {
        key: value if key.endswith(("_name", "_id", "_type", "_secret")) else json.dumps(json.loads(value), indent=2)
        for key, value in config().items()
    }
    assert Settings.from_config(flat) == settings()


def test_numbers_and_truths_may_be_texts_as_pulumi_config_set_writes_them() -> None:
    gates = {"ttft_p95": {"limit_seconds": "2.5", "dry_run": "true"}, "manual": {"at_percents": ["100"]}}
    steps = [{"candidate_percent": "100", "hold_seconds": "1e2"}]
    service = service_settings(
        protect="false", green={"replicas": "3", "provisioned": "true"}, rollout={"steps": steps, "gates": gates}
    )
    assert (service.green.replicas, service.green.provisioned) == (3, True)
    assert service.rollout.gates.ttft_p95.limit_seconds == 2.5
    assert service.rollout.gates.ttft_p95.dry_run
    assert service.rollout.gates.manual.at_percents == (100,)
    assert (service.rollout.steps[0].candidate_percent, service.rollout.steps[0].hold_seconds) == (100, 100.0)


@pytest.mark.parametrize(
    "text",
    [
        "2,5",
        " 2",
        "2 ",
        "+2",
        "02",
        "0x2",
        "1_0",
        "２",
        "2.",
        ".5",
        "1e",
        "inf",
        "Infinity",
        "NaN",
        "nan",
        "true",
        "",
        "1e999",
    ],
)
def test_what_is_no_json_number_stays_a_text_and_is_refused(text: str) -> None:
    (line,) = violations(rollout={"gates": {"ttft_p95": {"limit_seconds": text}}})
    assert line.startswith("rollout.gates.ttft_p95.limit_seconds: must be a number above 0")


@pytest.mark.parametrize("text", ["yes", "True", "TRUE", "on", "1", "0", "", " true"])
def test_only_true_and_false_are_truths(text: str) -> None:
    (line,) = violations(rollout={"gates": {"ttft_p95": {"dry_run": text}}})
    assert line.startswith("rollout.gates.ttft_p95.dry_run: must be true or false")


def test_a_text_that_looks_like_a_number_stays_a_text_where_a_text_is_wanted() -> None:
    blue = {"release": release(model_revision="1234567", prompts={"a.txt": "true", "b.txt": "1.50"})}
    read = service_settings(blue=blue).blue.release
    assert read is not None
    assert (read.model_revision, read.prompts) == ("1234567", {"a.txt": "true", "b.txt": "1.50"})


def _models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for one in base.__subclasses__():
        yield from ([one] if one.__module__.startswith("components.config.") else [])
        yield from _models(one)


@pytest.mark.parametrize("model", sorted(set(_models()), key=str))
def test_a_model_takes_no_unknown_key_and_converts_no_value(model: type[BaseModel]) -> None:
    kinds = {name: {field.annotation, *get_args(field.annotation)} for name, field in model.model_fields.items()}
    converted = {name: "1" for name, kind in kinds.items() if kind & {int, float, bool}}
    with pytest.raises(ValidationError) as raised:
        model.model_validate({"unknown": 1, **converted})
    assert {one["loc"][0] for one in raised.value.errors()} >= {"unknown", *converted}


ARN = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


def violations(extra: dict[str, str] | None = None, **changes: Any) -> list[str]:
    """Return the lines of the one error for this config, without their common prefix."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_config({**config(**changes), **(extra or {})})
    return [line.removeprefix("  - ").removeprefix("vllm-blue-green:") for line in str(raised.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"active_color": "gren"}, 'active_color: must be blue or green (got "gren"). Did you mean green?'),
        (
            {"active_color": "gr\u0435en"},
            'active_color: must be blue or green (got "gr\u0435en", with U+0435 CYRILLIC SMALL LETTER IE). '
            "Did you mean green?",
        ),
        ({"green_weight": " 25"}, 'green_weight: must be a whole number from 0 to 100, e.g. 25 (got " 25").'),
        ({"green_weight": 25.0}, "green_weight: must be a whole number from 0 to 100, e.g. 25 (got 25.0)."),
        ({"green_weight": [25]}, "green_weight: must be a whole number from 0 to 100, e.g. 25 (got [25])."),
        ({"protect": "yes"}, 'protect: must be true or false (got "yes").'),
        ({"spare_nodes": 10**30}, f"spare_nodes: must be a whole number from 0 to 100, e.g. 0 (got {10**30})."),
        (
            {"instance_type": "m5.large"},
            'instance_type: must be an EC2 instance type with whole NVIDIA GPUs, e.g. g6e.2xlarge (got "m5.large"). '
            "Its nodes have no NVIDIA GPU. "
            "Families: g5, g6, gr6, g6e, g7, g7e, p4d, p4de, p5, p5e, p5en, p6-b200, p6-b300.",
        ),
        (
            {"gpus_per_replica": 4},
            "gpus_per_replica: must be at most 1: a g6e.2xlarge node has no more GPUs for one replica (got 4). "
            "A replica never spans nodes (LeaderWorkerSet is not supported). "
            "Choose g6e.12xlarge, g6e.24xlarge or g6e.48xlarge, or a smaller replica.",
        ),
        (
            {"gpus_per_replica": 16},
            "gpus_per_replica: must be at most 1: a g6e.2xlarge node has no more GPUs for one replica (got 16). "
            "A replica never spans nodes (LeaderWorkerSet is not supported). No known type fits such a replica.",
        ),
        (
            {"replica_millicpus": 191_000},
            "replica_millicpus: must be at most 7610: a g6e.2xlarge node has no more millicpus for one replica "
            "(got 191000). Choose g6e.48xlarge, or a smaller replica.",
        ),
        (
            {"green": {"release": {key: value for key, value in release().items() if key != "model"}}},
            "green.release.model: is required but not set. Set it to a model repository or path, e.g. "
            "Qwen/Qwen2.5-7B-Instruct. Model repository, path, or s3://, gs:// or az:// path that vLLM serves.",
        ),
        ({"green": [2]}, "green: must be an object with the keys release, replicas, parked, provisioned"),
        ({"candidate_route_secrt": "x"}, "secrt: is not a known key. Did you mean candidate_route_secret?"),
        ({"active-color": "blue"}, "active-color: is not a known key. Did you mean active_color?"),
        ({"Green_Weight": 25}, "Green_Weight: is not a known key. Did you mean green_weight?"),
        ({"replicas": 3}, "replicas: is not a known key here. It belongs to blue or green."),
        ({"repicas": 3}, "repicas: is not a known key. Did you mean replicas, which belongs to blue or green?"),
        ({"pods": {"env": {}}}, "pods.env: is not a known key here. It belongs to blue.release or green.release."),
        (
            {"gpu_memory_utilization": 0.9},
            "is not a known key. It is an argument of vLLM: write --gpu-memory-utilization into engine_args of a ",
        ),
        ({"maxModelLen": 8192}, "write --max-model-len into engine_args of a release."),
        ({"tensorParallelSize": 2}, "tensorParallelSize: is not a known key. Set gpus_per_replica."),
        ({"zzz": 2}, "zzz: is not a known key. docs/config.md has all keys."),
        (
            {"blue": {"replicas": 2, "release": release(lora_adapters={"llm": "/adapters/llm"})}},
            "blue.release.lora_adapters.llm: must have another name than the model that clients request.",
        ),
        (
            {"rollout": {"gates": {"eval": {"command": ["sh", "-c", "x\0y"]}}}},
            "gates.eval.command[2]: must have no null character",
        ),
        (
            {"rollout": {"gates": {"eval": {"command": ["", "x"]}}}},
            'gates.eval.command[0]: must be the name of a program (got "")',
        ),
        (
            {"rollout": {"gates": {"eval": {"command": ["x"], "score_file": "/tmp/*.json"}}}},
            "gates.eval.score_file: must be a path in the command's folder, e.g. **/results_*.json (got "
            '"/tmp/*.json"). Write it relative to {folder}.',
        ),
        (
            {"rollout": {"gates": {"eval": {"command": ["x"], "score_file": "../*.json"}}}},
            "gates.eval.score_file: must be a path in the command's folder, e.g. **/results_*.json (got "
            '"../*.json"). Write it relative to {folder}.',
        ),
        (
            {"rollout": {"gates": {"eval": {"command": ["x"], "score_file": "{folder}/*.json"}}}},
            "gates.eval.score_file: must be a path in the command's folder, e.g. **/results_*.json (got "
            '"{folder}/*.json"). Write it relative to {folder}.',
        ),
        (
            {"rollout": {"gates": {"eval": {"command": ["x"], "score_file": "**.json"}}}},
            "gates.eval.score_file: must be a path in the command's folder, e.g. **/results_*.json (got "
            '"**.json"). Write * there',
        ),
        (
            {"rollout": {"hooks": {"after_promotion": ["curl -X POST 'a b'"]}}},
            "rollout.hooks.after_promotion[0]: must be the name of a program: each word of a command is an element of "
            'its own (got "curl -X POST \'a b\'"). Write ["curl", "-X", "POST", "a b"].',
        ),
        (
            {"rollout": {"gates": {"eval": {"command": ["python evaluate.py"]}}}},
            "gates.eval.command[0]: must be the name of a program: each word of a command is an element of its own "
            '(got "python evaluate.py"). Write ["python", "evaluate.py"].',
        ),
        (
            {"rollout": {"prometheus_url": "https://mimir/prometheus/api/v1/query"}},
            "Write https://mimir/prometheus.",
        ),
        ({"cluster_name": "dev "}, '(got "dev "). Remove the spaces around it.'),
        (
            {"blue.replicas": 3},
            '["blue.replicas"]: is not a known key. Nest it: put replicas under blue, as '
            "`pulumi config set --path blue.replicas <value>` does.",
        ),
        ({"blue": '{"replicas": 1, "replicas": 2}'}, 'blue: has the key "replicas" twice. Remove one.'),
        ({"node_subnet_ids": ["subnet-1", "subnet-1"]}, "node_subnet_ids: must not name subnet-1 more than once"),
        (
            {"load_balancer_subnet_ids": ["subnet-1", "subnet-2", "subnet-1"]},
            "load_balancer_subnet_ids: must not name subnet-1 more than once",
        ),
        ({"client_cidrs": ["10.1.2.3/8"]}, '(got "10.1.2.3/8"). Did you mean 10.0.0.0/8?'),
        ({"keep_until": "2026-13-40"}, "keep_until: must be an RFC 3339 time, e.g. 2026-11-22T08:00:00Z"),
        ({"max_step_points": 0}, "max_step_points: must be a whole number from 1 to 100, e.g. 50 (got 0)."),
        ({"max_step_points": 101}, "max_step_points: must be a whole number from 1 to 100, e.g. 50 (got 101)."),
        ({"announced": "larger nodes"}, 'announced: must be a serial and a reason: "<serial> <reason>", e.g. '),
        ({"endpoint_url": "llm:8000"}, "Begin it with https:// or http://."),
        ({"endpoint_url": "https://llm/v1"}, "Remove the path"),
        (
            {"certificate_arn": "arn:aws:iam::1:cert"},
            "certificate_arn: must be the ARN of an ACM certificate, e.g. arn:",
        ),
        ({"namespace": "kube-system"}, "That namespace belongs to the cluster"),
        (
            {"rollout": {"steps": [{"candidate_percent": 50, "hold_seconds": 1}]}},
            "rollout.steps: must have candidate_percent rise from step to step and end at 100 (got [50]).",
        ),
        ({"rollout": {"poll_second": 1}}, "rollout.poll_second: is not a known key. Did you mean poll_seconds?"),
        ({"rollout": '{"soak_seconds": NaN}'}, "rollout.soak_seconds: must be a number from 0 to 31536000"),
        (
            {"blue": {"release": release(sampling={"top_p": float("nan")})}},
            "blue.release.sampling.top_p: must be a number above 0 and at most 1 (got NaN).",
        ),
        ({"max_stream_seconds": 860}, "max_stream_seconds: must be at most 859 with deregistration_propagation_"),
        (
            {"deregistration_propagation_seconds": 889},
            "deregistration_propagation_seconds: must be at most 888: EKS ends a node 15 minutes after its drain "
            "begins (got 889).",
        ),
        (
            {"rollout": {"gates": {"eval": {"max_drop_points": None}}}},
            "rollout.gates.eval.max_drop_points: must not be null when minimum_score_percent is not set",
        ),
        (
            {"rollout": {"gates": {"eval": {"command": ["lm_eval"], "suite": "a.jsonl"}}}},
            "rollout.gates.eval.suite: must not be set with command",
        ),
        (
            {"rollout": {"gates": {"eval": {"score_file": "a.json"}}}},
            "rollout.gates.eval.score_file: needs a command that writes it",
        ),
        (
            {"rollout": {"gates": {"manual": {"at_percents": [30]}}}},
            "rollout.gates.manual.at_percents: must be the candidate_percent of steps (1, 25, 75, 100) (got 30).",
        ),
        (
            {"blue": {"release": release(engine_args=["--allowed-media-domains", "a\x07"])}},
            "engine_args[1]: must be text of printable",
        ),
        ({"blue": {"release": release(prompts={"x y": ""})}}, '["x y"]: must be a file name'),
        ({"blue": {"release": release(lora_adapters={"x y": "org/a"})}}, '["x y"]: must be an adapter\'s name'),
        ({"blue": {"release": release(lora_adapters={"x": "-"})}}, "lora_adapters.x: must be an absolute path"),
        ({"pods": {"pod_monitor_labels": {"/": "a"}}}, "pods.pod_monitor_labels./: must be the name of a Kubernetes"),
        (
            {"services": []},
            'must be an object of names and values, e.g. {"chat": {"instance_type": "g6e.2xlarge"}} (got []).',
        ),
        (
            {"node_subnet_ids": "subnet-0a"},
            'node_subnet_ids: must be a list of at least 1, e.g. ["subnet-0a1b2c3d4e5f60718"] (got "subnet-0a").',
        ),
        (
            {"blue": {"release": release(engine_args="--max-model-len=8192")}},
            'engine_args: must be a list, e.g. ["--max-model-len=8192"] (got "--max-model-len=8192").',
        ),
        ({"replica_memory_mib": "48Gi"}, '(got "48Gi"). Write 49152: 48Gi in MiB.'),
        ({"rollout": {"keep_warm_seconds": "24h"}}, '(got "24h"). Write 86400: 24h in seconds.'),
        (
            {"replica_memory_mib": 4000},
            "replica_memory_mib: must be at least 4096 for blue: 1024 for 1 API server + 3072 for 1 GPU worker = "
            "4096 MiB (got 4000). Leave it out, and the program sets it.",
        ),
        (
            {"blue": {"release": release(model="s3://bucket/llm")}, "shared_memory_gib": 20},
            "Or declare weights_gib: without it, the loader counts as if the weights filled the GPUs. Or set replica_",
        ),
        (
            {"blue": {"release": release(engine_args=["--cpu-offload-gb=64"])}},
            "blue.release: needs more memory than the 59115 MiB of a g6e.2xlarge node: 1024 for 1 API server + 3072 "
            "for 1 GPU worker + 65536 for --cpu-offload-gb on each GPU + 8192 for /dev/shm = 77824 MiB. Choose g6e.4x",
        ),
        (
            {"pods": {"memory_limit_mib": 12000}},
            "must be at least 12288 for blue: 1024 for 1 API server + 3072 for 1 GPU worker + 8192 for /dev/shm = ",
        ),
        ({"replica_millicpus": 6}, "(got 6). Write 6000 for 6 CPUs: the unit is thousandths of a CPU."),
        ({"replica_millicpus": 1.5}, "(got 1.5). Write 1500 for 1.5 CPUs: the unit is thousandths of a CPU."),
        ({"replica_millicpus": -1}, "(got -1)."),
        ({"replica_millicpus": "500m"}, '(got "500m"). Write 500: 500m in thousandths of a CPU.'),
        (
            {"vpc_id": "subnet-0a"},
            'vpc_id: must be a VPC\'s id, e.g. vpc-0a1b2c3d4e5f60718 (got "subnet-0a"). That is a',
        ),
        ({"node_subnet_ids": ["subnet-0xyz"]}, "After subnet- come digits and letters from a to f only."),
        ({"vpc_id": "arn:aws:ec2:us-east-1:123456789012:vpc/vpc-0a"}, "Write the id alone: the end of the ARN"),
    ],
)
def test_a_violation_names_path_problem_value_and_fix(changes: dict[str, Any], message: str) -> None:
    (line,) = violations(**changes)
    assert message in line


def test_the_longest_drain_that_fits_is_accepted() -> None:
    assert service_settings(max_stream_seconds=859).drain_chain.grace_period_seconds == 899
    assert service_settings(max_stream_seconds=1, deregistration_propagation_seconds=888).drain_chain


def test_a_long_value_is_cut_and_stays_on_one_line() -> None:
    (line,) = violations(endpoint_url="a\n\u200b" * 1000)
    assert "… 9002 characters" in line
    assert "a\\n\\u200ba" in line
    assert len(line) < 300


def test_a_misspelt_project_is_reported_with_the_intended_key() -> None:
    for key in ("vllm-bluegreen:active_color", "VLLM_blue_green:active-color", "vllm:active_color"):
        assert violations({key: "blue"}) == [
            f"{key}: is not a key of this project. Did you mean vllm-blue-green:active_color?"
        ]


def test_a_key_that_is_set_with_and_without_the_projects_name_is_set_twice() -> None:
    assert violations({"vpc_id": "vpc-0b"}) == [
        "vpc_id: is set twice, with and without the project's name. Remove one."
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"announced": "7 hf_preciouspreciousprecious"},
        {"blue": {"release": release(prompts={"a": "sk-preciouspreciousprecious"})}},
        {"rollout": {"prometheus_url": "https://me:precious@prometheus.internal"}},
        {"endpoint_url": "https://me:precious@llm"},
        {"blue": {"release": release(engine_args=["--hf-token", "preciouspreciousprecious"])}},
        {"blue": {"release": release(sampling={"AKIAPRECIOUSPRECIOUS": 1})}},
        {"nodes": {"user_data": f"#!/bin/sh\nexport AWS_SECRET_ACCESS_KEY={'precious' * 5}"}},
    ],
)
def test_a_secret_in_plain_config_is_refused_and_never_shown(changes: dict[str, Any]) -> None:
    message = "\n".join(violations(**changes))
    assert re.search("in plain text|plain config", message)
    assert "precious" not in message.lower()


def test_the_certificate_is_of_the_load_balancers_region() -> None:
    assert Settings.from_config({**config(certificate_arn=ARN), "aws:region": "us-east-1"}).certificate_arn == ARN
    (line,) = violations({"aws:region": "eu-central-1"}, certificate_arn=ARN)
    assert line.startswith("certificate_arn: must be in the load balancer's region, aws:region eu-central-1 (got ")


def test_the_key_of_volumes_and_the_group_of_reservations_are_of_the_stacks_region() -> None:
    key = f"arn:aws:kms:eu-central-1:123456789012:key/{ARN.rpartition('/')[2]}"
    (line,) = violations({"aws:region": "us-east-1"}, nodes={"volume_kms_key_arn": key})
    assert line.startswith("nodes.volume_kms_key_arn: must be in the stack's region, aws:region us-east-1 (got ")
    reservation = {
        "kind": "on_demand",
        "resource_group_arn": "arn:aws:resource-groups:eu-central-1:123456789012:group/gpus",
        "ends": "2099-01-01T00:00:00Z",
    }
    green = {"replicas": 2, "reservation": reservation}
    (line,) = violations({"aws:region": "us-east-1"}, headroom_mode="reserved", green=green)
    assert line.startswith("green.reservation.resource_group_arn: must be in the stack's region")


@pytest.mark.parametrize(
    ("region", "hint"),
    [
        ("us-east", "Did you mean us-east-1?"),
        ("US East 1", "Did you mean us-east-1?"),
        ("us-east-1a", "That is a zone; its region is us-east-1."),
        ("arn:aws", ""),
    ],
)
def test_a_malformed_region_is_refused_by_its_form(region: str, hint: str) -> None:
    expected = f'aws:region: must be an AWS region, e.g. eu-central-1 (got "{region}").'
    assert violations({"aws:region": region}, certificate_arn=ARN) == [f"{expected} {hint}".rstrip()]


def test_a_flat_key_that_every_service_sets_anew_is_checked_all_the_same() -> None:
    services = {"chat": {"green_weight": 0}, "code": {"green_weight": 0}}
    (line,) = violations(blue=None, green=None, green_weight=101, services=services)
    assert line.startswith("green_weight: must be a whole number from 0 to 100")


def test_an_empty_value_of_a_service_means_not_set_as_for_flat_keys() -> None:
    services = {"chat": {"namespace": ""}}
    assert settings(blue=None, green=None, namespace="models", services=services).services["chat"].namespace is None


def test_a_violation_in_several_services_is_reported_once() -> None:
    assert len(violations(blue=None, green=None, green_weight=101, services={"chat": {}, "code": {}})) == 1


@pytest.mark.parametrize("groups", ["3", "8"])
def test_decoding_groups_divide_a_replicas_gpus(groups: str) -> None:
    blue = {"replicas": 1, "release": release(engine_args=["--seed=1", f"-dcp={groups}"])}
    with pytest.raises(SettingsError, match=r"blue\.release\.engine_args\[1\]: --decode-.* must divide .* 4 \(got"):
        settings(blue=blue, instance_type="g6e.12xlarge", gpus_per_replica=4)


@pytest.mark.parametrize("groups", ["1", "2", "4"])
def test_other_decoding_groups_are_accepted(groups: str) -> None:
    blue = {"replicas": 1, "release": release(engine_args=[f"-dcp={groups}"])}
    assert settings(blue=blue, instance_type="g6e.12xlarge", gpus_per_replica=4)
