"""Describes a world that is up, for a person."""

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table
from rich.text import Text

from components.domain.naming import COLOR_KEY, GPU_LABEL
from rehearsal.kube.client import KubeClient, KubeError
from rehearsal.kube.conditions import is_met
from rehearsal.kube.kubeconfig import load_kubeconfig
from rehearsal.report.rule import weights_asked
from rehearsal.standing.worlds import Record
from rehearsal.world.checkout import SERVICE
from rehearsal.world.executables import kubernetes_provider, language_host

_GPU_NODES = f"{GPU_LABEL}=true"


def describe(record: Record) -> Table:
    """Return a table of the world's state. What does not answer is shown as unknown."""
    alive = {name: is_alive(pid) for name, pid in record.processes.items()}
    table = Table(title=f"world {record.name}", title_justify="left", show_header=False)
    for what, value in {
        "since": f"{record.since.astimezone():%Y-%m-%d %H:%M:%S}",
        "Pulumi": record.engine,
        "language host": language_host(record.folder),
        "Kubernetes provider": kubernetes_provider(record.folder),
        "load balancer controller": record.load_balancer_controller,
        "endpoint": record.endpoint_url,
        "AWS": record.environment["AWS_ENDPOINT_URL"],
        "Prometheus": record.environment["PROMETHEUS_URL"],
        "Kubernetes": load_kubeconfig(record.kubeconfig).server,
        "checkout": str(record.folder / "checkout"),
        "processes": _processes(alive),
        "weights": _weights(record),
        **_cluster(record),
    }.items():
        table.add_row(what, value if isinstance(value, Text) else Text(value))
    return table


def is_alive(pid: int) -> bool:
    """Return whether a child of the keeper runs. A child that ended keeps its process id until the keeper ends."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _processes(alive: dict[str, bool]) -> Text:
    return Text(", ").join(Text(name) if up else Text(f"{name} (dead)", style="bold red") for name, up in alive.items())


def _weights(record: Record) -> str:
    with contextlib.suppress(httpx.HTTPError), record.world() as world:
        weights = weights_asked(world.aws)
        return ", ".join(f"{color} {weight} %" for color, weight in sorted(weights.items())) or "no rule yet"
    return "unknown"


def _cluster(record: Record) -> dict[str, str]:
    """Return the rows for pods by colour and GPU nodes."""
    try:
        with KubeClient.from_kubeconfig(record.kubeconfig) as kube:
            pods: list[dict[str, Any]] = kube.list("v1", "Pod", SERVICE, label_selector=COLOR_KEY)["items"]
            nodes: list[dict[str, Any]] = kube.list("v1", "Node", label_selector=_GPU_NODES)["items"]
    except (httpx.HTTPError, KubeError):
        return {"pods": "unknown", "GPU nodes": "unknown"}
    colors = Counter(pod["metadata"]["labels"][COLOR_KEY] for pod in pods)
    ready = Counter(pod["metadata"]["labels"][COLOR_KEY] for pod in pods if is_met(pod))
    return {
        "pods": ", ".join(f"{color} {ready[color]} of {colors[color]} ready" for color in sorted(colors)) or "none",
        "GPU nodes": f"{sum(is_met(node) for node in nodes)} of {len(nodes)} ready" if nodes else "none",
    }
