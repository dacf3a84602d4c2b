"""Blue and green vLLM behind an ALB, as Pulumi components.

Usage: ``from components import BlueGreenService, BlueGreenServiceArgs``. A component is imported on first use, so
programs that need only the settings or the arithmetic do not load Pulumi's providers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from components.resources.blue_green_service import BlueGreenService, BlueGreenServiceArgs
    from components.resources.gpu_node_group import GpuNodeGroup, GpuNodeGroupArgs
    from components.resources.vllm_stack import VllmStack, VllmStackArgs
    from components.resources.weighted_router import WeightedRouter, WeightedRouterArgs

__all__ = [
    "BlueGreenService",
    "BlueGreenServiceArgs",
    "GpuNodeGroup",
    "GpuNodeGroupArgs",
    "VllmStack",
    "VllmStackArgs",
    "WeightedRouter",
    "WeightedRouterArgs",
]

_MODULES: Final = {
    "BlueGreenService": "blue_green_service",
    "GpuNodeGroup": "gpu_node_group",
    "VllmStack": "vllm_stack",
    "WeightedRouter": "weighted_router",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name.removesuffix("Args"))
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"components.resources.{module}"), name)
