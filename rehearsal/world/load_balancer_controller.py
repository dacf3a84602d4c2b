"""Chooses a world's load balancer controller: the real AWS Load Balancer Controller when its executable is on PATH,
else our stand-in, ``rehearsal.binder``."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from rehearsal.system.processes import free_port
from rehearsal.world.executables import find_real

REAL_NAME = "aws-load-balancer-controller"
STAND_IN_NAME = "stand-in"

_SERVICES = ("ACM", "EC2", "Elastic Load Balancing v2", "Resource Groups Tagging API", "STS")
"""The services that the controller may call, as service ids of the AWS SDK for Go."""

# Seconds instead of minutes: in production it polls the health of a new target every 15 s, and after repeated errors
# it retries only after up to 17 minutes.
_HEALTH_POLL, _LONGEST_BACKOFF = "500ms", "5s"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A controller's settings for its cluster."""

    name: str
    kubeconfig: Path
    aws_url: str
    region: str
    vpc_id: str


@dataclass(frozen=True, kw_only=True)
class LoadBalancerController:
    """How to start a controller. ``ready`` returns whether the started one works, and never raises."""

    name: str
    command: tuple[str | Path, ...]
    ready: Callable[[], bool]


def load_balancer_controller(folder: Path, cluster: Cluster) -> LoadBalancerController:
    """Choose the controller and write its files to ``folder``."""
    executable = find_real(REAL_NAME)
    return real(Path(executable), folder, cluster) if executable else stand_in(cluster)


def stand_in(cluster: Cluster) -> LoadBalancerController:
    """Return our own controller. It reads AWS's address and region from the environment."""
    command = (sys.executable, "-m", "rehearsal.binder", "--kubeconfig", cluster.kubeconfig)
    return LoadBalancerController(name=STAND_IN_NAME, command=command, ready=lambda: True)


def real(executable: Path, folder: Path, cluster: Cluster) -> LoadBalancerController:
    """Return the real controller without its webhooks: our pods declare their readiness gates themselves."""
    health = f"127.0.0.1:{free_port()}"
    endpoints = ",".join(f"{service}={cluster.aws_url}" for service in _SERVICES)
    flags = {
        "kubeconfig": cluster.kubeconfig,
        "cluster-name": cluster.name,
        "aws-region": cluster.region,
        "aws-vpc-id": cluster.vpc_id,
        "aws-api-endpoints": endpoints,
        "enable-shield": "false",
        "enable-waf": "false",
        "enable-wafv2": "false",
        "enable-leader-election": "false",
        "targetgroupbinding-requeue-duration": _HEALTH_POLL,
        "targetgroupbinding-max-exponential-backoff-delay": _LONGEST_BACKOFF,
        "health-probe-bind-addr": health,
        "metrics-bind-addr": "0",  # No metrics server.
        "webhook-cert-dir": _certificates_that_never_come(folder),
    }
    return LoadBalancerController(
        name=REAL_NAME,
        command=(executable, *(f"--{flag}={value}" for flag, value in flags.items())),
        ready=lambda: _answers(f"http://{health}/healthz"),
    )


def _certificates_that_never_come(folder: Path) -> Path:
    """Return a certificate folder that keeps the webhook server from starting: the certificate is a pipe without a
    writer. With a certificate, the server would listen on all addresses of the machine, and no flag prevents that."""
    folder.mkdir(parents=True)
    os.mkfifo(folder / "tls.crt")
    return folder


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, verify=False, trust_env=False).is_success
    except httpx.HTTPError:
        return False
