"""The Kubernetes provider: check, diff and the life cycle of any object, by server-side apply."""

import difflib
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path as FilePath

import httpx

from rehearsal.kube import KubeClient, KubeError
from rehearsal.kubeconfig import KubeconfigError
from rehearsal.providers.difference import Diff, Path, changed
from rehearsal.providers.kubernetes import immutable, objects
from rehearsal.providers.kubernetes.cluster import Cluster
from rehearsal.providers.provider import Checked, Failure, NotReadyError, Provider, ProviderError, Resource
from rehearsal.providers.values import UNKNOWN, Tree, contains_unknown

_CONFIG = (
    "kubeconfig",
    "context",
    "namespace",
    "enableServerSideApply",
    "enableConfigMapMutable",
    "enableSecretMutable",
    "suppressDeprecationWarnings",
)
_PLUGIN_KEYS = ("version", "pluginDownloadURL")
_MUTABLE_SETTINGS = {"enableConfigMapMutable": "ConfigMap", "enableSecretMutable": "Secret"}


class KubernetesProvider(Provider):
    """The Kubernetes provider; it connects to the cluster when it first needs to."""

    version = "4.34.2"

    def __init__(self) -> None:
        super().__init__()
        self._config: Tree = {}
        self._connected: Cluster | None = None
        self._connecting = threading.Lock()

    def check_config(self, config: Tree) -> Checked:
        failures: list[Failure] = []
        for name in config:
            if name not in _CONFIG and name not in _PLUGIN_KEYS:
                nearest = difflib.get_close_matches(name, _CONFIG, n=1)
                hint = f"; did you mean {nearest[0]}?" if nearest else ""
                reason = f"is not a setting that the rehearsal's Kubernetes provider knows{hint}"
                failures.append(Failure(name, reason))
        if not _is_on(config.get("enableServerSideApply", True)):
            failures.append(Failure("enableServerSideApply", "the rehearsal applies on the server side only"))
        return Checked(config, failures)

    def configure(self, config: Tree) -> None:
        self._config = config

    def check(self, resource: Resource, old: Tree, new: Tree, seed: bytes) -> Checked:
        api_version, kind = objects.api_version_and_kind(resource.type)
        inputs = {"apiVersion": api_version, "kind": kind, **new}
        metadata = inputs.get("metadata", {})
        if metadata is not UNKNOWN and "generateName" in metadata:
            return Checked(inputs, [Failure("metadata.generateName", "cannot be used with server-side apply")])
        inputs = objects.with_name(resource, inputs, old, seed)
        with self._kube_errors(resource):
            namespaced = self._cluster().is_namespaced(inputs["apiVersion"], inputs["kind"])
        if namespaced is not False and inputs["metadata"] is not UNKNOWN:
            namespace = inputs["metadata"].get("namespace") or self._namespace()
            inputs["metadata"] = {**inputs["metadata"], "namespace": namespace}
        return Checked(inputs)

    def diff(self, resource: Resource, old_inputs: Tree, old_state: Tree, new: Tree) -> Diff:
        mutable = frozenset(kind for key, kind in _MUTABLE_SETTINGS.items() if _is_on(self._config.get(key, False)))

        def replaces(path: Path) -> bool:
            return immutable.replaces(new["apiVersion"], new["kind"], path, mutable)

        changes = changed(old_inputs, new, replaces)
        replaced = any(change.replaces for change in changes)
        same_name = objects.identity(new) == objects.identity(old_state)
        return Diff(changes, delete_before_replace=replaced and same_name and not objects.is_autonamed(new))

    def create(
        self, resource: Resource, inputs: Tree, *, preview: bool, timeout_seconds: float | None
    ) -> tuple[str, Tree]:
        if preview:
            return "", self._preview(resource, inputs)
        return self._apply(resource, inputs, timeout_seconds)

    def update(
        self,
        resource: Resource,
        old_inputs: Tree,
        old_state: Tree,
        new: Tree,
        *,
        preview: bool,
        timeout_seconds: float | None,
    ) -> Tree:
        if preview:
            return self._preview(resource, new)
        return self._apply(resource, new, timeout_seconds)[1]

    def read(self, resource: Resource, state: Tree, inputs: Tree) -> tuple[Tree, Tree] | None:
        with self._kube_errors(resource):
            cluster = self._cluster()
            live = cluster.get(objects.from_id(resource.type, resource.id))
            if live is None:
                return None
            try:
                applied = cluster.apply(inputs, dry_run=True) if inputs else None
            except KubeError:
                applied = None
        inputs = objects.refreshed(inputs, applied, live) if inputs else objects.settings_of(live)
        return objects.state_of(live, inputs), inputs

    def delete(self, resource: Resource, state: Tree, *, timeout_seconds: float | None) -> None:
        obj = {**objects.from_id(resource.type, resource.id)}
        obj["metadata"] = {**state.get("metadata", {}), **obj["metadata"]}
        with self._kube_errors(resource):
            if not self._cluster().delete(obj, timeout_seconds):
                raise ProviderError(f"{obj['kind']} {resource.id} was not gone in the time allowed")

    def _preview(self, resource: Resource, inputs: Tree) -> Tree:
        """What the API server would make of the inputs; its refusals show in the preview already."""
        with self._kube_errors(resource):
            known = not contains_unknown(inputs)
            cluster = self._cluster()
            if not known or cluster.is_namespaced(inputs["apiVersion"], inputs["kind"]) is None:
                return inputs
            try:
                return objects.previewed(cluster.apply(inputs, dry_run=True), inputs)
            except KubeError as error:
                # Its namespace is created, or the object itself replaced, in the same update.
                if error.status == 404 or (error.status == 422 and "immutable" in error.message):
                    return inputs
                raise

    def _apply(self, resource: Resource, inputs: Tree, timeout_seconds: float | None) -> tuple[str, Tree]:
        with self._kube_errors(resource):
            cluster = self._cluster()
            applied = cluster.apply(inputs, dry_run=False)
            resource_id = objects.id_of(applied)
        try:
            with self._kube_errors(resource):
                live, problems = cluster.wait_ready(applied, timeout_seconds)
        except ProviderError as error:
            live, problems = applied, [str(error)]
        state = objects.state_of(live, inputs)
        if problems:
            summary = f"{live['kind']} {resource_id} exists but did not become ready: {problems[0]}"
            raise NotReadyError(resource_id, state, [summary, *problems[1:]])
        return resource_id, state

    def _namespace(self) -> str:
        return self._config.get("namespace") or self._cluster().namespace

    def _cluster(self) -> Cluster:
        with self._connecting:
            if self._connected is None:
                self._connected = Cluster(self._connect(), self.cancelled)
            return self._connected

    def _connect(self) -> KubeClient:
        kubeconfig, context = self._config.get("kubeconfig"), self._config.get("context")
        try:
            if kubeconfig is None or ("\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{")):
                return KubeClient.from_kubeconfig(kubeconfig, context)
            with tempfile.TemporaryDirectory() as folder:
                path = FilePath(folder) / "kubeconfig"
                path.write_text(kubeconfig)
                return KubeClient.from_kubeconfig(path, context)
        except KubeconfigError as error:
            raise ProviderError(str(error)) from error

    @contextmanager
    def _kube_errors(self, resource: Resource) -> Generator[None]:
        """Refusals of the API server as one line, its warnings to the engine's log."""
        try:
            yield
        except KubeError as error:
            message = " ".join(str(error).split())
            raise ProviderError(f"{resource.type} {resource.name}: {message}") from error
        except httpx.HTTPError as error:
            raise ProviderError(f"{resource.type} {resource.name}: the API server does not answer: {error}") from error
        finally:
            if self._connected is not None:
                for warning in self._connected.new_warnings():
                    self.log("warning", warning, resource.urn)


def _is_on(value: object) -> bool:
    return value in (True, "true")
