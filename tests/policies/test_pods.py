"""The reader of pods."""

from decimal import Decimal
from typing import Any

import pytest

from components.domain.capacity.capacity import ReplicaShape
from components.domain.naming import COLOR_KEY
from policies.pods import Pods, is_vllm, quantity, share_namespace
from policies.resources import Resource

_GPU = {"limits": {"nvidia.com/gpu": 1}}


def _deployment(*containers: dict[str, Any], **spec: Any) -> Resource:
    return _resource({"spec": {"template": {"spec": {"containers": list(containers), **spec}}}})


def _resource(props: dict[str, Any], type_: str = "kubernetes:apps/v1:Deployment") -> Resource:
    return Resource(type=type_, name="llm", urn="urn", props=props)


def _pods(**container: Any) -> Pods:
    return Pods(_deployment({"name": "vllm", **container}))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3000m", 3),
        ("12Gi", 12 * 1024**3),
        ("1.5Ki", 1536),
        ("2k", 2000),
        ("1e3", 1000),
        ("1E", 10**18),
        ("1Ei", 1024**6),
        ("5u", Decimal("0.000005")),
        ("7n", Decimal("0.000000007")),
        (".5", Decimal("0.5")),
        ("2.", 2),
        (4.0, 4),
        ("4 Gi", None),
        ("K", None),
        ("4K", None),
        ("NaN", None),
        (None, None),
        (True, None),
    ],
)
def test_a_quantity_is_read_as_kubernetes_does(text: Any, number: int | Decimal | None) -> None:
    assert quantity(text) == number


def test_arguments_are_read_in_every_form() -> None:
    args = [
        "org/model",
        "--port",
        "8000",
        "--seed=-1",
        "--no-x",
        "--max_model_len",
        "-1",
        "--revision=a",
        "--revision=b",
    ]
    assert _pods(command=["vllm", "serve"], args=args).arguments == {
        "--port": "8000",
        "--seed": "-1",
        "--no-x": "",
        "--max-model-len": "-1",
        "--revision": "b",
    }


def test_an_argument_may_name_a_variable() -> None:
    env = [{"name": "REVISION", "value": "c0ffee0"}, {"name": "KEY", "valueFrom": {}}]
    pods = _pods(args=["--revision=$(REVISION)", "--api-key=$(KEY)", "--seed=$(NONE)"], env=env)
    assert pods.arguments == {"--revision": "c0ffee0", "--api-key": "$(KEY)", "--seed": "$(NONE)"}


@pytest.mark.parametrize(
    ("command", "args", "model"),
    [
        (["vllm", "serve"], ["org/model", "--port=1"], "org/model"),
        (["vllm", "serve", "--port=1"], ["--model", "org/model"], "org/model"),
        (["sh", "-c", "cd /tmp && exec vllm serve org/model"], None, "org/model"),
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], ["--model=org/model"], "org/model"),
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], [], None),
        (None, ["org/model", "--port=1"], "org/model"),
        (None, ["--model", "org/model"], "org/model"),
        (None, ["serve", "org/model"], "org/model"),
        (["vllm", "serve", "--port=1"], None, None),
        (["vllm", "serve"], None, None),
        (None, None, None),
    ],
)
def test_the_model_is_found_in_every_form(command: Any, args: Any, model: str | None) -> None:
    assert _pods(command=command, args=args).model == model


@pytest.mark.parametrize(
    ("hook", "seconds"),
    [
        ({"sleep": {"seconds": 30.0}}, 30),
        ({"exec": {"command": ["sleep", "15"]}}, 15),
        ({"exec": {"command": ["/opt/drain.sh"]}}, None),
        ({"httpGet": {"path": "/drain", "port": 8000}}, None),
        (None, None),
    ],
)
def test_how_long_a_pod_serves_on(hook: Any, seconds: int | None) -> None:
    assert _pods(lifecycle={"preStop": hook}).pre_stop_seconds == seconds


def test_missing_values_are_kubernetes_defaults() -> None:
    pods = _pods()
    assert (pods.replicas, pods.grace_period_seconds) == (1, 30)
    assert (pods.shutdown_timeout_seconds, pods.keep_alive_seconds) == (None, None)
    assert Pods(_resource({"spec": {"replicas": 0.0}})).replicas == 0


def test_what_is_no_number_counts_as_none() -> None:
    pods = Pods(_deployment(terminationGracePeriodSeconds="soon"))
    assert pods.grace_period_seconds == 0
    assert Pods(_resource({"spec": {"replicas": "some"}})).replicas == 0


