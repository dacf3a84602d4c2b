"""Settings of the metric gates: absolute limits, limits relative to the active colour, and dry runs."""

from typing import Annotated

from pydantic import BaseModel, Field

from components.config.reading.durations import PositiveSeconds
from components.config.reading.forms import SLICE_LABEL
from components.config.reading.model import STRICT

DryRun = Annotated[bool, Field(description="True: the verdict is written to the journal but decides nothing.")]
P95Limit = Annotated[PositiveSeconds, Field(description="Highest 95th percentile of the candidate, in seconds.")]
Ratio = Annotated[
    float, Field(ge=1, le=1000, description="Highest ratio of the candidate's latencies to the active colour's.")
]
Increase = Annotated[
    float, Field(ge=0, le=100, description="Largest increase over the active colour's share, in percentage points.")
]

By = Annotated[
    str | None,
    SLICE_LABEL,
    Field(description="Label of the pods' metrics: each of its values is judged by itself, too. Default: none."),
]


class ErrorRateSettings(BaseModel):
    """Failed requests: 5xx, and generations that ended in an error or were aborted."""

    model_config = STRICT

    dry_run: DryRun = False
    limit_percent: Annotated[float, Field(ge=0, le=100, description="Highest share of failed candidate requests.")] = (
        1.0
    )
    increase_limit_points: Increase = 0.5


class PodErrorRateSettings(ErrorRateSettings):
    """Failed requests as the pods count them."""

    model_config = STRICT

    by: By = None


class AbandonedSettings(BaseModel):
    """Abandoned requests: the client hung up before its answer was complete.

    Some clients always do, so the active colour's share says more than a fixed limit.
    """

    model_config = STRICT

    dry_run: DryRun = False
    limit_percent: Annotated[
        float, Field(ge=0, le=100, description="Highest share of the candidate's requests that clients abandon.")
    ] = 90.0
    increase_limit_points: Increase = 10.0


class LatencySettings(BaseModel):
    """A latency at its 95th percentile."""

    model_config = STRICT

    dry_run: DryRun = False
    limit_seconds: P95Limit
    ratio_limit: Ratio = 1.5


class PodLatencySettings(LatencySettings):
    """A latency that the pods measure."""

    model_config = STRICT

    by: By = None


class TtftSettings(PodLatencySettings):
    """Time to first token."""

    model_config = STRICT

    limit_seconds: P95Limit = 2.0


class InterTokenSettings(PodLatencySettings):
    """Time between two consecutive tokens of an answer."""

    model_config = STRICT

    limit_seconds: P95Limit = 0.2


class EndToEndSettings(PodLatencySettings):
    """Time from a request's arrival to its last token.

    Colours can be compared only over holds that are longer than their requests. In a shorter hold, the colour whose
    long requests happen to finish looks slower.
    """

    model_config = STRICT

    limit_seconds: P95Limit = 120.0


class TargetGroupLatencySettings(LatencySettings):
    """Time until the candidate's targets begin to answer, as the load balancer measures it (TargetResponseTime)."""

    model_config = STRICT

    limit_seconds: P95Limit = 60.0
    ratio_limit: Ratio = 2.0


class QueueDepthSettings(BaseModel):
    """Requests that wait for capacity, per replica, on average over the hold."""

    model_config = STRICT

    dry_run: DryRun = False
    limit_per_replica: Annotated[
        float, Field(ge=0, le=1_000_000, description="Most waiting requests per replica of the candidate.")
    ] = 10.0
    increase_limit_per_replica: Annotated[
        float,
        Field(ge=0, le=1_000_000, description="Largest increase per replica over the active colour."),
    ] = 5.0


class CostSettings(BaseModel):
    """US dollars per million output tokens, at full traffic (docs/cost.md)."""

    model_config = STRICT

    dry_run: DryRun = False
    max_cost_increase_percent: Annotated[
        float | None,
        Field(
            ge=0,
            le=10_000,
            description="Largest increase over the active colour, in percent. Default: the cost is only shown.",
        ),
    ] = None


class ProbeSettings(BaseModel):
    """Probe requests to both colours, for steps in which clients send too few requests for a verdict."""

    model_config = STRICT

    enabled: Annotated[
        bool, Field(description="True: probes make up the minimum number of requests when clients send too few.")
    ] = False
    requests_per_second: Annotated[
        float,
        Field(gt=0, le=1000, description="Probes per second to each colour, alternately streaming and non-streaming."),
    ] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Tokens to ask for in each probe.")] = 16
