"""Nodes that others bring: Karpenter, EKS Auto Mode, another autoscaler, or a platform team.

The program then declares no node group. Its pods say where they may run, and both colours may run on the same nodes.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.forms import RESERVATION, Form, all_different, matching
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation, wrong
from components.config.sections.pod_settings import LABEL_NAME, LABEL_VALUE, OBJECT_NAME
from components.domain.nodes.tolerations import Toleration

ZONE_LABEL: Final = "topology.kubernetes.io/zone"

ZONE: Final = Form(
    "an availability zone",
    "us-east-1a",
    matching(r"[a-z]{2,4}(-[a-z]{1,12}){1,3}-[0-9]{1,2}(-[a-z]{1,12}-[0-9]{1,2})?[a-z]"),
)


class TolerationSettings(BaseModel):
    """A taint that pods tolerate."""

    model_config = STRICT

    key: Annotated[str, LABEL_NAME, Field(description="Key of the taint.", examples=["team"])]
    value: Annotated[str | None, LABEL_VALUE, Field(description="Value of the taint. Default: any.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
        Field(description="Effect of the taint. Default: any."),
    ] = None


class KarpenterNodePool(BaseModel):
    """What Karpenter or EKS Auto Mode makes the nodes of each colour from."""

    model_config = STRICT

    node_class: Annotated[
        str, OBJECT_NAME, Field(description="An existing node class: image, subnets, security groups, role, disks.")
    ]
    node_class_kind: Annotated[
        Literal["EC2NodeClass", "NodeClass"],
        Field(description="Kind of the node class: EC2NodeClass of Karpenter, or NodeClass of EKS Auto Mode."),
    ] = "EC2NodeClass"
    zones: Annotated[
        Items[Annotated[str, ZONE]],
        Field(description="Zones of the nodes. Default: those of the node class's subnets."),
    ] = ()
    capacity_reservation_ids: Annotated[
        Items[Annotated[str, RESERVATION]],
        Field(
            description="Capacity reservations in which alone nodes start; the EC2NodeClass must select them, too. "
            "Default: those that the node class selects, and then plain On-Demand capacity."
        ),
    ] = ()

    @field_validator("zones", "capacity_reservation_ids")
    @classmethod
    def _be_different(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(items)

    @model_validator(mode="after")
    def _name_reservations_where_that_works(self) -> Self:
        # EKS Auto Mode has no label for the id of a reservation.
        # https://docs.aws.amazon.com/eks/latest/userguide/auto-odcr.html
        if self.capacity_reservation_ids and self.node_class_kind == "NodeClass":
            what = "must not be set with node_class_kind NodeClass: EKS Auto Mode has no label for it"
            fix = "Select them in the NodeClass: capacityReservationSelectorTerms."
            raise wrong(Violation(("capacity_reservation_ids",), what, fix, self.capacity_reservation_ids))
        return self


class ExistingNodes(BaseModel):
    """Where the pods of both colours may run."""

    model_config = STRICT

    node_selector: Annotated[
        dict[Annotated[str, LABEL_NAME], Annotated[str, LABEL_VALUE]],
        Field(
            description="Labels of the nodes on which the pods of both colours run. Required unless "
            "`karpenter_node_pool` is given."
        ),
    ] = {}
    karpenter_node_pool: Annotated[
        KarpenterNodePool | None,
        Field(
            description="Node pools of Karpenter or EKS Auto Mode that the program declares, one for each colour. "
            "Default: none."
        ),
    ] = None
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

    autoscaled: Annotated[
        bool,
        Field(
            description="True: an autoscaler such as Karpenter brings these nodes when pods need them. With "
            "`karpenter_node_pool`, that is always so."
        ),
    ] = False

    @field_validator("topology")
    @classmethod
    def _be_different(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(items)

    @model_validator(mode="after")
    def _say_where(self) -> Self:
        if not self.node_selector and self.karpenter_node_pool is None:
            what = "is required without karpenter_node_pool but not set"
            raise wrong(Violation(("node_selector",), what, 'Name a label of the nodes, e.g. {"team": "llm"}.'))
        if self.node_selector and self.karpenter_node_pool is not None:
            what = "must not be set with karpenter_node_pool: pods select the nodes of that pool"
            raise wrong(Violation(("node_selector",), what, "Remove one of the two.", dict(self.node_selector)))
        return self

    @property
    def as_tolerations(self) -> tuple[Toleration, ...]:
        """The tolerations as values."""
        return tuple(Toleration(key=one.key, value=one.value, effect=one.effect) for one in self.tolerations)