def test_a_pods_shape_is_that_of_all_its_containers() -> None:
    server = {"name": "vllm", "resources": {"limits": {"nvidia.com/gpu": "2", "cpu": 4, "memory": "8Gi"}}}
    sidecar = {"name": "metrics", "resources": {"requests": {"cpu": "250m", "memory": "100Mi"}, "limits": {"cpu": "2"}}}
    assert Pods(_deployment(server, sidecar)).shape == ReplicaShape(gpus=2, millicpus=4250, memory_mib=8292)


def test_a_pods_shape_is_at_least_that_of_its_start() -> None:
    server = {"name": "vllm", "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "1", "memory": "1Gi"}}}
    stays = {"name": "proxy", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}}
    goes = {"name": "fetch", "resources": {"requests": {"cpu": "3", "memory": "1"}}}
    shape = Pods(_deployment(server, initContainers=[goes, stays, goes])).shape
    assert shape == ReplicaShape(gpus=1, millicpus=3500, memory_mib=1024)
    assert Pods(_deployment(server, initContainers=[stays])).shape == ReplicaShape(
        gpus=1, millicpus=1500, memory_mib=1024
    )


@pytest.mark.parametrize("place", ["containers", "initContainers"])
@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "cpu", "memory"])
def test_a_shape_that_cannot_be_read_is_none(place: str, resource: str) -> None:
    odd = {"name": "odd", "resources": {"requests": {resource: "many"}}}
    props = {"spec": {"template": {"spec": {place: [odd]}}}}
    assert Pods(_resource(props)).shape is None


def test_part_of_a_unit_is_a_whole_one() -> None:
    resources = {"limits": {"nvidia.com/gpu": 1}, "requests": {"cpu": "1100u", "memory": str(1024**2 + 1)}}
    assert _pods(resources=resources).shape == ReplicaShape(gpus=1, millicpus=2, memory_mib=2)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/etc/vllm/prompts", "prompts"),
        ("/etc/vllm/prompts/a.jinja", "prompts"),
        ("/etc/vllm/other", "files"),
        ("/etc/vllm", "files"),
        ("/etc/vllm2", None),
        ("relative", None),
    ],
)
def test_a_path_is_in_the_innermost_volume(path: str, name: str | None) -> None:
    mounts = [
        {"name": "files", "mountPath": "/etc/vllm/"},
        {"name": "prompts", "mountPath": "/etc/vllm/prompts"},
        {"name": "nothing", "mountPath": "/nothing"},
    ]
    pods = Pods(_deployment({"name": "vllm", "volumeMounts": mounts}, volumes=[{"name": "files"}, {"name": "prompts"}]))
    volume = pods.volume_of(path)
    assert (volume and volume["name"]) == name
    assert pods.volume_of("/nothing/here") == {}


def test_vllm_is_found_without_labels() -> None:
    assert is_vllm(_deployment({"name": "a"}, {"name": "b", "image": "x/vllm-openai", "resources": _GPU}))
    assert is_vllm(_deployment({"name": "b", "args": ["vllm serve org/model"], "resources": _GPU}))
    assert is_vllm(_deployment({"name": "vllm"}))
    assert is_vllm(_resource({"metadata": {"labels": {COLOR_KEY: "green"}}}))
    assert is_vllm(_resource({"spec": {"template": {"metadata": {"labels": {COLOR_KEY: "red"}}}}}))


def test_other_deployments_are_left_alone() -> None:
    assert not is_vllm(_deployment({"name": "router", "image": "x/vllm-router"}))
    assert not is_vllm(_deployment({"name": "train", "image": "x/torch", "resources": _GPU}))
    assert not is_vllm(_resource({"metadata": {"labels": {COLOR_KEY: "green"}}}, "kubernetes:core/v1:Service"))
    assert not is_vllm(_resource({}))


def test_the_server_is_the_likeliest_container() -> None:
    plain, gpu, named = {"name": "a"}, {"name": "b", "resources": _GPU}, {"name": "vllm"}
    assert Pods(_deployment(plain, gpu, named)).container["name"] == "vllm"
    assert Pods(_deployment(plain, gpu)).container["name"] == "b"
    assert Pods(_deployment(plain)).container["name"] == "a"
    assert Pods(_deployment()).container == {}


@pytest.mark.parametrize(
    ("mine", "theirs", "same"), [("a", "a", True), ("a", "b", False), (None, "default", True), (None, "a", False)]
)
def test_a_missing_namespace_is_the_default(mine: str | None, theirs: str | None, same: bool) -> None:
    one, other = (_resource({"metadata": {"namespace": name}}) for name in (mine, theirs))
    assert share_namespace(one, other) is same
