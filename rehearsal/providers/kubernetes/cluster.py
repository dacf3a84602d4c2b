"""The provider's operations on the cluster: create, apply, wait until ready, read, delete and wait until gone."""

import threading
import time
from collections.abc import Callable

from rehearsal.kube.client import Json, KubeClient, KubeError
from rehearsal.providers.kubernetes import ownership
from rehearsal.providers.kubernetes.annotations import propagation_policy, skips_await_of_deletion, timeout_seconds
from rehearsal.providers.kubernetes.readiness import Problems, readiness_of

_POLL_SECONDS = 0.5
_CREATE_RETRY_SECONDS = (1, 2, 4, 8, 16)
_JSON_PATCH = "application/json-patch+json"


class Cluster:
    """One API server, with the provider's way of changing objects. Calls may raise KubeError or httpx.HTTPError."""

    def __init__(self, kube: KubeClient, cancelled: threading.Event) -> None:
        self._kube = kube
        self._cancelled = cancelled
        self._warned = 0

    @property
    def namespace(self) -> str:
        """The namespace of the kubeconfig's context."""
        return self._kube.namespace

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._kube.server

    def is_namespaced(self, api_version: str, kind: str) -> bool | None:
        """Return whether the kind is namespaced, None when the API server does not know the kind (yet)."""
        try:
            return "/namespaces/" in self._kube.resource_path(api_version, kind, "any")
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def create(self, obj: Json, *, dry_run: bool) -> Json:
        """Create a new object. Retry for a while when its kind or namespace does not exist yet."""
        parameters = {"fieldManager": ownership.CREATOR, "fieldValidation": "Strict"}
        if dry_run:
            return self._post(obj, {**parameters, "dryRun": "All"})
        for seconds in _CREATE_RETRY_SECONDS:
            try:
                return self._post(obj, parameters)
            except KubeError as error:
                if error.status != 404 or self._cancelled.wait(seconds):
                    raise
        return self._post(obj, parameters)

    def _post(self, obj: Json, parameters: dict[str, str]) -> Json:
        namespace = obj["metadata"].get("namespace")
        path = self._kube.resource_path(obj["apiVersion"], obj["kind"], namespace)
        return self._kube.request("POST", path, params=parameters, body=obj)

    def apply(self, obj: Json, manager: str, *, force: bool, dry_run: bool) -> Json:
        """Apply an object on the server. A field with another owner is KubeError 409 unless forced."""
        return self._kube.apply(obj, field_manager=manager, force=force, dry_run=dry_run)

    def adopt(self, live: Json, manager: str) -> None:
        """Make ``manager`` the owner of the fields with which the object was created."""
        patch = ownership.adoption(live, manager)
        if patch:
            api_version, kind, metadata = live["apiVersion"], live["kind"], live["metadata"]
            namespace, name = metadata.get("namespace"), metadata["name"]
            self._kube.patch(api_version, kind, namespace, name, patch, content_type=_JSON_PATCH)

    def get(self, obj: Json) -> Json | None:
        """Return the live object, None when the object or its kind does not exist."""
        metadata = obj["metadata"]
        try:
            return self._kube.get(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def wait_ready(self, inputs: Json, obj: Json, custom_timeout_seconds: float | None) -> tuple[Json, Problems]:
        """Wait until an object is ready or the time is up. Return the live object and its remaining problems."""
        readiness = readiness_of(inputs)
        if readiness is None:
            return obj, []
        live, problems = obj, readiness.problems(self._kube, obj)

        def ready() -> bool:
            nonlocal live, problems
            found = self.get(obj)
            live = found or live
            problems = ["it was deleted"] if found is None else readiness.problems(self._kube, found)
            return not problems

        if problems and not self._poll(ready, timeout_seconds(inputs, custom_timeout_seconds)):
            problems += readiness.details(self._kube, live)
        return live, problems

    def problems(self, inputs: Json, live: Json) -> Problems:
        """Return why an object is not ready now."""
        readiness = readiness_of(inputs)
        problems = [] if readiness is None else readiness.problems(self._kube, live)
        return [*problems, *readiness.details(self._kube, live)] if readiness and problems else problems

    def delete(self, obj: Json, custom_timeout_seconds: float | None) -> Json | None:
        """Delete an object and wait until it is gone, unless annotated. Return the live object if the time runs out."""
        metadata = obj["metadata"]
        namespace, name = metadata.get("namespace"), metadata["name"]
        policy = propagation_policy(obj)
        try:
            self._kube.delete(obj["apiVersion"], obj["kind"], namespace, name, propagation_policy=policy)
        except KubeError as error:
            if error.status == 404:
                return None
            raise
        left: Json | None = None

        def gone() -> bool:
            nonlocal left
            left = self.get(obj)
            return left is None or left["metadata"]["uid"] != metadata.get("uid", left["metadata"]["uid"])

        if skips_await_of_deletion(obj) or self._poll(gone, timeout_seconds(obj, custom_timeout_seconds)):
            return None
        return left

    def new_warnings(self) -> list[str]:
        """Return the API server's warnings since the last call."""
        warnings = self._kube.warnings[self._warned :]
        self._warned += len(warnings)
        return warnings

    def _poll(self, done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline or self._cancelled.wait(_POLL_SECONDS):
                return False
        return True
