"""The replicas of one service, as Kubernetes reports them."""

import os
from typing import TYPE_CHECKING, Any

from components.config.reading.secret_values import secret_kind
from components.domain.naming import COLOR_KEY, CONTAINER_NAME, RELEASE_KEY, SERVICE_KEY, Color
from rollout.model.errors import RolloutError
from rollout.model.nodes import Pod
from rollout.system.failures import describe_error
from rollout.system.waits import waiting

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

REQUEST_TIMEOUT_SECONDS = 10
# urllib3 repeats a request up to three times.
# https://urllib3.readthedocs.io/en/stable/reference/urllib3.util.html#urllib3.util.Retry
LONGEST_CALL_SECONDS = 4 * REQUEST_TIMEOUT_SECONDS
_MAX_LINE_CHARACTERS = 300


class KubernetesReplicas:
    """Reads pods from the API server that KUBECONFIG or the surrounding pod points to."""

    def __init__(self, *, service: str, namespace: str, context: str | None = None) -> None:
        """Read the pods of ``service`` in ``namespace``, with ``context`` or the kubeconfig's current context."""
        self._service = service
        self._namespace = namespace
        self._context = context
        self._api: CoreV1Api | None = None

    def pods(self, color: Color) -> tuple[Pod, ...]:
        """List a colour's pods, including terminating ones.

        Raises:
            RolloutError: the API server refuses or does not answer.
        """
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            with waiting(f"Kubernetes (list the pods of {color})", at_most_seconds=LONGEST_CALL_SECONDS):
                listed = self._client().list_namespaced_pod(
                    self._namespace,
                    label_selector=f"{SERVICE_KEY}={self._service},{COLOR_KEY}={color}",
                    _request_timeout=REQUEST_TIMEOUT_SECONDS,
                )
        except (ApiException, HTTPError) as error:
            raise RolloutError(f"Kubernetes cannot list the pods of {color}: {describe_error(error)}") from error
        return tuple(_pod(item) for item in listed.items)

    def _client(self) -> "CoreV1Api":
        if self._api is None:
            self._api = core_api(self._context)
        return self._api


def core_api(context: str | None) -> "CoreV1Api":
    """Return a client of the API server that KUBECONFIG or, without a context, the surrounding pod points to.

    Raises:
        RolloutError: there is no usable configuration.
    """
    # The official client takes seconds to import, and most commands end before they need it.
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    try:
        try:
            config.load_kube_config(context=context)
        except ConfigException:
            # A pod knows one cluster, without a context.
            if context is not None or not os.environ.get("KUBERNETES_SERVICE_HOST"):
                raise
            config.load_incluster_config()
    except ConfigException as error:
        raise RolloutError(f"no access to Kubernetes: {describe_error(error)}") from error
    return client.CoreV1Api()


def _pod(item: Any) -> Pod:
    conditions = {one.type: one for one in item.status.conditions or ()}
    statuses = [one for one in item.status.container_statuses or () if one.name == CONTAINER_NAME]
    ready = conditions.get("Ready")
    return Pod(
        name=item.metadata.name,
        release_id=(item.metadata.labels or {}).get(RELEASE_KEY, ""),
        ready=ready is not None and ready.status == "True",
        terminating=item.metadata.deletion_timestamp is not None,
        waiting_reason=_waiting_reason(conditions, statuses),
        restarts=sum(one.restart_count for one in statuses),
        crash=next((line for one in statuses if (line := _last_line(one))), ""),
    )


def _last_line(status: Any) -> str:
    """Return the last line that a container wrote before its last crash."""
    states = [
        state for state in (status.state, status.last_state) if state is not None and state.terminated is not None
    ]
    message = next((state.terminated.message for state in states if state.terminated.message), "")
    line = next((line.strip() for line in reversed(message.splitlines()) if line.strip()), "")
    line = "".join(character for character in line if character.isprintable())
    if secret_kind(line):
        return ""
    return line if len(line) <= _MAX_LINE_CHARACTERS else f"{line[:_MAX_LINE_CHARACTERS]}…"


def _waiting_reason(conditions: dict[str, Any], statuses: list[Any]) -> str:
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return f"{scheduled.reason}: {scheduled.message}"
    for status in statuses:
        if status.state is not None and status.state.waiting is not None:
            return status.state.waiting.reason or ""
    return ""
