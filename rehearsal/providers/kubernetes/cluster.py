"""The cluster as the provider uses it: apply, wait until ready, read, delete and wait until gone."""

import threading
import time
from collections.abc import Callable

from rehearsal.kube import Json, KubeClient, KubeError
from rehearsal.providers.kubernetes.readiness import (
    Problems,
    annotation,
    readiness_of,
    skips_await,
    timeout_seconds,
)

FIELD_MANAGER = "pulumi-kubernetes"
_PROPAGATION = "pulumi.com/deletionPropagationPolicy"
_POLL_SECONDS = 0.5


class Cluster:
    """One API server, with the provider's way of changing objects there. Calls raise KubeError or httpx.HTTPError."""

    def __init__(self, kube: KubeClient, cancelled: threading.Event) -> None:
        self._kube = kube
        self._cancelled = cancelled
        self._warned = 0

    @property
    def namespace(self) -> str:
        """The kubeconfig context's namespace."""
        return self._kube.namespace

    def is_namespaced(self, api_version: str, kind: str) -> bool | None:
        """None when the API server does not know the kind (yet)."""
        try:
            return "/namespaces/" in self._kube.resource_path(api_version, kind, "any")
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def apply(self, obj: Json, *, dry_run: bool) -> Json:
        return self._kube.apply(obj, field_manager=FIELD_MANAGER, force=True, dry_run=dry_run)

    def get(self, obj: Json) -> Json | None:
        """The live object; None when there is none, or its kind is gone."""
        metadata = obj["metadata"]
        try:
            return self._kube.get(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def wait_ready(self, obj: Json, custom_timeout_seconds: float | None) -> tuple[Json, Problems]:
        """The live object once it is ready, or after the time allowed, with what is wrong then."""
        check = readiness_of(obj)
        if check is None:
            return obj, []
        live, problems = obj, check(self._kube, obj)

        def ready() -> bool:
            nonlocal live, problems
            found = self.get(obj)
            live, problems = found or live, ["it was deleted"] if found is None else check(self._kube, found)
            return not problems

        if problems:
            self._poll(ready, timeout_seconds(obj, custom_timeout_seconds))
        return live, problems

    def delete(self, obj: Json, custom_timeout_seconds: float | None) -> bool:
        """Delete an object, its dependents first; whether it is gone within the time allowed."""
        metadata = obj["metadata"]
        policy = (annotation(obj, _PROPAGATION) or "foreground").capitalize()
        try:
            self._kube.delete(
                obj["apiVersion"],
                obj["kind"],
                metadata.get("namespace"),
                metadata["name"],
                propagation_policy=policy,
            )
        except KubeError as error:
            if error.status == 404:
                return True
            raise

        def gone() -> bool:
            live = self.get(obj)
            return live is None or live["metadata"]["uid"] != metadata.get("uid", live["metadata"]["uid"])

        return skips_await(obj) or self._poll(gone, timeout_seconds(obj, custom_timeout_seconds))

    def new_warnings(self) -> list[str]:
        """Warnings that the API server gave since the last call."""
        warnings = self._kube.warnings[self._warned :]
        self._warned += len(warnings)
        return warnings

    def _poll(self, done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline or self._cancelled.wait(_POLL_SECONDS):
                return False
        return True
