"""The metric gates: each one's limits, absolute and against the active colour, and whether it only watches."""

from typing import Annotated

from pydantic import BaseModel, Field

from components.config.durations import PositiveSeconds
from components.config.model import STRICT

DryRun = Annotated[bool, Field(description="True: the verdict is journalled, and decides nothing.")]
P95Limit = Annotated[PositiveSeconds, Field(description="Highest 95th percentile of the candidate's, in seconds.")]
Ratio = Annotated[
    float, Field(ge=1, le=1000, description="How many times the active colour's latencies the candidate's may be.")
]


class ErrorRateSettings(BaseModel):
    """Failed requests: 5xx, and generations that ended in an error or were aborted."""

    model_config = STRICT

    dry_run: DryRun = False
    limit_percent: Annotated[float, Field(ge=0, le=100, description="Highest share of failed candidate requests.")] = (
        1.0
    )
    increase_limit_points: Annotated[
        float, Field(ge=0, le=100, description="How many percentage points the share may be above the active colour's.")
    ] = 0.5


class LatencySettings(BaseModel):
    """A latency at its 95th percentile."""

    model_config = STRICT

    dry_run: DryRun = False
    limit_seconds: P95Limit
    ratio_limit: Ratio = 1.5


class TtftSettings(LatencySettings):
    """Time to first token."""

    model_config = STRICT

    limit_seconds: P95Limit = 2.0


class InterTokenSettings(LatencySettings):
    """Time from one token of an answer to the next."""

    model_config = STRICT

    limit_seconds: P95Limit = 0.2


class EndToEndSettings(LatencySettings):
    """Time from a request's arrival to its last token.

    Colours can be compared only over holds longer than their requests: where a window sees more of the long ones end,
    it looks slower.
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
        Field(ge=0, le=1_000_000, description="How many more may wait per replica than on the active colour's."),
    ] = 5.0


class ProbeSettings(BaseModel):
    """Requests of our own to both colours alike, where clients send too few for a verdict."""

    model_config = STRICT

    enabled: Annotated[
        bool, Field(description="True: probes fill the minimum of a step that clients would not reach.")
    ] = False
    requests_per_second: Annotated[
        float, Field(gt=0, le=1000, description="Probes a second to each colour, streaming and not in turns.")
    ] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Tokens to ask for in each probe.")] = 16
