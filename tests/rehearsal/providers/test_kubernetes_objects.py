"""Annotations, and the normalization of inputs and live state, without a cluster."""

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


def test_the_timeout_is_the_resources_then_the_annotations_then_ten_minutes() -> None:
    thirty = annotated(timeoutSeconds="30")
    times = [timeout_seconds(thirty, 5), timeout_seconds(thirty, None), timeout_seconds(annotated(), None)]
    assert times == [5, 30, 600]


def test_a_timeout_that_is_not_a_whole_number_is_ignored() -> None:
    assert timeout_seconds(annotated(timeoutSeconds="soon"), None) == 600


def test_skip_await_applies_to_the_creation_of_all_kinds_and_to_the_deletion_of_few() -> None:
    assert skips_await_of_deletion(annotated(skipAwait="true"))
    assert not skips_await_of_deletion(annotated("Service", "v1", skipAwait="true"))
    assert not skips_await_of_deletion(annotated(skipAwait="false"))


@pytest.mark.parametrize(("asked", "policy"), [({}, "Foreground"), ({"deletionPropagationPolicy": "orphan"}, "Orphan")])
def test_dependents_are_deleted_first_unless_the_annotation_differs(asked: dict[str, str], policy: str) -> None:
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


def test_empty_values_are_omitted_where_the_server_omits_them() -> None:
    spec: Json = {"volumes": [{"emptyDir": {}}], "nodeSelector": {}, "containers": []}
    inputs: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {}}, "data": {}, "spec": spec}
    assert normalized(inputs) == {**POD, "metadata": {}, "spec": {"volumes": [{"emptyDir": {}}]}}


def test_inputs_with_unknown_values_stay_unchanged() -> None:
    inputs = {"apiVersion": "v1", "kind": "Pod", "metadata": {"uid": "1"}, "spec": UNKNOWN}
    assert normalized(inputs) == inputs


def test_in_force_returns_the_part_of_the_live_object_that_the_inputs_set() -> None:
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
def test_immutable_data_replaces_the_object(inputs: Json, mutable: bool, replaces: bool) -> None:
    kinds = frozenset({"ConfigMap"}) if mutable else frozenset()
    assert immutable.replaces({"apiVersion": "v1", **inputs}, ("data", "a"), kinds) is replaces
