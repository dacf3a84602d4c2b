"""What a program asks of one object by annotations, and what its inputs and live state come to. No cluster."""

from typing import Any

import pytest

from rehearsal.kube.client import Json
from rehearsal.providers.kubernetes import immutable, objects
from rehearsal.providers.kubernetes.annotations import propagation_policy, skips_await_of_deletion, timeout_seconds
from rehearsal.providers.kubernetes.normal import normalized
from rehearsal.providers.kubernetes.quantities import canonical
from rehearsal.providers.values import UNKNOWN

POD: Json = {"apiVersion": "v1", "kind": "Pod"}


def annotated(kind: str = "Deployment", api_version: str = "apps/v1", **annotations: str) -> Json:
    by_name = {f"pulumi.com/{key}": value for key, value in annotations.items()}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"annotations": by_name}}


def test_time_allowed_is_the_resource_s_then_the_annotation_s_then_ten_minutes() -> None:
    thirty = annotated(timeoutSeconds="30")
    times = [timeout_seconds(thirty, 5), timeout_seconds(thirty, None), timeout_seconds(annotated(), None)]
    assert times == [5, 30, 600]


def test_a_time_that_is_no_whole_number_counts_for_nothing() -> None:
    assert timeout_seconds(annotated(timeoutSeconds="soon"), None) == 600


def test_skipping_to_wait_is_for_the_creation_of_all_kinds_and_for_the_deletion_of_few() -> None:
    assert skips_await_of_deletion(annotated(skipAwait="true"))
    assert not skips_await_of_deletion(annotated("Service", "v1", skipAwait="true"))
    assert not skips_await_of_deletion(annotated(skipAwait="false"))


@pytest.mark.parametrize(("asked", "policy"), [({}, "Foreground"), ({"deletionPropagationPolicy": "orphan"}, "Orphan")])
def test_dependents_go_first_unless_the_annotation_says_otherwise(asked: dict[str, str], policy: str) -> None:
    assert propagation_policy(annotated(**asked)) == policy


@pytest.mark.parametrize(
    ("given", "spelt"),
    [
        ("0.5", "500m"),
        ("13000m", "13"),
        (2, "2"),
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000k", "1M"),
        ("0Gi", "0"),
        ("1e3", "1e3"),
        ("many", "many"),
    ],
)
def test_a_quantity_is_spelt_as_the_server_spells_it(given: Any, spelt: str) -> None:
    assert canonical(given) == spelt


def test_only_quantities_of_built_in_kinds_are_respelt() -> None:
    spec = {
        "containers": [{"resources": {"limits": {"cpu": "1000m"}}}],
        "volumes": [{"emptyDir": {"sizeLimit": "1024Ki"}}],
    }
    pod = normalized({"apiVersion": "v1", "kind": "Pod", "metadata": {"uid": "1"}, "spec": spec})
    assert pod["metadata"] == {}
    assert pod["spec"] == {
        "containers": [{"resources": {"limits": {"cpu": "1"}}}],
        "volumes": [{"emptyDir": {"sizeLimit": "1Mi"}}],
    }
    foreign = {"apiVersion": "example.com/v1", "kind": "Pod", "metadata": {}, "spec": spec}
    assert normalized(foreign) == foreign


def test_what_is_empty_is_left_out_where_the_server_leaves_it_out() -> None:
    spec: Json = {"volumes": [{"emptyDir": {}}], "nodeSelector": {}, "containers": []}
    inputs: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {}}, "data": {}, "spec": spec}
    assert normalized(inputs) == {**POD, "metadata": {}, "spec": {"volumes": [{"emptyDir": {}}]}}


def test_inputs_with_something_unknown_in_them_stay_as_they_are() -> None:
    inputs = {"apiVersion": "v1", "kind": "Pod", "metadata": {"uid": "1"}, "spec": UNKNOWN}
    assert normalized(inputs) == inputs


def test_what_is_in_force_is_the_live_object_as_far_as_the_inputs_speak_of_it() -> None:
    live = {"data": {"a": "changed", "b": "added"}, "list": [{"x": 1, "y": 2}, {"x": 3}], "status": {}}
    inputs = {"data": {"a": "given", "gone": "given"}, "list": [{"x": 0}]}
    assert objects.in_force(live, inputs) == {"data": {"a": "changed"}, "list": [{"x": 1}]}


@pytest.mark.parametrize(
    ("inputs", "mutable", "replaces"),
    [
        ({"kind": "ConfigMap"}, False, True),
        ({"kind": "ConfigMap"}, True, False),
        ({"kind": "ConfigMap", "immutable": True}, True, True),
        ({"kind": "Service"}, False, False),
    ],
)
def test_data_that_may_not_change_takes_a_new_object(inputs: Json, mutable: bool, replaces: bool) -> None:
    kinds = frozenset({"ConfigMap"}) if mutable else frozenset()
    assert immutable.replaces({"apiVersion": "v1", **inputs}, ("data", "a"), kinds) is replaces
