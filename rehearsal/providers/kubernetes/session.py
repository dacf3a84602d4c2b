"""The provider's connection to its cluster, and the wording of the cluster's errors."""

import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx

from rehearsal.kube.client import KubeClient, KubeError
from rehearsal.kube.kubeconfig import KubeconfigError
from rehearsal.providers.kubernetes.cluster import Cluster
from rehearsal.providers.provider import ProviderError, Resource
from rehearsal.providers.values import Tree

Log = Callable[[Literal["info", "warning"], str, str], None]
"""Takes a severity, a message and the URN that the message is about."""


class Session:
    """Connects to the cluster on first use."""

    def __init__(self, log: Log, cancelled: threading.Event) -> None:
        self.config: Tree = {}
        self._log = log
        self._cancelled = cancelled
        self._connected: Cluster | None = None
        self._connecting = threading.Lock()

    @property
    def cluster(self) -> Cluster:
        """The configured cluster. Raises ProviderError when the kubeconfig does not name one."""
        with self._connecting:
            if self._connected is None:
                self._connected = Cluster(self._connect(), self._cancelled)
            return self._connected

    @property
    def namespace(self) -> str:
        """The namespace of objects that do not set one."""
        return self.config.get("namespace") or self.cluster.namespace

    def _connect(self) -> KubeClient:
        kubeconfig, context = self.config.get("kubeconfig"), self.config.get("context")
        try:
            if kubeconfig is None or ("\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{")):
                return KubeClient.from_kubeconfig(kubeconfig, context)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "kubeconfig"
                path.write_text(kubeconfig)
                return KubeClient.from_kubeconfig(path, context)
        except KubeconfigError as error:
            raise ProviderError(str(error)) from error

    @contextmanager
    def errors(self, resource: Resource) -> Generator[None]:
        """Raise API errors as ProviderError with one line that names the resource. Log warnings to the engine."""
        subject = f"{resource.type} {resource.name}"
        try:
            yield
        except KubeError as error:
            if error.status == 401:
                message = f"the API server {self.cluster.server} does not accept the kubeconfig's credentials"
                raise ProviderError(f"{subject}: {message} (401 {error.reason})") from error
            raise ProviderError(f"{subject}: {' '.join(str(error).split())}") from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            message = f"the API server {self.cluster.server} does not answer: {reason}"
            raise ProviderError(f"{subject}: {message}") from error
        finally:
            if self._connected is not None:
                for warning in self._connected.new_warnings():
                    self._log("warning", warning, resource.urn)
