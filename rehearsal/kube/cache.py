"""A live copy of all objects of one kind, kept by list and watch."""

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

import httpx

from rehearsal.kube.client import AsyncKubeClient, Json, KubeError

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5

Key = tuple[str, str]
"""Namespace (empty for a cluster-wide object) and name."""


def key_of(obj: Json) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def newer(known: Json | None, other: Json) -> Json:
    """Return the newer state of an object. An answer to a write may arrive after the event of a later change.

    Clients may compare the versions of objects of one kind: https://www.kubernetes.dev/resources/keps/5504/
    """
    return known if known and _version(known) > _version(other) else other


def _version(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


class KubeCache:
    """The live copy. Calls ``on_change(object, deleted)`` when an object is first seen, changes or is deleted."""

    def __init__(
        self,
        kube: AsyncKubeClient,
        api_version: str,
        kind: str,
        *,
        on_change: Callable[[Json, bool], None],
        field_selector: str | None = None,
    ) -> None:
        self.objects: dict[Key, Json] = {}
        self.synced = asyncio.Event()
        """Set once the first list has arrived."""
        self._kube = kube
        self._api_version = api_version
        self._kind = kind
        self._on_change = on_change
        self._field_selector = field_selector

    def keep(self, item: Json) -> None:
        """Take in an object as the answer to a write has it, which may come before the event or after a later one."""
        self.objects[key_of(item)] = newer(self.objects.get(key_of(item)), item)

    async def run(self) -> NoReturn:
        """Follow the API server for ever, across its restarts and errors."""
        while True:
            try:
                await self._watch(await self._list())
            except (KubeError, httpx.HTTPError) as error:
                _LOG.info("watching %s again: %s", self._kind, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _list(self) -> str:
        answer = await self._kube.list(self._api_version, self._kind, field_selector=self._field_selector)
        listed: dict[Key, Json] = {key_of(item): item for item in answer["items"]}
        for key in [key for key in self.objects if key not in listed]:
            self._on_change(self.objects.pop(key), True)
        for key, item in listed.items():
            known = self.objects.get(key)
            self.objects[key] = item
            if known is None or known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._on_change(item, False)
        self.synced.set()
        return answer["metadata"]["resourceVersion"]

    async def _watch(self, resource_version: str) -> None:
        path = await self._kube.resource_path(self._api_version, self._kind, None)
        selector = {"fieldSelector": self._field_selector} if self._field_selector else None
        async for event in self._kube.watch(path, params=selector, resource_version=resource_version):
            if event["type"] == "BOOKMARK":
                continue
            item: Json = event["object"]
            deleted = event["type"] == "DELETED"
            if deleted:
                self.objects.pop(key_of(item), None)
            else:
                self.keep(item)
            self._on_change(item, deleted)
