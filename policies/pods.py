"""Read vLLM pods: what a Deployment's container runs, requests and waits for."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from math import ceil
from typing import Any, Final

from components.domain.capacity.capacity import ReplicaShape
from components.domain.naming import COLOR_KEY, CONTAINER_NAME, GPU_RESOURCE
from components.domain.vllm.serve_options import ServeOption, serve_options
from policies.commands import slept_seconds, words
from policies.probes import Probe
from policies.resources import DEPLOYMENT, Resource, at, items, table, tables, whole
from policies.service import Service

_UNITS: Final[Mapping[str, Decimal]] = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
}
_QUANTITY: Final = re.compile(r"(?P<number>[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)(?P<unit>[A-Za-z]{0,2})")


class Pods:
    """The pods of one Deployment."""

    def __init__(self, deployment: Resource) -> None:
        """Read the pods of a Deployment that ``is_vllm``."""
        self.deployment = deployment
        self.template = table(deployment.get("spec.template"))
        self.spec = table(self.template.get("spec"))
        self.container = _server(deployment)

    @property
    def replicas(self) -> int:
        """The number of pods; Kubernetes' default is 1."""
        asked = self.deployment.get("spec.replicas")
        return 1 if asked is None else whole(asked) or 0

    @property
    def labels(self) -> Mapping[str, Any]:
        """The pods' labels, which selectors match."""
        return table(at(self.template, "metadata.labels"))

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The pods' annotations."""
        return table(at(self.template, "metadata.annotations"))

    @property
    def containers(self) -> Iterator[Mapping[str, Any]]:
        """Yield every container, including init containers and sidecars."""
        yield from tables(self.spec.get("containers"))
        yield from tables(self.spec.get("initContainers"))

    @property
    def words(self) -> list[str]:
        """The words of the server's command line, with references to variables replaced by their values."""
        given = words(self.container.get("command"), self.container.get("args"))
        return [re.sub(r"\$\((\w+)\)", lambda found: str(self.variable(found[1]) or found[0]), word) for word in given]

    @cached_property
    def options(self) -> list[ServeOption]:
        """The server's options."""
        return serve_options(self.words)

    @property
    def arguments(self) -> Mapping[str, str]:
        """The server's options by name, such as ``--revision``, with their values; the value of a switch is empty."""
        read = [one for one in self.options if not (one.key or one.joined)]
        return {f"--no-{one.name.removeprefix('--')}" if one.negated else one.name: one.value for one in read}

    @property
    def model(self) -> str | None:
        """The served model: ``--model``, or the argument after ``serve``; the image itself may contain ``serve``."""
        given = self.words
        start = given.index("serve") + 1 if "serve" in given else 0
        first = given[start] if start < len(given) else ""
        named = self.arguments.get("--model")
        if named or first.startswith("-"):
            return named
        return (first or None) if start or self.container.get("command") is None else None

    def variable(self, name: str) -> Any:
        """Return an environment variable's value; None when it is not set, or not in plain text."""
        return next((one.get("value") for one in self.variables() if one.get("name") == name), None)

    def variables(self) -> Iterator[Mapping[str, Any]]:
        """Yield the environment variables."""
        return tables(self.container.get("env"))

    def probe(self, kind: str) -> Probe:
        """Return the server's ``startupProbe``, ``readinessProbe`` or ``livenessProbe``."""
        return Probe(self.container.get(kind))

    def volume_of(self, path: str) -> Mapping[str, Any] | None:
        """Return the volume that contains a path of the server; None when the path is in the image."""
        mounts = [(str(one.get("mountPath")).rstrip("/"), one) for one in tables(self.container.get("volumeMounts"))]
        over = [(where, one) for where, one in mounts if f"{path}/".startswith(f"{where}/")]
        if not over:
            return None
        _, innermost = max(over, key=lambda found: len(found[0]))
        name = innermost.get("name")
        return next((one for one in tables(self.spec.get("volumes")) if one.get("name") == name), {})

    @property
    def readiness_gates(self) -> list[Any]:
        """The extra conditions that a pod needs to be ready, besides its containers' readiness."""
        return [gate.get("conditionType") for gate in tables(self.spec.get("readinessGates"))]

    @property
    def shape(self) -> ReplicaShape | None:
        """The requests of one pod, all its containers together; None for a pod without a whole GPU."""
        gpus, cpus, memory = (self._asked(resource) or Decimal() for resource in (GPU_RESOURCE, "cpu", "memory"))
        if gpus < 1:
            return None
        # A pod without a request counts with the least amount.
        return ReplicaShape(
            gpus=ceil(gpus), millicpus=max(ceil(cpus * 1000), 1), memory_mib=max(ceil(memory / 1024**2), 1)
        )

    @property
    def pre_stop_seconds(self) -> int | None:
        """How long the pod keeps serving after its end begins, in seconds; None when it does not, or it is unknown."""
        hook = table(at(self.container, "lifecycle.preStop"))
        slept = whole(at(hook, "sleep.seconds"))
        return slept_seconds(at(hook, "exec.command")) if slept is None else slept

    @property
    def grace_period_seconds(self) -> int:
        """After how many seconds Kubernetes kills an ending pod."""
        asked = self.spec.get("terminationGracePeriodSeconds")
        return 30 if asked is None else whole(asked) or 0

    @property
    def shutdown_timeout_seconds(self) -> int | None:
        """How long vLLM lets running requests continue after SIGTERM, in seconds."""
        return whole(self.arguments.get("--shutdown-timeout"))

    @property
    def keep_alive_seconds(self) -> int | None:
        """How long vLLM keeps an idle connection, in seconds; None when it is not set, which means 5 s."""
        return whole(self.variable("VLLM_HTTP_TIMEOUT_KEEP_ALIVE"))

    @property
    def api_servers(self) -> int | None:
        """The number of API servers in one pod; None when it is not set, which means 1."""
        return whole(self.arguments.get("--api-server-count"))

    @property
    def engine_ready_seconds(self) -> int:
        """How long several API servers wait for the engine before vLLM exits, in seconds."""
        # https://github.com/vllm-project/vllm/blob/main/vllm/envs.py
        return whole(self.variable("VLLM_ENGINE_READY_TIMEOUT_S")) or 600

    def _asked(self, resource: str) -> Decimal | None:
        """Return the request that the scheduler counts: that of all running containers, or of the start if higher."""
        running, starting = Decimal(0), Decimal(0)
        for container in tables(self.spec.get("initContainers")):
            asked = _request(container, resource)
            if asked is None:
                return None
            # An init container that is always restarted is a sidecar: it runs beside all later containers.
            stays = container.get("restartPolicy") == "Always"
            running += asked if stays else 0
            starting = max(starting, running if stays else running + asked)
        for container in tables(self.spec.get("containers")):
            asked = _request(container, resource)
            if asked is None:
                return None
            running += asked
        return max(running, starting)


