"""The PodMonitor of the pods: Prometheus scrapes them and labels their metrics with service, colour and release."""

import re
from collections.abc import Mapping
from typing import Any, Final

from components.config.sections.pod_settings import PodSettings
from components.domain.naming import COLOR_KEY, PORT_NAME, RELEASE_KEY, SERVICE_KEY

# Both colours serve under one model name, so vLLM's own labels do not distinguish their metrics.
TARGET_LABELS: Final[Mapping[str, str]] = {"service": SERVICE_KEY, "color": COLOR_KEY, "release": RELEASE_KEY}


def pod_monitor_spec(labels: Mapping[str, str], pods: PodSettings) -> dict[str, Any]:
    """Return the spec of a PodMonitor for the pods with these labels in its namespace."""
    return {
        "selector": {"matchLabels": dict(labels)},
        "podMetricsEndpoints": [
            {
                "port": PORT_NAME,
                "path": "/metrics",
                "interval": f"{pods.scrape_interval_seconds}s",
                "relabelings": [
                    {
                        "action": "replace",
                        "sourceLabels": [f"__meta_kubernetes_pod_label_{_in_prometheus(key)}"],
                        "targetLabel": name,
                    }
                    for name, key in TARGET_LABELS.items()
                ],
            }
        ],
    }


def _in_prometheus(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", label)
