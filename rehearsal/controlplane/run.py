"""Runs a real Kubernetes control plane on 127.0.0.1: etcd, API server, controller manager and scheduler."""

import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from rehearsal.controlplane.certificates import Certificates, write_certificates, write_kubeconfig
from rehearsal.kube.client import KubeClient, KubeError
from rehearsal.system.garbage import GO_COLLECTS_RARELY
from rehearsal.system.processes import Process, free_port

_CRDS = Path(__file__).parent / "crds"
_READY_TIMEOUT_SECONDS = 60.0

# Controllers that the rehearsal does not need stay off: each costs informers, memory and CPU.
_CONTROLLERS = (
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "taint-eviction-controller",
)


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A running control plane."""

    kubeconfig: Path
    """Administrator's kubeconfig."""
    server: str
    """The API server's URL."""
    processes: tuple[Process, ...]

    def stop(self) -> None:
        """Stop all processes at once; their data is no longer needed."""
        for process in reversed(self.processes):
            process.kill()


def kubeconfig_in(folder: Path) -> Path:
    """Return the path of the administrator's kubeconfig for a control plane's folder."""
    return folder / "kubeconfig"


def start_control_plane(folder: Path, binaries: Mapping[str, Path]) -> ControlPlane:
    """Start everything with data, logs and ``kubeconfig`` in ``folder``, and wait until the cluster is usable.

    Raises ProcessError when a process does not start.
    """
    certificates = write_certificates(folder / "certificates")
    port, etcd_port = free_port(), free_port()
    server = f"https://127.0.0.1:{port}"
    kubeconfig = write_kubeconfig(kubeconfig_in(folder), server, certificates)
    flags = {
        "etcd": _etcd_flags(folder / "etcd", etcd_port),
        "kube-apiserver": _apiserver_flags(certificates, port, etcd_port),
        "kube-controller-manager": _controller_manager_flags(certificates, kubeconfig),
        "kube-scheduler": {"config": _write_scheduler_configuration(folder, kubeconfig), "secure-port": 0},
    }
    started: list[Process] = []
    try:
        for name, options in flags.items():
            command = [binaries[name], *(f"--{flag}={value}" for flag, value in options.items())]
            log = folder / "logs" / f"{name}.log"
            started.append(Process.start(name, command, log=log, env={**os.environ, **GO_COLLECTS_RARELY}))
            if name == "kube-apiserver":
                _wait_for_api(started, kubeconfig)
        with KubeClient.from_kubeconfig(kubeconfig) as kube:
            _install_crds(kube)
            controllers = started[2]
            # The API server refuses pods until the controller has created the namespace's service account.
            controllers.wait_until(
                lambda: _answers(kube, "/api/v1/namespaces/default/serviceaccounts/default"),
                timeout_seconds=_READY_TIMEOUT_SECONDS,
            )
    except BaseException:
        for process in reversed(started):
            process.kill()
        raise
    return ControlPlane(kubeconfig=kubeconfig, server=server, processes=tuple(started))


@contextmanager
def control_plane(folder: Path, binaries: Mapping[str, Path]) -> Generator[ControlPlane]:
    """Run a control plane for the length of a ``with`` block."""
    running = start_control_plane(folder, binaries)
    try:
        yield running
    finally:
        running.stop()


def _etcd_flags(data: Path, port: int) -> dict[str, Any]:
    peer = f"http://127.0.0.1:{free_port()}"
    client = f"http://127.0.0.1:{port}"
    return {
        "data-dir": data,
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "unsafe-no-fsync": "true",  # The data is thrown away after the rehearsal.
        "log-level": "warn",
    }


def _apiserver_flags(certificates: Certificates, port: int, etcd_port: int) -> dict[str, Any]:
    return {
        "etcd-servers": f"http://127.0.0.1:{etcd_port}",
        "bind-address": "127.0.0.1",
        "secure-port": port,
        # EndpointSlices refuse loopback addresses, so the API server must not publish its own.
        "advertise-address": "10.0.0.10",
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": "172.20.0.0/16",
        "tls-cert-file": certificates.server,
        "tls-private-key-file": certificates.server_key,
        "client-ca-file": certificates.authority,
        "authorization-mode": "AlwaysAllow",
        "anonymous-auth": "false",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": certificates.service_account_public_key,
        "service-account-signing-key-file": certificates.service_account_key,
        "enable-priority-and-fairness": "false",
        "profiling": "false",
    }


def _controller_manager_flags(certificates: Certificates, kubeconfig: Path) -> dict[str, Any]:
    workers = ("deployment", "replicaset", "statefulset", "service-endpoint", "namespace", "gc", "job")
    return {
        "kubeconfig": kubeconfig,
        "controllers": ",".join(_CONTROLLERS),
        "root-ca-file": certificates.authority,
        "service-account-private-key-file": certificates.service_account_key,
        "leader-elect": "false",
        "secure-port": 0,
        "kube-api-qps": 100,
        "kube-api-burst": 200,
        "profiling": "false",
        **{f"concurrent-{worker}-syncs": 2 for worker in workers},
    }


def _write_scheduler_configuration(folder: Path, kubeconfig: Path) -> Path:
    configuration = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "leaderElection": {"leaderElect": False},
        "enableProfiling": False,
        # A pod that waits for a new node is retried at once instead of after up to ten seconds.
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 1,
    }
    path = folder / "kube-scheduler.yaml"
    path.write_text(yaml.safe_dump(configuration))
    return path


def _wait_for_api(started: Sequence[Process], kubeconfig: Path) -> None:
    etcd, server = started

    def ready() -> bool:
        etcd.check()  # Without it the API server waits for half a minute, and then names no reason.
        return _answers(kube, "/readyz")

    with KubeClient.from_kubeconfig(kubeconfig) as kube:
        server.wait_until(ready, timeout_seconds=_READY_TIMEOUT_SECONDS)


def _answers(kube: KubeClient, path: str) -> bool:
    try:
        kube.request("GET", path)
    except (KubeError, httpx.HTTPError):
        return False
    return True


def _install_crds(kube: KubeClient) -> None:
    definitions: list[dict[str, Any]] = [yaml.safe_load(path.read_text()) for path in sorted(_CRDS.glob("*.yaml"))]
    for definition in definitions:
        kube.apply(definition, field_manager="rehearsal")
    deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
    for definition in definitions:
        group, version = definition["spec"]["group"], definition["spec"]["versions"][0]["name"]
        path = f"/apis/{group}/{version}/{definition['spec']['names']['plural']}"
        while not _answers(kube, path):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API server does not serve {path}")
            time.sleep(0.05)