def is_vllm(resource: Resource) -> bool:
    """Return whether a resource is a Deployment whose pods run vLLM on GPUs, or that is labelled as a colour."""
    if resource.type != DEPLOYMENT:
        return False
    named = resource.color is not None or COLOR_KEY in table(resource.get("spec.template.metadata.labels"))
    return named or any(_is_server(one) for one in _containers(resource))


def vllm_deployments(service: Service) -> Iterator[Resource]:
    """Yield the Deployments of a service whose pods run vLLM."""
    return (one for one in service.of(DEPLOYMENT) if is_vllm(one))


def share_namespace(one: Resource, other: Resource) -> bool:
    """Return whether two Kubernetes objects are in the same namespace; otherwise neither selects the other."""
    mine, theirs = (each.get("metadata.namespace") or "default" for each in (one, other))
    return mine == theirs


def quantity(value: Any) -> Decimal | None:
    """Return the value of a Kubernetes quantity, such as ``3000m`` or ``12Gi``; None for anything else."""
    found = _QUANTITY.fullmatch(str(value))
    if found is None or found["unit"] not in _UNITS:
        return None
    return Decimal(found["number"]) * _UNITS[found["unit"]]


def _server(deployment: Resource) -> Mapping[str, Any]:
    """Return the container that serves, or the most likely one if the Deployment is only labelled as a colour."""
    containers = _containers(deployment)
    likely = [one for one in containers if _is_server(one)] or [one for one in containers if _has_gpu(one)]
    return next(iter((*likely, *containers)), {})


def _containers(deployment: Resource) -> list[Mapping[str, Any]]:
    return list(tables(deployment.get("spec.template.spec.containers")))


def _is_server(container: Mapping[str, Any]) -> bool:
    return container.get("name") == CONTAINER_NAME or (_has_gpu(container) and _runs_vllm(container))


def _has_gpu(container: Mapping[str, Any]) -> bool:
    return GPU_RESOURCE in table(at(container, "resources.limits"))


def _runs_vllm(container: Mapping[str, Any]) -> bool:
    given = [container.get("image"), *items(container.get("command")), *items(container.get("args"))]
    return any("vllm" in str(word) for word in given)


def _request(container: Mapping[str, Any], resource: str) -> Decimal | None:
    """Return a container's request; if it has only a limit, Kubernetes uses the limit as the request."""
    for kind in ("requests", "limits"):
        asked = table(at(container, f"resources.{kind}")).get(resource)
        if asked is not None:
            return quantity(asked)
    return Decimal(0)
