"""A thin client of the Kubernetes REST API on httpx, for processes that must start fast."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from rehearsal.kubeconfig import Kubeconfig, load_kubeconfig

Json = dict[str, Any]
"""A Kubernetes object as the API gives it."""

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_WATCH_TIMEOUT = httpx.Timeout(None, connect=5.0)
_WARNING_HEADER = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


class KubeError(Exception):
    """The API server refused a request: HTTP status, machine-readable reason and message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{message} ({status} {reason})")
        self.status = status
        self.reason = reason
        self.message = message

    @classmethod
    def from_status(cls, status: Json) -> Self:
        """From a ``Status`` object of the API."""
        return cls(status.get("code", 500), status.get("reason", ""), status.get("message", ""))


class _Common:
    """What the synchronous and the asynchronous client share: everything but the I/O."""

    def __init__(self, config: Kubeconfig) -> None:
        self.server = config.server
        self.namespace = config.namespace
        self.warnings: list[str] = []
        """Warnings that the API server attached to answers so far, each once."""
        self._discovered: dict[str, dict[str, Json]] = {}
        self._headers = {"Authorization": f"Bearer {config.token}"} if config.token else {}

    def _decode(self, response: httpx.Response) -> Any:
        for text in _WARNING_HEADER.findall(", ".join(response.headers.get_list("warning"))):
            warning = text.replace('\\"', '"').replace("\\\\", "\\")
            if warning not in self.warnings:
                self.warnings.append(warning)
        if response.is_success:
            is_json = "json" in response.headers.get("content-type", "")
            return response.json() if is_json else response.text
        try:
            status = response.json()
        except ValueError:
            raise KubeError(response.status_code, response.reason_phrase, response.text) from None
        raise KubeError(response.status_code, status.get("reason", ""), status.get("message", response.text))

    def _known(self, api_version: str, kind: str) -> Json | None:
        return self._discovered.get(api_version, {}).get(kind)

    def _learn(self, api_version: str, answer: Json) -> None:
        self._discovered[api_version] = {r["kind"]: r for r in answer["resources"] if "/" not in r["name"]}

    def _path(self, api_version: str, kind: str, namespace: str | None, name: str | None) -> str:
        resource = self._known(api_version, kind)
        if resource is None:
            raise KubeError(404, "NotFound", f'no matches for kind "{kind}" in version "{api_version}"')
        path = group_path(api_version)
        if namespace and resource["namespaced"]:
            path += f"/namespaces/{namespace}"
        elif name and resource["namespaced"]:
            path += f"/namespaces/{self.namespace}"
        path += f"/{resource['name']}"
        return f"{path}/{name}" if name else path


