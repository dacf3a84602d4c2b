"""How paths and names look from inside a container."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from rehearsal.kube.client import AsyncKubeClient
from rehearsal.kubelet.sandbox import Sandbox, expanded

CONTAINER = {
    "volumeMounts": [
        {"name": "models", "mountPath": "/models"},
        {"name": "lora", "mountPath": "/models/lora/", "subPath": "adapters"},
        {"name": "models", "mountPath": "/tmp"},
    ]
}


def make_sandbox(tmp_path: Path) -> Sandbox:
    volumes = [{"name": "models", "emptyDir": {}}, {"name": "lora", "hostPath": {"path": "/mnt/lora"}}]
    pod = {"metadata": {"name": "chat", "namespace": "default", "uid": "1"}, "spec": {"volumes": volumes}}
    no_client = cast("AsyncKubeClient", None)  # Volumes of these kinds need no API call.
    sandbox = Sandbox(
        pod,
        address="10.64.0.1",
        host_address="10.0.0.1",
        folder=tmp_path / "pod",
        node_folder=tmp_path / "node",
        kube=no_client,
    )
    asyncio.run(sandbox.make_volumes())
    return sandbox


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("/models", "{pod}/volumes/models"),
        ("/models/a/b", "{pod}/volumes/models/a/b"),
        ("--path=/models/a", "--path={pod}/volumes/models/a"),
        ("/models:/models/lora", "{pod}/volumes/models:{node}/mnt/lora/adapters"),
        ("/models-old", "/models-old"),
        ("/cache/models", "/cache/models"),
        ("s3://bucket/models", "s3://bucket/models"),
        ("http://10.0.0.1/models/a", "http://10.0.0.1/models/a"),
        ("acme/models", "acme/models"),
        ("/tmp/of-this-machine", "/tmp/of-this-machine"),
    ],
)
def test_a_mount_path_is_replaced_as_a_whole_path_only(tmp_path: Path, inside: str, outside: str) -> None:
    expected = outside.format(pod=tmp_path / "pod", node=tmp_path / "node")
    assert make_sandbox(tmp_path).local(inside, CONTAINER) == expected


def test_references_are_expanded_as_kubernetes_does() -> None:
    variables = {"HOST": "a", "PORT": "1"}
    assert expanded("$(HOST):$(PORT)", variables) == "a:1"
    assert expanded("$(UNKNOWN) $HOST $$(HOST) $$$$", variables) == "$(UNKNOWN) $HOST $(HOST) $$"
