"""The Kubernetes provider: check, diff and life cycle of any object, as in the real provider."""

import difflib
import re

from rehearsal.kube.client import Json, KubeError
from rehearsal.providers.difference import Change, Diff, Path, changed
from rehearsal.providers.kubernetes import immutable, objects, ownership
from rehearsal.providers.kubernetes.annotations import NOT_SUPPORTED
from rehearsal.providers.kubernetes.normal import normalized
from rehearsal.providers.kubernetes.readiness import Problems
from rehearsal.providers.kubernetes.session import Session
from rehearsal.providers.provider import Checked, Failure, NotReadyError, Provider, ProviderError, Resource
from rehearsal.providers.values import UNKNOWN, Tree, contains_unknown

_CONFIG = (
    "kubeconfig",
    "context",
    "namespace",
    "enableServerSideApply",
    "enableConfigMapMutable",
    "enableSecretMutable",
    "enablePatchForce",
    "suppressDeprecationWarnings",
)
_PLUGIN_KEYS = ("version", "pluginDownloadURL")
_MUTABLE_SETTINGS = {"enableConfigMapMutable": "ConfigMap", "enableSecretMutable": "Secret"}


class KubernetesProvider(Provider):
    """The Kubernetes provider. It connects to the cluster on first use."""

    version = "4.34.2"
    plain_name = re.compile(r'[^."\[\]]+')

    def __init__(self) -> None:
        super().__init__()
        self._session = Session(lambda level, message, urn: self.log(level, message, urn), self.cancelled)

    def check_config(self, config: Tree) -> Checked:
        failures: list[Failure] = []
        for name in config:
            if name not in _CONFIG and name not in _PLUGIN_KEYS:
                nearest = difflib.get_close_matches(name, _CONFIG, n=1)
                hint = f"; did you mean {nearest[0]}?" if nearest else ""
                reason = f"is not a setting of the rehearsal's Kubernetes provider{hint}"
                failures.append(Failure(name, reason))
        if not _is_on(config.get("enableServerSideApply", True)):
            failures.append(Failure("enableServerSideApply", "the rehearsal supports only server-side apply"))
        return Checked(config, failures)

    def configure(self, config: Tree) -> None:
        self._session.config = config

    def check(self, resource: Resource, old: Tree, new: Tree, seed: bytes) -> Checked:
        api_version, kind = objects.api_version_and_kind(resource.type)
        inputs = objects.with_name(resource, {"apiVersion": api_version, "kind": kind, **new}, old, seed)
        if inputs["metadata"] is UNKNOWN:
            return Checked(inputs)
        failures = _failures(inputs)
        if failures:
            return Checked(inputs, failures)
        with self._session.errors(resource):
            namespaced = self._session.cluster.is_namespaced(inputs["apiVersion"], inputs["kind"])
        if namespaced is not False:
            namespace = inputs["metadata"].get("namespace") or self._session.namespace
            inputs = {**inputs, "metadata": {**inputs["metadata"], "namespace": namespace}}
        return Checked(normalized(inputs))

    def diff(self, resource: Resource, old_inputs: Tree, old_state: Tree, new: Tree) -> Diff:
        mutable = frozenset(
            kind for key, kind in _MUTABLE_SETTINGS.items() if _is_on(self._session.config.get(key, False))
        )

        def replaces(path: Path) -> bool:
            return immutable.replaces(new, path, mutable)

        found = changed(objects.in_force(old_state, old_inputs), new, replaces)
        # The inputs distinguish a removal from drift; everything else compares with the live object.
        changes = tuple(Change(c.path, c.kind, c.replaces, of_inputs=c.kind == "delete") for c in found)
        replaced = any(change.replaces for change in changes)
        same_name = objects.identity(new) == objects.identity(old_state)
        return Diff(changes, delete_before_replace=replaced and same_name and not objects.is_autonamed(new))

    def create(
        self, resource: Resource, inputs: Tree, *, preview: bool, timeout_seconds: float | None
    ) -> tuple[str, Tree]:
        with self._session.errors(resource):
            if preview:
                return "", self._preview_creation(inputs)
            created = self._session.cluster.create(inputs, dry_run=False)
        manager = ownership.field_manager(inputs, {})
        return objects.id_of(created), self._wait(resource, inputs, {}, created, manager, timeout_seconds)

    def _preview_creation(self, inputs: Tree) -> Tree:
        cluster = self._session.cluster
        if contains_unknown(inputs) or cluster.is_namespaced(inputs["apiVersion"], inputs["kind"]) is None:
            return inputs
        try:
            planned = cluster.create(inputs, dry_run=True)
        except KubeError as error:
            # The same update creates its namespace or replaces the object of this name, or only a real creation
            # is allowed.
            if error.status in (403, 404) or error.reason == "AlreadyExists":
                return inputs
            raise
        return objects.state_of(_without_status(planned), inputs, {}, ownership.field_manager(inputs, {}))

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
        with self._session.errors(resource):
            live = self._known_live(resource, new, preview=preview)
        if live is None:
            return new
        manager = ownership.field_manager(new, old_state)
        try:
            with self._session.errors(resource):
                wanted = ownership.left_to_others(new, live, manager, resource.ignore_changes)
                applied = self._apply(live, wanted, manager, dry_run=preview)
        except ProviderError as error:
            if preview:
                raise
            with self._session.errors(resource):
                live = self._session.cluster.get(live) or live
            raise NotReadyError(resource.id, objects.state_of(live, new, old_state, manager), [str(error)]) from error
        if preview:
            return objects.state_of(applied, new, old_state, manager)
        return self._wait(resource, new, old_state, applied, manager, timeout_seconds)

    def _known_live(self, resource: Resource, new: Tree, *, preview: bool) -> Json | None:
        """Return the live object to update, None in a preview that cannot ask the server."""
        cluster = self._session.cluster
        if preview and (contains_unknown(new) or cluster.is_namespaced(new["apiVersion"], new["kind"]) is None):
            return None
        live = cluster.get(objects.from_id(resource.type, resource.id))
        if live is None:
            raise ProviderError(f"{resource.type} {resource.name}: {resource.id} is gone; run `pulumi refresh`")
        return live

    def _apply(self, live: Json, new: Tree, manager: str, *, dry_run: bool) -> Json:
        cluster = self._session.cluster
        always = _is_on(self._session.config.get("enablePatchForce", False))
        force = always or ownership.takes_over(new, live, dry_run=dry_run)
        if not dry_run:
            cluster.adopt(live, manager)
        return cluster.apply(new, manager, force=force, dry_run=dry_run)

    def read(self, resource: Resource, state: Tree, inputs: Tree) -> tuple[Tree, Tree] | None:
        with self._session.errors(resource):
            cluster = self._session.cluster
            live = cluster.get(objects.from_id(resource.type, resource.id))
            if live is None:
                return None
            problems = cluster.problems(inputs, live) if inputs else []
        known = objects.in_force(live, inputs) if inputs else objects.settings_of(live)
        found = objects.state_of(live, known, state, ownership.field_manager(inputs, state))
        if problems:
            raise NotReadyError(resource.id, found, _summarized(live, resource.id, problems), inputs=known)
        return found, known

    def delete(self, resource: Resource, state: Tree, *, timeout_seconds: float | None) -> None:
        obj = objects.from_id(resource.type, resource.id)
        # The program's last inputs decide how to delete, whatever has changed in the object since.
        asked = state.get(objects.INPUTS, {}).get("metadata", {}).get("annotations") or {}
        obj["metadata"] = {**state.get("metadata", {}), **obj["metadata"], "annotations": asked}
        with self._session.errors(resource):
            left = self._session.cluster.delete(obj, timeout_seconds)
        if left is not None:
            finalizers = ", ".join(left["metadata"].get("finalizers", [])) or "none"
            raise ProviderError(
                f"{obj['kind']} {resource.id} was not deleted in the time allowed; its finalizers: {finalizers}"
            )

    def _wait(
        self, resource: Resource, inputs: Tree, old_state: Tree, obj: Json, manager: str, timeout_seconds: float | None
    ) -> Tree:
        """Wait until the object is ready and return its state. On an error the existing object stays in the state."""
        try:
            with self._session.errors(resource):
                live, problems = self._session.cluster.wait_ready(inputs, obj, timeout_seconds)
        except ProviderError as error:
            live, problems = obj, [str(error)]
        state = objects.state_of(live, inputs, old_state, manager)
        if problems:
            resource_id = objects.id_of(live)
            raise NotReadyError(resource_id, state, _summarized(live, resource_id, problems))
        return state


def _failures(inputs: Tree) -> list[Failure]:
    metadata = inputs["metadata"]
    failures: list[Failure] = []
    if metadata.get("generateName"):
        failures.append(Failure("metadata.generateName", "cannot be used with server-side apply"))
    annotations = metadata.get("annotations") or {}
    for key in NOT_SUPPORTED:
        if annotations is not UNKNOWN and key in annotations:
            reason = "is an annotation that the rehearsal's Kubernetes provider does not support; remove it"
            failures.append(Failure(f'metadata.annotations["{key}"]', reason))
    return failures


def _without_status(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key != "status"}


def _summarized(live: Json, resource_id: str, problems: Problems) -> list[str]:
    return [f"{live['kind']} {resource_id} exists but did not become ready: {problems[0]}", *problems[1:]]


def _is_on(value: object) -> bool:
    return value in (True, "true")
