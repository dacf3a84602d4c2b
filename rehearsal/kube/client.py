"""A thin Kubernetes REST client on httpx, for processes that must start fast."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from rehearsal.kube.kubeconfig import Kubeconfig, load_kubeconfig
from rehearsal.kube.requests import (
    APPLY_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    TIMEOUT,
    WATCH_TIMEOUT,
    Json,
    KubeCommon,
    KubeError,
    apply_parameters,
    delete_options,
    event_of,
    group_path,
    identity_of,
    selectors,
    watch_parameters,
)

__all__ = ["MERGE_PATCH", "STRATEGIC_MERGE_PATCH", "AsyncKubeClient", "Json", "KubeClient", "KubeError"]


class KubeClient(KubeCommon):
    """A synchronous client that threads may share. Every call may raise KubeError or httpx.HTTPError."""

    def __init__(self, config: Kubeconfig) -> None:
        super().__init__(config)
        self._http = httpx.Client(
            base_url=config.server, verify=config.tls, headers=self._headers, timeout=TIMEOUT, trust_env=False
        )

    @classmethod
    def from_kubeconfig(cls, path: str | Path | None = None, context: str | None = None) -> Self:
        """Make a client for one context of a kubeconfig file. The defaults are KUBECONFIG and its current context."""
        return cls(load_kubeconfig(path, context))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request. Return the answer's parsed JSON, or its text when it is not JSON."""
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if content else None
        return self._decode(self._http.request(method, path, params=params, content=content, headers=headers))

    def resource_path(self, api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
        """Return an object's path, or its collection's without ``name``. Without both names: of all namespaces."""
        if self._known(api_version, kind) is None:
            self._learn(api_version, self.request("GET", group_path(api_version)))
        return self._path(api_version, kind, namespace, name)

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Json:
        return self.request("GET", self.resource_path(api_version, kind, namespace, name))

    def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Json:
        """Return the list object: ``items``, and ``metadata.resourceVersion`` to watch from."""
        path = self.resource_path(api_version, kind, namespace)
        return self.request("GET", path, params=selectors(label_selector, field_selector))

    def create(self, obj: Json) -> Json:
        api_version, kind, namespace, _ = identity_of(obj)
        path = self.resource_path(api_version, kind, namespace or self.namespace)
        return self.request("POST", path, params={"fieldValidation": "Strict"}, body=obj)

    def patch(
        self,
        api_version: str,
        kind: str,
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        subresource: str | None = None,
        content_type: str = MERGE_PATCH,
    ) -> Json:
        path = self.resource_path(api_version, kind, namespace, name)
        path = f"{path}/{subresource}" if subresource else path
        return self.request("PATCH", path, body=patch, content_type=content_type)

    def apply(self, obj: Json, *, field_manager: str, force: bool = False, dry_run: bool = False) -> Json:
        """Apply on the server with strict field validation. A conflict of ownership is KubeError 409 unless forced."""
        path = self.resource_path(*identity_of(obj))
        parameters = apply_parameters(field_manager, force, dry_run)
        return self.request("PATCH", path, params=parameters, body=obj, content_type=APPLY_PATCH)

    def delete(
        self,
        api_version: str,
        kind: str,
        namespace: str | None,
        name: str,
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str | None = None,
    ) -> Json:
        """Delete an object. When ``uid`` is given and the object has another one, raise KubeError 409."""
        path = self.resource_path(api_version, kind, namespace, name)
        return self.request("DELETE", path, body=delete_options(grace_period_seconds, propagation_policy, uid))

    def watch(
        self, path: str, *, params: Mapping[str, str] | None = None, resource_version: str | None = None
    ) -> Iterator[Json]:
        """Yield events ``{"type", "object"}`` and bookmarks until the server ends the watch. Too old: KubeError 410."""
        parameters = watch_parameters(params, resource_version)
        with self._http.stream("GET", path, params=parameters, timeout=WATCH_TIMEOUT) as response:
            if not response.is_success:
                response.read()
                self._decode(response)
            for line in response.iter_lines():
                yield event_of(line)


class AsyncKubeClient(KubeCommon):
    """The same interface for asyncio. Every call may raise KubeError or httpx.HTTPError."""

    def __init__(self, config: Kubeconfig) -> None:
        super().__init__(config)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=10)
        self._http = httpx.AsyncClient(
            base_url=config.server,
            verify=config.tls,
            headers=self._headers,
            timeout=TIMEOUT,
            limits=limits,
            trust_env=False,
        )

    @classmethod
    def from_kubeconfig(cls, path: str | Path | None = None, context: str | None = None) -> Self:
        """Make a client for one context of a kubeconfig file. The defaults are KUBECONFIG and its current context."""
        return cls(load_kubeconfig(path, context))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request. Return the answer's parsed JSON, or its text when it is not JSON."""
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if content else None
        response = await self._http.request(method, path, params=params, content=content, headers=headers)
        return self._decode(response)

    async def resource_path(self, api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
        """Return an object's path, or its collection's without ``name``. Without both names: of all namespaces."""
        if self._known(api_version, kind) is None:
            self._learn(api_version, await self.request("GET", group_path(api_version)))
        return self._path(api_version, kind, namespace, name)

    async def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Json:
        return await self.request("GET", await self.resource_path(api_version, kind, namespace, name))

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Json:
        """Return the list object: ``items``, and ``metadata.resourceVersion`` to watch from."""
        path = await self.resource_path(api_version, kind, namespace)
        return await self.request("GET", path, params=selectors(label_selector, field_selector))

    async def create(self, obj: Json) -> Json:
        api_version, kind, namespace, _ = identity_of(obj)
        path = await self.resource_path(api_version, kind, namespace or self.namespace)
        return await self.request("POST", path, params={"fieldValidation": "Strict"}, body=obj)

    async def patch(
        self,
        api_version: str,
        kind: str,
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        subresource: str | None = None,
        content_type: str = MERGE_PATCH,
    ) -> Json:
        path = await self.resource_path(api_version, kind, namespace, name)
        path = f"{path}/{subresource}" if subresource else path
        return await self.request("PATCH", path, body=patch, content_type=content_type)

    async def apply(self, obj: Json, *, field_manager: str, force: bool = False, dry_run: bool = False) -> Json:
        """Apply on the server with strict field validation. A conflict of ownership is KubeError 409 unless forced."""
        path = await self.resource_path(*identity_of(obj))
        parameters = apply_parameters(field_manager, force, dry_run)
        return await self.request("PATCH", path, params=parameters, body=obj, content_type=APPLY_PATCH)

    async def delete(
        self,
        api_version: str,
        kind: str,
        namespace: str | None,
        name: str,
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str | None = None,
    ) -> Json:
        """Delete an object. When ``uid`` is given and the object has another one, raise KubeError 409."""
        path = await self.resource_path(api_version, kind, namespace, name)
        return await self.request("DELETE", path, body=delete_options(grace_period_seconds, propagation_policy, uid))

    async def watch(
        self, path: str, *, params: Mapping[str, str] | None = None, resource_version: str | None = None
    ) -> AsyncIterator[Json]:
        """Yield events ``{"type", "object"}`` and bookmarks until the server ends the watch. Too old: KubeError 410."""
        parameters = watch_parameters(params, resource_version)
        async with self._http.stream("GET", path, params=parameters, timeout=WATCH_TIMEOUT) as response:
            if not response.is_success:
                await response.aread()
                self._decode(response)
            async for line in response.aiter_lines():
                yield event_of(line)
