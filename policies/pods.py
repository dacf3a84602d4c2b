"""The reader of vLLM pods: what a Deployment's container runs, asks for and waits for."""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any, Final

from components.capacity import ReplicaShape
from components.naming import CONTAINER_NAME, GPU_RESOURCE
from policies.resource import DEPLOYMENT, Resource, at, items, table, tables, whole

_UNITS: Final[Mapping[str, Decimal]] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTP", start=1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTP", start=1)},
}


class Pods:
    """The pods of one Deployment."""

    def __init__(self, deployment: Resource) -> None:
        """Read the pods of a Deployment that ``is_vllm``."""
        self.deployment = deployment
        self.spec = table(deployment.get("spec.template.spec"))
        self.container = _vllm_container(deployment) or {}

    @property
    def replicas(self) -> int:
        """How many there are; Kubernetes runs one where nothing is said."""
        asked = self.deployment.get("spec.replicas")
        return 1 if asked is None else whole(asked) or 0

    @property
    def arguments(self) -> Mapping[str, str]:
        """The server's options by name, ``--revision`` say, each with its value; empty for a switch."""
        words = [str(word) for word in (*items(self.container.get("command")), *items(self.container.get("args")))]
        found: dict[str, str] = {}
        for word, following in zip(words, (*words[1:], "--"), strict=True):
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                found[name.replace("_", "-")] = value if equals or following.startswith("--") else following
        return found

    def variable(self, name: str) -> Any:
        """Return an environment variable's value; none where it is not set, or not in plain text."""
        return next((one.get("value") for one in self.variables() if one.get("name") == name), None)

    def variables(self) -> Iterator[Mapping[str, Any]]:
        """Yield the environment variables."""
        return tables(self.container.get("env"))

    @property
    def shape(self) -> ReplicaShape | None:
        """What one pod asks of its node, all its containers together; none for a pod without a GPU."""
        containers = list(tables(self.spec.get("containers")))
        gpus, cpus, memory = (
            sum((_asked(container, what) for container in containers), Decimal())
            for what in (GPU_RESOURCE, "cpu", "memory")
        )
        if gpus < 1:
            return None
        # Whoever asks for nothing still is somewhere.
        return ReplicaShape(
            gpus=int(gpus), millicpus=max(ceil(cpus * 1000), 1), memory_mib=max(ceil(memory / 1024**2), 1)
        )

    @property
    def pre_stop_seconds(self) -> int | None:
        """How long the pod serves on once it is to end; none: not at all, or nobody can tell."""
        return whole(at(self.container, "lifecycle.preStop.sleep.seconds"))

    @property
    def grace_period_seconds(self) -> int:
        """When Kubernetes ends the pod by force."""
        asked = self.spec.get("terminationGracePeriodSeconds")
        return 30 if asked is None else whole(asked) or 0

    @property
    def shutdown_timeout_seconds(self) -> int | None:
        """How long vLLM lets running requests go on once it is told to end."""
        return whole(self.arguments.get("--shutdown-timeout"))


def is_vllm(resource: Resource) -> bool:
    """Tell a Deployment whose pods run vLLM on GPUs, or that says it is a colour of ours, from any other one."""
    if resource.type != DEPLOYMENT:
        return False
    return resource.color is not None or _vllm_container(resource) is not None


def quantity(value: Any) -> Decimal | None:
    """Read a Kubernetes quantity, such as ``3000m`` or ``12Gi``; none for anything else."""
    text = str(value)
    digits = text.rstrip("KMGTPkim")
    try:
        return Decimal(digits) * _UNITS[text.removeprefix(digits)]
    except (InvalidOperation, KeyError):
        return None


def _asked(container: Mapping[str, Any], what: str) -> Decimal:
    """Return what a container asks for; Kubernetes takes its limit where it says nothing else."""
    resources = table(container.get("resources"))
    requested = table(resources.get("requests")).get(what)
    limit = table(resources.get("limits")).get(what)
    return quantity(limit if requested is None else requested) or Decimal()


def _vllm_container(deployment: Resource) -> Mapping[str, Any] | None:
    containers = list(tables(deployment.get("spec.template.spec.containers")))
    named = [one for one in containers if one.get("name") == CONTAINER_NAME]
    asking = [one for one in containers if GPU_RESOURCE in table(at(one, "resources.limits")) and _runs_vllm(one)]
    return next(iter((*named, *asking)), None)


def _runs_vllm(container: Mapping[str, Any]) -> bool:
    words = [container.get("image"), *items(container.get("command")), *items(container.get("args"))]
    return any("vllm" in str(word) for word in words)
