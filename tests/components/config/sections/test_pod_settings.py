"""What pods need besides a release: references to secrets, never their values, and names that Kubernetes accepts."""

from typing import Any

import pytest

from components.config.sections.pod_settings import access_warning, volumes_warning
from components.config.settings import SettingsError
from tests.components.example import service_settings, settings

KEYS = {"name": "vllm-keys", "key": "api-key"}


def test_without_any_the_pods_have_no_secrets_and_caches_of_their_own() -> None:
    pods = service_settings().pods
    assert (pods.api_key_secret, pods.hub_token_secret) == (None, None)
    assert (pods.model_cache_claim, pods.compile_cache_claim) == (None, None)
    assert pods.pod_monitor is False


@pytest.mark.parametrize("value", ["sk-abcdefghijklmnopqrstuvwxyz", "a-plain-key", {"value": "a-plain-key"}])
def test_a_key_in_the_place_of_its_reference_is_refused_with_the_field(value: Any) -> None:
    with pytest.raises(SettingsError, match=r"vllm-blue-green:pods\.api_key_secret") as raised:
        settings(pods={"api_key_secret": value})
    assert "abcdefghijkl" not in str(raised.value)
    assert "plain-key" not in str(raised.value)


def test_a_reference_needs_both_its_parts() -> None:
    with pytest.raises(
        SettingsError, match=r"pods\.hub_token_secret\.key: is required but not set\. Set it to a key of"
    ):
        settings(pods={"hub_token_secret": {"name": "hub"}})


@pytest.mark.parametrize(
    ("pods", "message"),
    [
        ({"api_key_secret": {**KEYS, "name": "Keys"}}, r"pods\.api_key_secret\.name: must be the name of a Kubernetes"),
        ({"api_key_secret": {**KEYS, "key": ".."}}, r"pods\.api_key_secret\.key: must be a key of a Kubernetes Secret"),
        ({"model_cache_claim": "a" * 254}, r"pods\.model_cache_claim: must be the name of a Kubernetes object"),
        ({"monitoring_namespace": "mon.itoring"}, r"pods\.monitoring_namespace: must be a Kubernetes namespace"),
        ({"ingress_cidrs": []}, r"pods\.ingress_cidrs: must be a list of at least 1"),
        ({"ingress_cidrs": ["10.0.0.0/8"] * 2}, r"pods\.ingress_cidrs: must not name 10\.0\.0\.0/8 more than once"),
        (
            {"ingress_cidrs": ["10.0.0.1/8"]},
            r"pods\.ingress_cidrs\[0\]: must be a network .* Did you mean 10\.0\.0\.0/8",
        ),
        ({"pod_monitor_labels": {"release": "a b"}}, r"pods\.pod_monitor_labels\.release: must be the value of"),
        ({"service_account_name": "Models"}, r"pods\.service_account_name: must be the name of a Kubernetes object"),
        ({"image_pull_secrets": ["a b"]}, r"pods\.image_pull_secrets\[0\]: must be the name of a Kubernetes object"),
        ({"priority_class_name": ""}, r"pods\.priority_class_name: must be the name of a Kubernetes object"),
        ({"memory_limit_mib": 1000}, r"pods\.memory_limit_mib: must be at least 12288 for blue: 1024 for 1 API"),
        (
            {"volumes": [{"mount_path": "/a"}]},
            r"pods\.volumes\[0\]: must have exactly one of claim, .* \(got none\)",
        ),
        (
            {"volumes": [{"claim": "a", "secret": "b", "mount_path": "/a"}]},
            r"pods\.volumes\[0\]: must have exactly one of .* \(got claim, secret\)",
        ),
        (
            {"volumes": [{"claim": "a", "host_path": "/", "mount_path": "/a"}]},
            r"volumes\[0\]\.host_path: is not a known",
        ),
        ({"volumes": [{"claim": "a", "mount_path": "adapters"}]}, r"mount_path: must be an absolute path"),
        ({"volumes": [{"claim": "a", "mount_path": "/a/../etc"}]}, r"mount_path: must be an absolute path"),
        ({"volumes": [{"claim": "a", "mount_path": "/etc/vllm"}]}, r"mount_path: must not overlap /etc/vllm/prompts"),
        ({"volumes": [{"claim": "a", "mount_path": "/var/cache/models/x"}]}, r"must not overlap /var/cache/models"),
        ({"volumes": [{"claim": "a", "mount_path": "/usr/lib"}]}, r"must not overlap /usr, which the pods need"),
        (
            {"volumes": [{"claim": "a", "mount_path": "/a"}, {"claim": "b", "mount_path": "/a/b"}]},
            r"pods\.volumes\[1\]\.mount_path: must not overlap /a, where another volume is",
        ),
        ({"scrape_interval_seconds": 0}, r"pods\.scrape_interval_seconds: must be a whole number from 1 to 300"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_at_once(pods: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(pods=pods)


def test_monitoring_may_be_where_the_cluster_keeps_its_own() -> None:
    assert service_settings(pods={"monitoring_namespace": "kube-system"}).pods.monitoring_namespace == "kube-system"


def test_volumes_may_be_beside_each_other() -> None:
    volumes = [{"claim": "a", "mount_path": "/a"}, {"secret": "b", "mount_path": "/ab"}]
    assert [one.mount_path for one in service_settings(pods={"volumes": volumes}).pods.volumes] == ["/a", "/ab"]


VOLUMES = {"volumes": [{"claim": "adapters", "mount_path": "/adapters"}]}


@pytest.mark.parametrize(
    ("pods", "path"),
    [
        (VOLUMES, "/adapters/sql"),
        (VOLUMES, "/adapters"),
        ({"model_cache_claim": "models"}, "/var/cache/models/sql"),
    ],
)
def test_a_path_on_a_volume_is_no_warning(pods: dict[str, Any], path: str) -> None:
    assert volumes_warning({"lora_adapters.sql": path}, service_settings(pods=pods).pods) is None


@pytest.mark.parametrize(
    ("pods", "where"),
    [
        ({}, "the pods have none"),
        (VOLUMES, "they are mounted at /adapters"),
        ({**VOLUMES, "model_cache_claim": "models"}, "they are mounted at /adapters, /var/cache/models"),
    ],
)
def test_a_path_on_no_volume_is_a_warning_with_the_volumes(pods: dict[str, Any], where: str) -> None:
    paths = {"model": "/mnt/llama", "lora_adapters.sql": "/adapters-2/sql"}
    warning = volumes_warning(paths, service_settings(pods=pods).pods)
    assert warning is not None
    assert warning.startswith(f"no volume holds model /mnt/llama, lora_adapters.sql /adapters-2/sql: {where}. ")


@pytest.mark.parametrize(
    ("model", "account", "warns"), [("s3://b/m", None, True), ("s3://b/m", "models", False), ("org/m", None, False)]
)
def test_a_model_in_s3_needs_access(model: str, account: str | None, warns: bool) -> None:
    warning = access_warning(model, account)
    assert (warning is not None) is warns
    assert warning is None or "pods.service_account_name" in warning
