"""The nodes and pods that the scheduler sees, and the objects that the service's pods refer to."""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from components.domain.naming import GPU_RESOURCE
from rollout.adapters.kubernetes.node_pools import NO_CAPACITY, event_launches, node_claim_launches, node_pool
from rollout.adapters.kubernetes.replicas import LONGEST_CALL_SECONDS, REQUEST_TIMEOUT_SECONDS, core_api
from rollout.model.account import Launch
from rollout.model.errors import RolloutError
from rollout.model.node_pools import NodePool
from rollout.model.nodes import VPC_CNI_ACCOUNT, VPC_CNI_NAMESPACE, BoundPod, Node, Resources, Taint
from rollout.system.failures import describe_error
from rollout.system.waits import waiting

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

_T = TypeVar("_T")

_PAGE: Final = 500
_MIB: Final = 1024**2
_NOT_FOUND: Final = 404
# nvcr.io/nvidia/k8s-device-plugin: https://github.com/NVIDIA/k8s-device-plugin/blob/main/deployments/static/nvidia-device-plugin.yml
_DEVICE_PLUGIN: Final = "k8s-device-plugin"


class KubernetesCluster:
    """Reads nodes, the pods of all namespaces, node pools, and the Secrets and claims of one namespace."""

    def __init__(self, *, service: str, namespace: str, context: str | None = None) -> None:
        """Read the cluster of ``context``, or of the kubeconfig's current context, for a service in a namespace."""
        self._service = service
        self._namespace = namespace
        self._context = context
        self._api: CoreV1Api | None = None

    def nodes(self) -> Sequence[Node]:
        """List every node.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        return [_node(item) for item in self._paged("list nodes", "list_node")]

    def bound_pods(self) -> Sequence[BoundPod]:
        """List the pods of all namespaces that are bound to a node and have not ended.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        items = self._paged(
            "list the pods of all namespaces",
            "list_pod_for_all_namespaces",
            field_selector="spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed",
        )
        return [_bound(item) for item in items]

    def secret_keys(self, name: str) -> frozenset[str] | None:
        """Return the keys of a Secret in the service's namespace. None when the Secret does not exist.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        found = self._found(f"read Secret {name}", "read_namespaced_secret", name)
        return None if found is None else frozenset(found.data or {})

    def has_claim(self, name: str) -> bool:
        """Return whether the service's namespace has this PersistentVolumeClaim.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        what = f"read PersistentVolumeClaim {name}"
        return self._found(what, "read_namespaced_persistent_volume_claim", name) is not None

    def vpc_cni_annotations(self) -> Mapping[str, str] | None:
        """Return the annotations of the VPC CNI's service account. None when the cluster has no such account.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        what = f"read ServiceAccount {VPC_CNI_ACCOUNT} of {VPC_CNI_NAMESPACE}"
        found = self._found(what, "read_namespaced_service_account", VPC_CNI_ACCOUNT, VPC_CNI_NAMESPACE)
        return None if found is None else found.metadata.annotations or {}

    def has_resource(self, group_version: str, resource: str) -> bool:
        """Return whether the API server knows a type of resource, such as ``targetgroupbindings``.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        from kubernetes.client import CustomObjectsApi

        group, _, version = group_version.partition("/")
        answer = self._asked(
            f"describe {group_version}",
            lambda: _none_if_missing(
                lambda: CustomObjectsApi(self._core().api_client).get_api_resources(
                    group, version, _request_timeout=REQUEST_TIMEOUT_SECONDS
                )
            ),
        )
        return answer is not None and any(one.name == resource for one in answer.resources)

    def node_pools(self) -> Sequence[NodePool] | None:
        """List the node pools of Karpenter or EKS Auto Mode. None when the cluster has neither.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        items = self._karpenter("nodepools")
        return None if items is None else [node_pool(item, self._service) for item in items]

    def node_launches(self, pools: Sequence[str]) -> Sequence[Launch]:
        """Return the latest starts of nodes of these node pools that have ended, newest first.

        Karpenter deletes a NodeClaim for which there is no capacity, so only the event says so.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        # Events about objects in no namespace are in the default one.
        # https://github.com/kubernetes/client-go/blob/master/tools/record/event.go
        events = self._paged(
            "list the events of NodeClaims",
            "list_namespaced_event",
            namespace="default",
            field_selector=f"involvedObject.kind=NodeClaim,reason={NO_CAPACITY}",
        )
        found = [*node_claim_launches(self._karpenter("nodeclaims") or (), pools), *event_launches(events, pools)]
        return [launch for _, launch in sorted(found, key=lambda one: one[0], reverse=True)]

    def _karpenter(self, plural: str) -> Sequence[Any] | None:
        """List objects of Karpenter. None when the cluster does not know them."""
        from kubernetes.client import CustomObjectsApi

        def ask() -> Any:
            api = CustomObjectsApi(self._core().api_client)
            return api.list_cluster_custom_object(
                "karpenter.sh", "v1", plural, _request_timeout=REQUEST_TIMEOUT_SECONDS
            )

        listed = self._asked(f"list the {plural} of karpenter.sh", lambda: _none_if_missing(ask))
        return None if listed is None else listed["items"]

    def device_plugins(self) -> Sequence[str]:
        """Return the DaemonSets whose image is that of NVIDIA's device plugin, each as ``namespace/name``.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        from kubernetes.client import AppsV1Api

        apps = self._asked("open the API", lambda: AppsV1Api(self._core().api_client))
        listed: Any = self._asked(
            "list the DaemonSets of all namespaces",
            lambda: apps.list_daemon_set_for_all_namespaces(_request_timeout=REQUEST_TIMEOUT_SECONDS),
        )
        return [
            f"{item.metadata.namespace}/{item.metadata.name}"
            for item in listed.items
            if any(_DEVICE_PLUGIN in (one.image or "") for one in item.spec.template.spec.containers)
        ]

    def _core(self) -> "CoreV1Api":
        if self._api is None:
            self._api = core_api(self._context)
        return self._api

    def _paged(self, what: str, method: str, **options: Any) -> list[Any]:
        items: list[Any] = []
        token: str | None = None
        while token is None or token:
            page = {"_continue": token} if token else {}
            listed = self._asked(what, lambda page=page: self._call(method, limit=_PAGE, **options, **page))
            items += listed.items
            token = listed.metadata._continue or ""
        return items

    def _found(self, what: str, method: str, name: str, namespace: str | None = None) -> Any:
        return self._asked(
            what, lambda: _none_if_missing(lambda: self._call(method, name, namespace or self._namespace))
        )

    def _call(self, method: str, *arguments: str, **options: Any) -> Any:
        return getattr(self._core(), method)(*arguments, _request_timeout=REQUEST_TIMEOUT_SECONDS, **options)

    def _asked(self, what: str, ask: Callable[[], _T]) -> _T:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            with waiting(f"Kubernetes ({what})", at_most_seconds=LONGEST_CALL_SECONDS):
                return ask()
        except (ApiException, HTTPError) as error:
            raise RolloutError(f"Kubernetes cannot {what}: {describe_error(error)}") from error


def _none_if_missing(ask: Callable[[], _T]) -> _T | None:
    from kubernetes.client import ApiException

    try:
        return ask()
    except ApiException as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _node(item: Any) -> Node:
    conditions = {one.type: one.status for one in item.status.conditions or ()}
    taints = [Taint(key=one.key, value=one.value or "", effect=one.effect) for one in item.spec.taints or ()]
    return Node(
        name=item.metadata.name,
        allocatable=_resources(item.status.allocatable or {}, rounding=ROUND_FLOOR),
        labels=item.metadata.labels or {},
        taints=tuple(taints),
        ready=conditions.get("Ready") == "True",
        cordoned=bool(item.spec.unschedulable),
    )


def _bound(item: Any) -> BoundPod:
    owners = item.metadata.owner_references or ()
    return BoundPod(
        node=item.spec.node_name,
        requests=_requests(item.spec) + Resources(pods=1),
        labels=item.metadata.labels or {},
        of_daemonset=any(owner.kind == "DaemonSet" for owner in owners),
        images=tuple(container.image for container in item.spec.containers if container.image),
    )


def _requests(spec: Any) -> Resources:
    """Return the requests that the scheduler counts: the running containers and sidecars, or the start-up peak."""
    running = sum((_asked_by(one) for one in spec.containers), Resources())
    peak = Resources()
    for container in spec.init_containers or ():
        if container.restart_policy == "Always":
            running += _asked_by(container)
            continue
        peak = _larger(peak, _asked_by(container))
    return _larger(running, peak) + _resources(spec.overhead or {})


def _larger(one: Resources, other: Resources) -> Resources:
    return Resources(
        gpus=max(one.gpus, other.gpus),
        millicpus=max(one.millicpus, other.millicpus),
        memory_mib=max(one.memory_mib, other.memory_mib),
    )


def _asked_by(container: Any) -> Resources:
    return _resources((container.resources and container.resources.requests) or {})


def _resources(quantities: Mapping[str, str], *, rounding: str = ROUND_CEILING) -> Resources:
    """Read quantities. Callers round offered amounts down and requested amounts up."""
    from kubernetes.utils.quantity import parse_quantity

    def amount(name: str, unit: Decimal = Decimal(1)) -> int:
        return int((parse_quantity(quantities.get(name, "0")) / unit).to_integral_value(rounding))

    return Resources(
        gpus=amount(GPU_RESOURCE),
        millicpus=amount("cpu", Decimal("0.001")),
        memory_mib=amount("memory", Decimal(_MIB)),
        pods=amount("pods"),
    )
