"""How a rollout behaves: steps, holds, gates and times, with production values as defaults."""

from typing import Annotated, Final

from pydantic import BaseModel, Field, field_validator

from components.faults import Fault, wrong
from components.forms import URL, Form, matching
from components.model import STRICT, Items

# A year: what is longer is a slip of the pen.
MAX_SECONDS: Final = 31_536_000

WORD: Final = Form("a word of a command that does not begin with a space", "purge_cache.py", matching(r"(?s:\S.*)"))

Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
PositiveSeconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]


class RampStep(BaseModel):
    """One step of the ramp: the candidate's share of new requests and how long the gates judge it."""

    model_config = STRICT

    candidate_percent: Annotated[
        int, Field(ge=1, le=100, description="Share of new requests, in percent.", examples=[25])
    ]
    hold_seconds: Annotated[Seconds, Field(description="How long the gates judge this step.", examples=[600])]


class GateSettings(BaseModel):
    """Limits that the candidate must keep, and the evidence a verdict needs."""

    model_config = STRICT

    minimum_requests: Annotated[
        int, Field(ge=1, le=1_000_000, description="No verdict below this many candidate requests.")
    ] = 50
    max_hold_extension_seconds: Annotated[
        Seconds, Field(description="How much longer a hold may wait for a verdict before the ramp rolls back.")
    ] = 1800
    error_rate_limit_percent: Annotated[
        float, Field(ge=0, le=100, description="Highest share of failed candidate requests.")
    ] = 1.0
    ttft_p95_limit_seconds: Annotated[
        PositiveSeconds, Field(description="Highest 95th percentile of the candidate's time to first token.")
    ] = 2.0
    ttft_p95_ratio_limit: Annotated[
        float,
        Field(
            ge=1,
            le=1000,
            description="Highest ratio of the candidate's p95 time to first token to the active colour's.",
        ),
    ] = 1.5


class SmokeSettings(BaseModel):
    """The smoke test: synthetic requests through the candidate route, before any user is sent there."""

    model_config = STRICT

    requests: Annotated[int, Field(ge=1, le=1000, description="Requests to send, streaming and not.")] = 10
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest that one request may take.")] = 60
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Tokens to ask for in each request.")] = 16


class HookSettings(BaseModel):
    """Commands of your own, such as one that empties a semantic cache; a failing one undoes nothing."""

    model_config = STRICT

    after_promotion: Annotated[
        Items[Annotated[str, WORD]],
        Field(
            description="Command, as a list of words, to run once the candidate is promoted.",
            examples=['["python", "purge_cache.py"]'],
        ),
    ] = ()
    after_rollback: Annotated[
        Items[Annotated[str, WORD]],
        Field(description="Command, as a list of words, to run once all traffic is back and config and state agree."),
    ] = ()
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest that one of them may take.")] = 60


class RolloutSettings(BaseModel):
    """Steps, holds, soak and the time to keep the old colour warm."""

    model_config = STRICT

    steps: Annotated[
        Items[RampStep], Field(min_length=1, description="The ramp; shares rise and end at 100 percent.")
    ] = (
        RampStep(candidate_percent=1, hold_seconds=600),
        RampStep(candidate_percent=25, hold_seconds=900),
        RampStep(candidate_percent=75, hold_seconds=900),
        RampStep(candidate_percent=100, hold_seconds=300),
    )
    soak_seconds: Annotated[Seconds, Field(description="How long the gates keep judging after promotion.")] = 1200
    keep_warm_seconds: Annotated[
        Seconds, Field(description="How long after promotion the old colour stays warm (its TTL).")
    ] = 86400
    settle_seconds: Annotated[
        Seconds, Field(description="Wait after a weight change until every load balancer node applies it.")
    ] = 60
    poll_seconds: Annotated[PositiveSeconds, Field(description="Interval of checks while waiting or holding.")] = 5
    ready_timeout_seconds: Annotated[
        Seconds, Field(description="Longest wait for replicas and their targets, beyond the cold start.")
    ] = 900
    update_timeout_seconds: Annotated[
        PositiveSeconds, Field(description="Longest that one `pulumi up` may take before the ramp gives up on it.")
    ] = 3600
    prometheus_url: Annotated[
        str | None,
        URL,
        Field(description="Prometheus that scrapes the pods; the variable PROMETHEUS_URL when not set."),
    ] = None
    cloudwatch_period_seconds: Annotated[
        int,
        Field(
            ge=1, le=86_400, description="Period of the load balancer's CloudWatch metrics (AWS publishes every 60 s)."
        ),
    ] = 60
    gates: Annotated[GateSettings, Field(description="Limits of the metric gates.")] = GateSettings()
    smoke: Annotated[SmokeSettings, Field(description="The smoke test.")] = SmokeSettings()
    hooks: Annotated[HookSettings, Field(description="Commands to run after a promotion or a rollback.")] = (
        HookSettings()
    )

    @field_validator("steps")
    @classmethod
    def _rise_to_full_traffic(cls, steps: tuple[RampStep, ...]) -> tuple[RampStep, ...]:
        shares = [step.candidate_percent for step in steps]
        if shares != sorted(set(shares)) or shares[-1] != 100:
            raise wrong(Fault((), "must have candidate_percent rise from step to step and end at 100", value=shares))
        return steps
