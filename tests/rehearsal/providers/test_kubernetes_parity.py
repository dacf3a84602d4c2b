"""The product's objects go through our Kubernetes provider and through the real one, on a real API server.

Both must give the engine the same answers and leave the same objects. Allowed differences:

* the digits at the end of a field manager's name, which both choose at random;
* the wording of errors;
* `fieldValidation`: ours refuses a field that the API server does not know, the real one drops it silently;
* the wait for a Service: ours needs a ready endpoint, the real one needs ten seconds without an endpoint that is not
  ready (the product does not wait for Services);
* the end of a Deployment's update: the real one may read the old ReplicaSet while the controller has not numbered the
  new one yet (an earlier template returns, or replicas and template change at once). So the revision number is not
  compared. The product's rollout counts ready pods itself;
* the report on pods that do not become ready, in which ours is longer;
* settings and annotations that ours refuses because it does not support them, such as `pulumi.com/waitFor`;
* the list of changed top-level properties, which ours returns in addition to the detailed diff.
"""

import re
from dataclasses import asdict
from typing import Any

import pytest

from rehearsal.kube.client import Json, KubeClient, KubeError
from rehearsal.providers.values import Tree, from_struct
from tests.rehearsal.providers import product
from tests.rehearsal.providers.harness import Engine
from tests.rehearsal.providers.pods import pods_become_ready

_SERVERS_OWN = ("creationTimestamp", "resourceVersion", "uid")
_RANDOM_MANAGER = re.compile(r"^pulumi-kubernetes-[0-9a-f]{8}$")
_ALLOCATED = ("clusterIP", "clusterIPs")
_REVISION = "deployment.kubernetes.io/revision"
_TIMEOUT_SECONDS = 60.0

Seen = dict[str, Any]
"""The observations, by step and object."""


def _manager(name: str) -> str:
    return "pulumi-kubernetes-random" if _RANDOM_MANAGER.match(name) else name


def comparable(obj: Tree) -> Tree:
    """Return an object without its status and without what differs between two creations."""
    result = {key: value for key, value in obj.items() if key != "status"}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVERS_OWN}
    managed = [
        {key: value for key, value in entry.items() if key != "time"} | {"manager": _manager(entry["manager"])}
        for entry in metadata.get("managedFields", [])
        if entry.get("subresource") != "status"
    ]
    if "managedFields" in metadata:
        metadata["managedFields"] = sorted(managed, key=lambda entry: (entry["manager"], entry["operation"]))
    if "annotations" in metadata:
        metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key != _REVISION}
    spec = {key: "allocated" if key in _ALLOCATED else value for key, value in obj.get("spec", {}).items()}
    result |= {"metadata": metadata} | ({"spec": spec} if spec else {})
    if "__fieldManager" in result:
        result["__fieldManager"] = _manager(result["__fieldManager"])
    return result


class Life:
    """One run of the product's objects through a provider, with a record of all observations."""

    def __init__(self, engine: Engine, kube: KubeClient) -> None:
        self.seen: Seen = {}
        self._engine = engine
        self._kube = kube

    def up(self, step: str, config: dict[str, Any]) -> None:
        """Preview and update every object in turn, then delete the objects that the program no longer has."""
        wanted = product.objects(config)
        gone = [key for key in self._known() if key not in wanted]
        with pods_become_ready(self._kube, product.NAMESPACE):
            for (token, name), inputs in wanted.items():
                key = f"{step}: {token} {name}"
                planned = self._engine.preview(token, name, inputs)
                plan = self._engine.steps[-1]
                self._engine.up(token, name, inputs, timeout=_TIMEOUT_SECONDS)
                assert self._engine.steps[-1] == plan, "the update matches its preview"
                self.seen[key] = {"step": asdict(plan), "planned": comparable(planned), **self._state_of(token, name)}
            for token, name in reversed(gone):
                self._delete(step, token, name)

    def refresh(self, step: str) -> None:
        for token, name in self._known():
            self._engine.refresh(token, name)
            self.seen[f"{step}: {token} {name}"] = self._state_of(token, name)

    def destroy(self, step: str) -> None:
        with pods_become_ready(self._kube, product.NAMESPACE):
            for token, name in reversed(self._known()):
                self._delete(step, token, name)

    def _known(self) -> list[tuple[str, str]]:
        return self._engine.names()

    def _delete(self, step: str, token: str, name: str) -> None:
        outputs = self._engine.deployed(token, name).outputs
        self._engine.delete(token, name)
        self.seen[f"{step}: {token} {name}"] = {"left": self._live(outputs)}

    def _state_of(self, token: str, name: str) -> Seen:
        deployed = self._engine.deployed(token, name)
        live = self._live(deployed.outputs)
        return {
            "id": deployed.id,
            "inputs": from_struct(deployed.inputs),
            "outputs": comparable(deployed.outputs),
            "live": live and comparable(live),
        }

    def _live(self, outputs: Tree) -> Json | None:
        metadata = outputs["metadata"]
        try:
            return self._kube.get(outputs["apiVersion"], outputs["kind"], metadata.get("namespace"), metadata["name"])
        except KubeError as error:
            if error.status == 404:
                return None
            raise