def group_path(api_version: str) -> str:
    """Where the API server keeps a group version: ``/api/v1`` or ``/apis/<group>/<version>``."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _identity(obj: Json) -> tuple[str, str, str | None, str | None]:
    metadata = obj.get("metadata", {})
    return obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata.get("name")


def _selectors(label_selector: str | None, field_selector: str | None) -> dict[str, str]:
    pairs = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in pairs.items() if value}


def _apply_parameters(field_manager: str, force: bool, dry_run: bool) -> dict[str, str]:
    parameters = {"fieldManager": field_manager, "fieldValidation": "Strict"}
    if force:
        parameters["force"] = "true"
    if dry_run:
        parameters["dryRun"] = "All"
    return parameters


def _delete_options(grace_period_seconds: int | None, propagation_policy: str | None, uid: str | None) -> Json:
    options: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    if propagation_policy is not None:
        options["propagationPolicy"] = propagation_policy
    if uid is not None:
        options["preconditions"] = {"uid": uid}
    return options


def _watch_parameters(params: Mapping[str, str] | None, resource_version: str | None) -> dict[str, str]:
    parameters = {**(params or {}), "watch": "true", "allowWatchBookmarks": "true"}
    if resource_version is not None:
        parameters["resourceVersion"] = resource_version
    return parameters


def _event(line: str) -> Json:
    event: Json = json.loads(line)
    if event["type"] == "ERROR":
        raise KubeError.from_status(event["object"])
    return event


class KubeClient(_Common):
    """Synchronous client; may be shared between threads. Every call raises KubeError or httpx.HTTPError."""

    def __init__(self, config: Kubeconfig) -> None:
        super().__init__(config)
        self._http = httpx.Client(
            base_url=config.server, verify=config.tls, headers=self._headers, timeout=_TIMEOUT, trust_env=False
        )

    @classmethod
    def from_kubeconfig(cls, path: str | Path | None = None, context: str | None = None) -> Self:
        """Client for one context of a kubeconfig file (KUBECONFIG and its current context when None)."""
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
        """One request; the answer's parsed JSON, or its text when it is not JSON."""
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if content else None
        return self._decode(self._http.request(method, path, params=params, content=content, headers=headers))

    def resource_path(self, api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
        """Path of an object, or of its collection when ``name`` is None (in all namespaces when that is None too)."""
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
        """The list object: ``items``, and ``metadata.resourceVersion`` to watch from."""
        path = self.resource_path(api_version, kind, namespace)
        return self.request("GET", path, params=_selectors(label_selector, field_selector))

    def create(self, obj: Json) -> Json:
        api_version, kind, namespace, _ = _identity(obj)
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
        """Server-side apply with strict field validation; a conflict of ownership is KubeError 409 unless forced."""
        path = self.resource_path(*_identity(obj))
        parameters = _apply_parameters(field_manager, force, dry_run)
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
        """Delete it, unless ``uid`` is given and the object is another one by now (KubeError 409)."""
        path = self.resource_path(api_version, kind, namespace, name)
        return self.request("DELETE", path, body=_delete_options(grace_period_seconds, propagation_policy, uid))

    def watch(
        self, path: str, *, params: Mapping[str, str] | None = None, resource_version: str | None = None
    ) -> Iterator[Json]:
        """Events ``{"type", "object"}`` (bookmarks too) until the server ends the watch; KubeError 410 when too old."""
        parameters = _watch_parameters(params, resource_version)
        with self._http.stream("GET", path, params=parameters, timeout=_WATCH_TIMEOUT) as response:
            if not response.is_success:
                response.read()
                self._decode(response)
            for line in response.iter_lines():
                yield _event(line)


class AsyncKubeClient(_Common):
    """The same surface for asyncio. Every call raises KubeError or httpx.HTTPError."""

    def __init__(self, config: Kubeconfig) -> None:
        super().__init__(config)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=10)
        self._http = httpx.AsyncClient(
            base_url=config.server,
            verify=config.tls,
            headers=self._headers,
            timeout=_TIMEOUT,
            limits=limits,
            trust_env=False,
        )

    @classmethod
    def from_kubeconfig(cls, path: str | Path | None = None, context: str | None = None) -> Self:
        """Client for one context of a kubeconfig file (KUBECONFIG and its current context when None)."""
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
        """One request; the answer's parsed JSON, or its text when it is not JSON."""
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if content else None
        response = await self._http.request(method, path, params=params, content=content, headers=headers)
        return self._decode(response)

    async def resource_path(self, api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
        """Path of an object, or of its collection when ``name`` is None (in all namespaces when that is None too)."""
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
        """The list object: ``items``, and ``metadata.resourceVersion`` to watch from."""
        path = await self.resource_path(api_version, kind, namespace)
        return await self.request("GET", path, params=_selectors(label_selector, field_selector))

    async def create(self, obj: Json) -> Json:
        api_version, kind, namespace, _ = _identity(obj)
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
        """Server-side apply with strict field validation; a conflict of ownership is KubeError 409 unless forced."""
        path = await self.resource_path(*_identity(obj))
        parameters = _apply_parameters(field_manager, force, dry_run)
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
        """Delete it, unless ``uid`` is given and the object is another one by now (KubeError 409)."""
        path = await self.resource_path(api_version, kind, namespace, name)
        return await self.request("DELETE", path, body=_delete_options(grace_period_seconds, propagation_policy, uid))

    async def watch(
        self, path: str, *, params: Mapping[str, str] | None = None, resource_version: str | None = None
    ) -> AsyncIterator[Json]:
        """Events ``{"type", "object"}`` (bookmarks too) until the server ends the watch; KubeError 410 when too old."""
        parameters = _watch_parameters(params, resource_version)
        async with self._http.stream("GET", path, params=parameters, timeout=_WATCH_TIMEOUT) as response:
            if not response.is_success:
                await response.aread()
                self._decode(response)
            async for line in response.aiter_lines():
                yield _event(line)
