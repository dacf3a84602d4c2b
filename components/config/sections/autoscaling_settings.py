"""Settings of the autoscaler: between how many replicas KEDA decides, and by which metric."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, model_validator

from components.config.reading.forms import URL
from components.config.reading.model import STRICT
from components.config.reading.violations import Violation, wrong
from components.domain.capacity.floors import Scaling
from components.domain.naming import Color

# https://github.com/vllm-project/vllm/blob/main/vllm/v1/metrics/loggers.py
_METRICS: Final = {
    "waiting_requests": "vllm[:_]num_requests_waiting",
    "requests": "vllm[:_]num_requests_(running|waiting)",
}


class AutoscalingSettings(BaseModel):
    """How KEDA resizes each colour."""

    model_config = STRICT

    min_replicas: Annotated[
        int, Field(ge=1, le=1000, description="Fewest replicas of a colour that is not parked, outside a rollout.")
    ]
    max_replicas: Annotated[
        int, Field(ge=1, le=1000, description="Most replicas of a colour. There are nodes for as many.")
    ]
    metric: Annotated[
        Literal["waiting_requests", "requests"],
        Field(description="What is counted for each replica: requests in vLLM's queue, or also those that it runs."),
    ] = "waiting_requests"
    target: Annotated[
        float,
        Field(gt=0, le=100_000, description="How many of them a replica should have on average.", examples=[5]),
    ]
    prometheus_url: Annotated[
        str,
        URL,
        Field(
            description="Prometheus as KEDA reaches it from inside the cluster. Its series have the labels `service` "
            "and `color`, as the gates need them."
        ),
    ]

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if self.min_replicas > self.max_replicas:
            what = f"must be at least min_replicas {self.min_replicas}"
            raise wrong(Violation(("max_replicas",), what, "Or lower min_replicas.", self.max_replicas))
        return self

    @property
    def scaling(self) -> Scaling:
        """Between how many replicas a colour is."""
        return Scaling(min_replicas=self.min_replicas, max_replicas=self.max_replicas)

    def query(self, service: str, color: Color) -> str:
        """Return the query for the sum of the metric over a colour's pods. KEDA divides it by their number."""
        return f'sum({{__name__=~"{_METRICS[self.metric]}", service="{service}", color="{color}"}})'
