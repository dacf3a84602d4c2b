"""An answer to a write that arrives after the event of a later change."""

import asyncio
from collections.abc import Callable
from typing import cast

from rehearsal.binder.binding import BindingWorker
from rehearsal.binder.networking import Networking
from rehearsal.binder.target_group import TargetGroups
from rehearsal.binder.view import ClusterView
from rehearsal.kube.client import AsyncKubeClient, Json
from tests.rehearsal.binder.bound import API_VERSION, KIND


class Api:
    """Holds one binding, which is deleted while the first write to its status is answered."""

    def __init__(self, binding: Json) -> None:
        self.binding = binding
        self.on_change: Callable[[Json], None]

    async def patch(
        self, _version: str, _kind: str, _namespace: str, _name: str, patch: Json, *, subresource: str | None = None
    ) -> Json:
        answer = self._change(patch)
        if subresource == "status":
            self.on_change(self._change({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))
        return answer

    async def create(self, event: Json) -> Json:
        return event

    def _change(self, patch: Json) -> Json:
        version = int(self.binding["metadata"]["resourceVersion"]) + 1
        metadata = self.binding["metadata"] | patch.get("metadata", {}) | {"resourceVersion": str(version)}
        self.binding = self.binding | patch | {"metadata": metadata}
        return self.binding


class Nothing:
    """A target group without targets, a network without rules, a cluster without Services and pods."""

    def health(self, _arn: str) -> dict[str, str]:
        return {}

    async def close(self, _binding: Json) -> None:
        return

    def service(self, _namespace: str, _name: str) -> None:
        return

    def pods(self, _namespace: str) -> list[Json]:
        return []


def test_a_binding_deleted_while_a_write_is_answered_is_released() -> None:
    metadata = {"namespace": "llm", "name": "chat", "uid": "1", "generation": 1, "resourceVersion": "9"}
    spec = {"targetGroupARN": "arn", "serviceRef": {"name": "chat", "port": 80}}
    binding = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
    api = Api(binding)
    worker = BindingWorker(
        binding,
        kube=cast(AsyncKubeClient, api),
        target_groups=cast(TargetGroups, Nothing()),
        networking=cast(Networking, Nothing()),
        view=cast(ClusterView, Nothing()),
        health_poll_seconds=0.1,
    )
    api.on_change = worker.see

    asyncio.run(asyncio.wait_for(worker.run(), 5))

    assert api.binding["metadata"]["finalizers"] == []
