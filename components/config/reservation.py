"""Reserved capacity for one colour's nodes: an On-Demand Capacity Reservation or a Capacity Block, bought elsewhere.

The stack does not buy it. An On-Demand Capacity Reservation costs the same whether used or idle, so one that the stack
made together with the nodes would be nodes by another name, and taking it back with the nodes would give away what
was hard to get; a Capacity Block is paid in advance, which no update should do on the side.

Each colour names its own. A node group's launch template names the reservation, so that a new one for the idle colour
is no change of the colour that serves; and a colour keeps its own until it has no nodes, when another can take its
place.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, model_validator

from components.config.forms import RESERVATION, RESERVATION_GROUP, SUBNET, TIME
from components.config.model import STRICT
from components.config.violations import Violation, wrong

# EKS scales a node group in a Capacity Block down to nothing that long before the block ends.
BLOCK_LEAD: Final = timedelta(minutes=40)


class Reservation(BaseModel):
    """What a colour's nodes run in, and until when; its end is required so that nobody forgets it."""

    model_config = STRICT

    kind: Annotated[
        Literal["on_demand", "capacity_block"],
        Field(description="An On-Demand Capacity Reservation, or a Capacity Block for ML."),
    ]
    id: Annotated[str | None, RESERVATION, Field(description="The reservation.")] = None
    resource_group_arn: Annotated[
        str | None, RESERVATION_GROUP, Field(description="A resource group of such reservations, instead of an id.")
    ] = None
    subnet_id: Annotated[
        str | None, SUBNET, Field(description="The subnet in the reservation's zone; required with an id.")
    ] = None
    ends: Annotated[
        str,
        TIME,
        Field(min_length=1, description="RFC 3339 time at which it ends.", examples=[TIME.example]),
    ]

    @model_validator(mode="after")
    def _name_one_target(self) -> Self:
        if violations := tuple(self._target_violations()):
            raise wrong(*violations)
        return self

    def _target_violations(self) -> Iterator[Violation]:
        if self.resource_group_arn is not None and (self.id is not None or self.kind == "capacity_block"):
            why = "a capacity block has no group" if self.kind == "capacity_block" else "the id says it already"
            yield Violation(("resource_group_arn",), f"must not be set: {why}", "Remove it.", self.resource_group_arn)
        elif self.id is None and self.resource_group_arn is None:
            other = "" if self.kind == "capacity_block" else ", or resource_group_arn instead"
            yield Violation(("id",), f"is required but not set{other}", f"Set it to {RESERVATION.expected}.")
        if self.id is not None and self.subnet_id is None:
            what = "is required but not set: a reservation is in one zone, and its nodes start nowhere else"
            yield Violation(("subnet_id",), what, f"Set it to {SUBNET.expected}.")

    @property
    def nodes_end(self) -> datetime | None:
        """When EKS takes the nodes away; none: they outlive the reservation as ordinary On-Demand instances.

        An On-Demand Capacity Reservation that has ended still bars new nodes, such as a repaired one, since the
        launch template allows nothing but the reservation.
        """
        return _time(self.ends) - BLOCK_LEAD if self.kind == "capacity_block" else None

    def outlasts(self, time: str) -> bool:
        """Tell whether its nodes are still there at an RFC 3339 time."""
        return self.nodes_end is None or self.nodes_end >= _time(time)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.upper())