def live_through(engine: Engine, kube: KubeClient) -> Seen:
    life = Life(engine, kube)
    life.up("create", product.FIRST)
    life.refresh("refresh")
    life.up("again", product.FIRST)
    life.up("release", product.RELEASED)
    life.refresh("refresh after release")
    life.up("back", product.FIRST)
    life.up("scale", product.SCALED)
    life.destroy("destroy")
    return life.seen


@pytest.fixture(scope="module")
def ours(our_kubernetes: Engine, kube: KubeClient) -> Seen:
    return live_through(our_kubernetes.afresh(), kube)


def _ops(seen: Seen, step: str) -> dict[str, list[str]]:
    """Return the kinds by the operation on their objects."""
    found: dict[str, list[str]] = {}
    for key, what in seen.items():
        if key.startswith(f"{step}: "):
            op = what["step"]["op"] if "step" in what else "delete"
            found.setdefault(op, []).append(key.split(" ")[1].rpartition(":")[2])
    return {op: sorted(kinds) for op, kinds in found.items()}


_WAY = ["Service", "TargetGroupBinding", "NetworkPolicy"]
_COLOR = ["Deployment", "PodDisruptionBudget", "ConfigMap", "ConfigMap"]


def test_every_object_is_created_once_and_then_left_alone(ours: Seen) -> None:
    every = sorted(["Namespace", *_WAY * 2, *_COLOR * 2])
    assert _ops(ours, "create") == {"create": every}
    assert _ops(ours, "again") == {"same": every}


def test_a_new_release_replaces_its_config_maps_and_updates_its_deployment(ours: Seen) -> None:
    assert _ops(ours, "release") == {
        "same": sorted(["Namespace", *_WAY * 2, "ConfigMap", "PodDisruptionBudget"]),
        "replace": ["ConfigMap"],
        "update": ["Deployment"],
        "delete": sorted(_COLOR),
    }


def test_fewer_replicas_update_the_deployment_and_its_budget(ours: Seen) -> None:
    assert _ops(ours, "scale")["update"] == ["Deployment", "PodDisruptionBudget"]


def test_nothing_is_left_after_a_deletion(ours: Seen) -> None:
    assert [key for key, what in ours.items() if "left" in what and what["left"] is not None] == []


def test_a_creation_and_an_update_have_different_owners(ours: Seen) -> None:
    def owners(key: str) -> list[tuple[str, str]]:
        managed = ours[key]["live"]["metadata"]["managedFields"]
        return [(entry["manager"], entry["operation"]) for entry in managed]

    # Blue's alone has changed. The order of the colours is that of their registration, which varies.
    (name,) = (
        key.partition(": ")[2]
        for key in ours
        if key.startswith("scale: ") and "PodDisruption" in key and key.endswith("-blue")
    )
    assert owners(f"create: {name}") == [("pulumi-kubernetes", "Update")]
    assert owners(f"scale: {name}") == [("pulumi-kubernetes-random", "Apply")]


def test_the_real_provider_behaves_the_same(ours: Seen, real_kubernetes: Engine, kube: KubeClient) -> None:
    real = live_through(real_kubernetes.afresh(), kube)
    assert ours.keys() == real.keys()
    assert _differences("", ours, real) == []


def _differences(where: str, one: Any, other: Any) -> list[str]:
    """Return the differences of two trees, one line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        names: list[str] = sorted(one.keys() | other.keys())
        return [line for name in names for line in _differences(f"{where}/{name}", one.get(name), other.get(name))]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for index, (a, b) in pairs for line in _differences(f"{where}[{index}]", a, b)]
    return [] if one == other else [f"{where}: ours {one!r}, the real provider's {other!r}"]
