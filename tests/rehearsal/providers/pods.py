"""Pods in a control plane without nodes."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

from rehearsal.kube.client import STRATEGIC_MERGE_PATCH, KubeClient, KubeError

_READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@contextmanager
def pods_become_ready(kube: KubeClient, namespace: str) -> Generator[None]:
    """Stand in for a kubelet: make every pod Ready, and remove deleted pods."""
    stopped = threading.Event()

    def attend() -> None:
        while not stopped.wait(0.2):
            for pod in kube.list("v1", "Pod", namespace)["items"]:
                name = pod["metadata"]["name"]
                try:
                    if "deletionTimestamp" in pod["metadata"]:
                        kube.delete("v1", "Pod", namespace, name, grace_period_seconds=0)
                    elif pod["status"].get("phase") != "Running":
                        kube.patch(
                            "v1",
                            "Pod",
                            namespace,
                            name,
                            {"status": _READY},
                            subresource="status",
                            content_type=STRATEGIC_MERGE_PATCH,
                        )
                except KubeError as error:
                    if error.status != 404:
                        raise

    thread = threading.Thread(target=attend)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
