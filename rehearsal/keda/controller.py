"""Looks at every ScaledObject again and again, and sets its Deployment's number by the scale subresource."""

import logging
import time

import httpx

from rehearsal.keda.decision import Autoscaler, ScaledObject
from rehearsal.kube.client import MERGE_PATCH, KubeClient, KubeError

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 5.0


class Controller:
    """Scales by what Prometheus answers. An error of one ScaledObject does not stop the others."""

    def __init__(self, kube: KubeClient, *, stabilization_seconds: float) -> None:
        self._kube = kube
        self._stabilization_seconds = stabilization_seconds
        self._autoscalers: dict[tuple[str, str], Autoscaler] = {}
        self._http = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)

    def look(self) -> None:
        """Look at every ScaledObject once."""
        for obj in self._kube.list("keda.sh/v1alpha1", "ScaledObject")["items"]:
            try:
                self._scale(ScaledObject.parse(obj))
            except (KubeError, httpx.HTTPError) as error:
                _LOG.warning("%s: %s", obj["metadata"]["name"], error)

    def _scale(self, scaled: ScaledObject) -> None:
        path = f"{self._kube.resource_path('apps/v1', 'Deployment', scaled.namespace, scaled.deployment)}/scale"
        replicas = self._kube.request("GET", path)["spec"].get("replicas", 0)
        key = (scaled.namespace, scaled.deployment)
        autoscaler = self._autoscalers.setdefault(key, Autoscaler(self._stabilization_seconds))
        total = self._total(scaled) if scaled.paused_at is None else None
        wanted = autoscaler.decide(scaled, replicas, total, time.monotonic())
        if wanted == replicas:
            return
        self._kube.request(
            "PATCH",
            path,
            params={"fieldManager": "kube-controller-manager"},  # the HorizontalPodAutoscaler is a part of it
            body={"spec": {"replicas": wanted}},
            content_type=MERGE_PATCH,
        )
        _LOG.info("%s: %s to %s (%s counted)", scaled.deployment, replicas, wanted, total)

    def _total(self, scaled: ScaledObject) -> float | None:
        try:
            answer = self._http.get(f"{scaled.prometheus_url}/api/v1/query", params={"query": scaled.query})
            found = answer.raise_for_status().json()["data"]["result"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            _LOG.warning("%s: Prometheus: %s", scaled.deployment, error)
            return None
        if not found:
            return 0.0 if scaled.empty_is_zero else None
        return float(found[0]["value"][1])
