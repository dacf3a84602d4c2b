"""The product's own Kubernetes objects, as its program registers them."""

from typing import Any

from rehearsal.providers.values import Tree
from tests.components.example import release, run_program
from tests.components.registrations import Registered

NAMESPACE = "parity"

_PROMPTS = {"chat_template.jinja": "{{ messages }}"}
_NEW_PROMPTS = {"chat_template.jinja": "{{ messages }}?"}
_GREEN = {"replicas": 1, "release": release(sampling={"temperature": 0.5})}

FIRST = {"blue": {"replicas": 2, "release": release(prompts=_PROMPTS)}, "green": _GREEN}
RELEASED = {
    "blue": {"replicas": 2, "release": release(prompts=_NEW_PROMPTS, model="org/other")},
    "green": {"replicas": 1},
}
"""Blue has a new release (ConfigMaps are named after their content); green has none."""
SCALED = {**FIRST, "blue": {"replicas": 1, "release": release(prompts=_PROMPTS)}}
"""Blue has one replica fewer."""


def objects(config: dict[str, Any]) -> dict[tuple[str, str], Tree]:
    """Return inputs by type token and logical name, in the order of registration."""
    registrations = run_program(service_name=NAMESPACE, **config)
    return {
        (resource.token, resource.name): whole_numbers(resource.inputs)
        for resource in registrations.resources.values()
        if _is_object(resource)
    }


def _is_object(resource: Registered) -> bool:
    return resource.token.startswith("kubernetes:")


def whole_numbers(value: Any) -> Any:
    """Turn the engine protocol's floats back into integers."""
    if isinstance(value, dict):
        fields: Tree = value
        return {key: whole_numbers(item) for key, item in fields.items()}
    if isinstance(value, list):
        items: list[Any] = value
        return [whole_numbers(item) for item in items]
    return int(value) if isinstance(value, float) and value.is_integer() else value
