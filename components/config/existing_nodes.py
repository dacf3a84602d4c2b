"""Nodes that others bring: Karpenter, EKS Auto Mode, another autoscaler, or a platform team.

The program then declares no node group. Its pods say where they may run, and both colours may run on the same nodes.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, field_validator

from components.config.forms import all_different
from components.config.model import STRICT, Items
from components.config.pod_settings import LABEL_NAME, LABEL_VALUE
from components.domain.tolerations import Toleration

ZONE_LABEL: Final = "topology.kubernetes.io/zone"


class TolerationSettings(BaseModel):
    """A taint that pods tolerate."""

    model_config = STRICT

    key: Annotated[str, LABEL_NAME, Field(description="Key of the taint.", examples=["team"])]
    value: Annotated[str | None, LABEL_VALUE, Field(description="Value of the taint. Default: any.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
        Field(description="Effect of the taint. Default: any."),
    ] = None


class ExistingNodes(BaseModel):
    """Where the pods of both colours may run."""

    model_config = STRICT

    node_selector: Annotated[
        dict[Annotated[str, LABEL_NAME], Annotated[str, LABEL_VALUE]],
        Field(min_length=1, description="Labels of the nodes on which the pods of both colours run."),
    ]
    tolerations: Annotated[
        Items[TolerationSettings],
        Field(description="Taints of those nodes that the pods tolerate, besides `nvidia.com/gpu:NoSchedule`."),
    ] = ()
    topology: Annotated[
        Items[Annotated[str, LABEL_NAME]],
        Field(
            description="Labels of nodes over whose values a colour's pods are spread, if possible. Karpenter brings "
            "more nodes for that: with kubernetes.io/hostname, one for each replica."
        ),
    ] = (ZONE_LABEL,)

    @field_validator("topology")
    @classmethod
    def _be_different(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(items)

    @property
    def as_tolerations(self) -> tuple[Toleration, ...]:
        """The tolerations as values."""
        return tuple(Toleration(key=one.key, value=one.value, effect=one.effect) for one in self.tolerations)
