"""Events that report what was done about a TargetGroupBinding: one object per distinct message."""

import logging
import uuid
from typing import Literal

import httpx

from rehearsal.kube.client import AsyncKubeClient, Json, KubeError
from rehearsal.kube.time import timestamp

_LOG = logging.getLogger(__name__)
_COMPONENT = "targetGroupBinding"

Severity = Literal["Normal", "Warning"]


class Recorder:
    """Writes the events of one binding."""

    def __init__(self, kube: AsyncKubeClient) -> None:
        self._kube = kube
        self._written: dict[tuple[str, str], Json] = {}

    async def record(self, binding: Json, severity: Severity, reason: str, message: str) -> None:
        """Create the event or increase its count. An event that cannot be written is logged and dropped."""
        try:
            known = self._written.get((reason, message))
            event = await (self._create(binding, severity, reason, message) if known is None else self._repeat(known))
        except (KubeError, httpx.HTTPError) as error:
            self._written.pop((reason, message), None)
            _LOG.info("event %s is lost: %s", reason, error)
        else:
            self._written[reason, message] = event

    async def _create(self, binding: Json, severity: Severity, reason: str, message: str) -> Json:
        metadata, now = binding["metadata"], timestamp()
        return await self._kube.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"namespace": metadata["namespace"], "name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}"},
                "involvedObject": {
                    "apiVersion": binding["apiVersion"],
                    "kind": binding["kind"],
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
                "type": severity,
                "reason": reason,
                "message": message,
                "source": {"component": _COMPONENT},
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
            }
        )

    async def _repeat(self, event: Json) -> Json:
        metadata = event["metadata"]
        patch = {"count": event["count"] + 1, "lastTimestamp": timestamp()}
        return await self._kube.patch("v1", "Event", metadata["namespace"], metadata["name"], patch)
