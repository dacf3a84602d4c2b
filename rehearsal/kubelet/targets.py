"""Writes a file_sd document for Prometheus: the pods to scrape and their labels."""

import json
from collections.abc import Iterable
from pathlib import Path

from rehearsal.kube.client import Json
from rehearsal.system.addresses import loopback_of

_PREFIX = "vllm-blue-green/"
_DEFAULT_PORT = 8000


class TargetsFile:
    """The document. It is written only on changes and replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: str | None = None

    def write(self, pods: Iterable[Json]) -> None:
        """List those of the given pods that have a colour label."""
        labelled = [pod for pod in pods if _PREFIX + "color" in pod["metadata"].get("labels", {})]
        document = json.dumps(sorted((_entry(pod) for pod in labelled), key=lambda e: e["targets"]), indent=2)
        if document == self._written:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_text(document)
        unfinished.rename(self._path)
        self._written = document


def _entry(pod: Json) -> Json:
    labels = pod["metadata"]["labels"]
    ports = [port["containerPort"] for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    address = loopback_of(pod["status"]["podIP"])
    return {
        "targets": [f"{address}:{ports[0] if ports else _DEFAULT_PORT}"],
        "labels": {
            "namespace": pod["metadata"]["namespace"],
            "pod": pod["metadata"]["name"],
            **{name: labels.get(_PREFIX + name, "") for name in ("service", "color", "release")},
        },
    }
