"""The typed settings: one reader, and one error that lists all that is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.capacity import PoolSize
from components.settings import Settings, SettingsError
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
    stack = settings(cluster_name="123", service_name="true", announced="7")
    assert stack.cluster_name == "123"
    assert stack.service()[0] == "true"
    assert stack.service()[1].announced == "7"


def test_keys_of_other_projects_are_left_alone() -> None:
    assert Settings.from_config({**config(), "aws:region": "us-east-1"}) == settings()


def test_the_secret_stays_out_of_the_settings() -> None:
    assert SECRET not in repr(settings())


@given(st.integers(0, 100))
def test_the_weights_of_both_colours_are_always_a_hundred(green_weight: int) -> None:
    service = service_settings(green_weight=green_weight, green={"release": release()})
    assert service.weight("green") == green_weight
    assert service.weight("blue") + service.weight("green") == 100


def test_all_faults_are_listed_at_once_with_field_value_and_fix() -> None:
    with pytest.raises(SettingsError) as raised:
        settings(vpc_id=None, green_weigth=25, green_weight=101, blue={"replica": 2}, client_cidrs=[])
    lines = str(raised.value).splitlines()
    assert lines[0] == "The stack config is not right:"
    assert sorted(lines[1:]) == [
        "  - vllm-blue-green:blue.replica: unknown key; did you mean replicas?",
        "  - vllm-blue-green:client_cidrs: Tuple should have at least 1 item after validation, not 0 (got [])",
        "  - vllm-blue-green:green_weight: Input should be less than or equal to 100 (got 101)",
        "  - vllm-blue-green:green_weigth: unknown key; did you mean green_weight?",
        "  - vllm-blue-green:vpc_id: is required but not set",
    ]


def test_a_service_without_settings_is_a_fault_like_any_other() -> None:
    with pytest.raises(SettingsError, match=r"vllm-blue-green:services\.chat: Input should be a valid dictionary"):
        settings(services={"chat": None})


def test_a_fault_among_several_services_names_the_service() -> None:
    with pytest.raises(SettingsError, match=r"vllm-blue-green:services\.code\.green_weight: .* \(got 101\)"):
        settings(blue=None, green=None, services={"chat": {}, "code": {"green_weight": 101}})


@pytest.mark.parametrize("weight", ["25.5", "true", '"25"', "half"])
def test_a_weight_that_is_not_a_whole_number_is_refused(weight: str) -> None:
    with pytest.raises(SettingsError, match=r"vllm-blue-green:green_weight: Input should be a valid integer"):
        settings(green_weight=weight)


def test_a_colour_with_weight_cannot_be_parked() -> None:
    with pytest.raises(SettingsError, match="blue is parked but has weight 75: move green_weight off it"):
        settings(green_weight=25, blue={"release": release(), "parked": True}, green={"release": release()})


def test_no_weight_goes_to_a_colour_without_a_release() -> None:
    with pytest.raises(SettingsError, match="green has weight 25 but no release: set green_weight to 0"):
        settings(green_weight=25)


def test_an_unused_service_may_have_any_weight() -> None:
    assert service_settings(blue={}, green={}, green_weight=0).weight("blue") == 100


def test_replicas_need_nodes() -> None:
    with pytest.raises(SettingsError, match="replicas run but provisioned is false; park the colour first"):
        settings(green={"release": release(), "provisioned": False})


def test_a_replica_that_fits_no_node_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"asks for 2 GPUs, but a g6e\.2xlarge node offers 1"):
        settings(gpus_per_replica=2)


def test_a_drain_longer_than_a_node_group_waits_is_refused() -> None:
    with pytest.raises(SettingsError, match="grace period of 910 s"):
        settings(max_stream_seconds=870)


def test_keep_until_needs_a_time_zone() -> None:
    assert service_settings(keep_until="2026-11-22T08:00:00Z").keep_until
    with pytest.raises(SettingsError, match="must carry a time zone"):
        settings(keep_until="2026-11-22T08:00:00")


def test_two_services_cannot_share_a_namespace() -> None:
    with pytest.raises(SettingsError, match="services chat and code both want the namespace models"):
        settings(namespace="models", blue=None, green=None, services={"chat": {}, "code": {}})


def test_a_service_name_leaves_room_for_what_aws_adds() -> None:
    assert settings(service_name="a" * 18)
    with pytest.raises(SettingsError, match="vllm-blue-green:service_name: String should match pattern"):
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
    with pytest.raises(SettingsError, match=r"None is not one of this stack's services \(chat, code\)"):
        two.service()


def test_values_may_be_json_as_pulumi_hands_objects_over() -> None:
    flat = {
        key: value if key.endswith(("_name", "_id", "_type", "_secret")) else json.dumps(json.loads(value), indent=2)
        for key, value in config().items()
    }
    assert Settings.from_config(flat) == settings()
