"""Builds requests to the Kubernetes API and reads its answers, without I/O."""

import json
import re
from collections.abc import Mapping
from typing import Any, Self

import httpx

from rehearsal.kube.kubeconfig import Kubeconfig

Json = dict[str, Any]
"""A Kubernetes object as the API returns it."""

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
WATCH_TIMEOUT = httpx.Timeout(None, connect=5.0)
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
        """Make the error from the API's ``Status`` object."""
        return cls(status.get("code", 500), status.get("reason", ""), status.get("message", ""))


class KubeCommon:
    """The common part of the synchronous and the asynchronous client: everything but I/O."""

    def __init__(self, config: Kubeconfig) -> None:
        self.server = config.server
        self.namespace = config.namespace
        self.warnings: list[str] = []
        """The API server's warnings so far, each once."""
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
    """Return the path of a group version: ``/api/v1`` or ``/apis/<group>/<version>``."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def identity_of(obj: Json) -> tuple[str, str, str | None, str | None]:
    """Return an object's API version, kind, namespace and name."""
    metadata = obj.get("metadata", {})
    return obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata.get("name")


def selectors(label_selector: str | None, field_selector: str | None) -> dict[str, str]:
    """Return the query parameters of a list."""
    pairs = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in pairs.items() if value}


def apply_parameters(field_manager: str, force: bool, dry_run: bool) -> dict[str, str]:
    """Return the query parameters of a server-side apply."""
    parameters = {"fieldManager": field_manager, "fieldValidation": "Strict"}
    if force:
        parameters["force"] = "true"
    if dry_run:
        parameters["dryRun"] = "All"
    return parameters


def delete_options(grace_period_seconds: int | None, propagation_policy: str | None, uid: str | None) -> Json:
    """Return the body of a deletion."""
    options: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    if propagation_policy is not None:
        options["propagationPolicy"] = propagation_policy
    if uid is not None:
        options["preconditions"] = {"uid": uid}
    return options


def watch_parameters(params: Mapping[str, str] | None, resource_version: str | None) -> dict[str, str]:
    """Return the query parameters of a watch."""
    parameters = {**(params or {}), "watch": "true", "allowWatchBookmarks": "true"}
    if resource_version is not None:
        parameters["resourceVersion"] = resource_version
    return parameters


def event_of(line: str) -> Json:
    """Parse one event of a watch. Raises KubeError when it is the server's error."""
    event: Json = json.loads(line)
    if event["type"] == "ERROR":
        raise KubeError.from_status(event["object"])
    return event
