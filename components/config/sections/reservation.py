"""Reserved capacity for one colour's nodes: an On-Demand Capacity Reservation or a Capacity Block, bought elsewhere.

The stack does not buy reservations. An On-Demand Capacity Reservation costs the same whether used or idle
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-reservations-pricing-billing.html), so creating one with
the nodes would save nothing, and deleting it with the nodes would give up capacity that is hard to get again. A
Capacity Block is paid in advance, and no update should make such a purchase as a side effect.

Each colour has its own reservation, named in the launch template of its node group. So a new reservation for the idle
colour does not change the serving colour. A colour's reservation can be replaced once the colour has no nodes.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, model_validator

from components.config.reading.forms import RESERVATION, RESERVATION_GROUP, SUBNET, TIME
from components.config.reading.model import STRICT
from components.config.reading.violations import Violation, wrong

# EKS scales a node group in a Capacity Block to zero this long before the block ends.
# https://docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html
BLOCK_LEAD: Final = timedelta(minutes=40)


class Reservation(BaseModel):
    """The reservation that a colour's nodes run in, and its end, which is required so that it is not forgotten."""

    model_config = STRICT

    kind: Annotated[
        Literal["on_demand", "capacity_block"],
        Field(description="An On-Demand Capacity Reservation, or a Capacity Block for ML."),
    ]
    id: Annotated[str | None, RESERVATION, Field(description="Id of the reservation.")] = None
    resource_group_arn: Annotated[
        str | None,
        RESERVATION_GROUP,
        Field(description="ARN of a resource group of On-Demand Capacity Reservations, instead of an id."),
    ] = None
    subnet_id: Annotated[
        str | None, SUBNET, Field(description="A subnet in the reservation's zone; required with an id.")
    ] = None
    ends: Annotated[datetime, TIME, Field(description="RFC 3339 time at which it ends.", examples=[TIME.example])]

    @model_validator(mode="after")
    def _name_one_target(self) -> Self:
        if violations := tuple(self._target_violations()):
            raise wrong(*violations)
        return self

    def _target_violations(self) -> Iterator[Violation]:
        if self.resource_group_arn is not None and (self.id is not None or self.kind == "capacity_block"):
            is_block = self.kind == "capacity_block"
            why = "a capacity block has no group" if is_block else "the id already names the reservation"
            yield Violation(("resource_group_arn",), f"must not be set: {why}", "Remove it.", self.resource_group_arn)
        elif self.id is None and self.resource_group_arn is None:
            other = "" if self.kind == "capacity_block" else ", or resource_group_arn instead"
            yield Violation(("id",), f"is required but not set{other}", f"Set it to {RESERVATION.expected}.")
        if self.id is not None and self.subnet_id is None:
            what = "is required but not set: a reservation is in one zone, and its nodes start only there"
            yield Violation(("subnet_id",), what, f"Set it to {SUBNET.expected}.")

    @property
    def nodes_end(self) -> datetime | None:
        """When EKS removes the nodes. None when they outlive the reservation as ordinary On-Demand instances.

        After an On-Demand Capacity Reservation has ended, no new node can start, not even as a repair: the launch
        template allows only the reservation.
        """
        return self.ends - BLOCK_LEAD if self.kind == "capacity_block" else None

    def outlasts(self, moment: datetime) -> bool:
        """Return whether the nodes still exist at a moment."""
        return self.nodes_end is None or self.nodes_end >= moment
