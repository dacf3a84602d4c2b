"""The binder's view of the cluster: live copies of the objects that determine targets."""

from collections.abc import Callable, Iterable

from rehearsal.kube.cache import KubeCache
from rehearsal.kube.client import AsyncKubeClient, Json

_SERVICE_LABEL = "kubernetes.io/service-name"


class ClusterView:
    """The live copies. Calls ``on_change`` with the namespace of each change."""

    def __init__(self, kube: AsyncKubeClient, on_change: Callable[[str], None]) -> None:
        def changed(obj: Json, _deleted: bool) -> None:
            on_change(obj["metadata"].get("namespace", ""))

        self._pods = KubeCache(kube, "v1", "Pod", on_change=changed)
        self._nodes = KubeCache(kube, "v1", "Node", on_change=changed)
        self._services = KubeCache(kube, "v1", "Service", on_change=changed)
        self._slices = KubeCache(kube, "discovery.k8s.io/v1", "EndpointSlice", on_change=changed)

    @property
    def caches(self) -> Iterable[KubeCache]:
        """Return the caches. The caller must run them, and wait for their sync before it reads them."""
        return self._nodes, self._pods, self._services, self._slices

    def node(self, name: str) -> Json | None:
        return self._nodes.objects.get(("", name))

    def pod(self, namespace: str, name: str) -> Json | None:
        return self._pods.objects.get((namespace, name))

    def pods(self, namespace: str) -> list[Json]:
        return [pod for (where, _), pod in self._pods.objects.items() if where == namespace]

    def service(self, namespace: str, name: str) -> Json | None:
        return self._services.objects.get((namespace, name))

    def slices(self, namespace: str, service: str) -> list[Json]:
        """Return the EndpointSlices of a Service."""
        return [
            one
            for (where, _), one in self._slices.objects.items()
            if where == namespace and one["metadata"].get("labels", {}).get(_SERVICE_LABEL) == service
        ]
