"""How a rollout behaves: steps, holds, gates and times, with production values as defaults."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.check_settings import EvalSettings, ManualSettings, ShadowSettings, SmokeSettings, WarmUpSettings
from components.config.durations import PositiveSeconds, Seconds
from components.config.forms import PATH_OR_S3, STORE_URL, URL
from components.config.gate_settings import (
    EndToEndSettings,
    ErrorRateSettings,
    InterTokenSettings,
    ProbeSettings,
    QueueDepthSettings,
    TargetGroupLatencySettings,
    TtftSettings,
)
from components.config.hook_settings import HookSettings
from components.config.model import STRICT, Items
from components.config.violations import Violation, wrong


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
        Seconds, Field(description="How much longer a hold may wait for a verdict before `on_timeout` applies.")
    ] = 1800
    on_timeout: Annotated[
        Literal["rollback", "pause"],
        Field(description="When a hold's longest wait is over without a verdict: roll back, or pause for a person."),
    ] = "rollback"
    false_alarm_rate: Annotated[
        float,
        Field(
            gt=0,
            le=0.2,
            description="Chance that one gate fails a candidate within its limits in one hold, however often it looks.",
        ),
    ] = 0.001
    error_rate: Annotated[ErrorRateSettings, Field(description="Failed requests, as the pods count them.")] = (
        ErrorRateSettings()
    )
    ttft_p95: Annotated[TtftSettings, Field(description="Time to first token.")] = TtftSettings()
    inter_token_p95: Annotated[InterTokenSettings, Field(description="Time between tokens.")] = InterTokenSettings()
    end_to_end_p95: Annotated[
        EndToEndSettings, Field(description="Time of whole requests; needs holds longer than those.")
    ] = EndToEndSettings()
    queue_depth: Annotated[QueueDepthSettings, Field(description="Requests that wait.")] = QueueDepthSettings()
    target_group_errors: Annotated[
        ErrorRateSettings, Field(description="5xx answers, as the load balancer counts them.")
    ] = ErrorRateSettings()
    target_group_latency: Annotated[
        TargetGroupLatencySettings, Field(description="Time to the first byte, as the load balancer measures it.")
    ] = TargetGroupLatencySettings()
    probes: Annotated[ProbeSettings, Field(description="Requests of our own, where clients send too few.")] = (
        ProbeSettings()
    )
    recorded_prompts: Annotated[
        str | None,
        PATH_OR_S3,
        Field(description="JSONL of your gateway's requests (docs/shadow.md), for the shadow check and the warm-up."),
    ] = None
    smoke: Annotated[SmokeSettings, Field(description="The smoke test.")] = SmokeSettings()
    eval: Annotated[EvalSettings, Field(description="The evaluation.")] = EvalSettings()
    warm_up: Annotated[WarmUpSettings, Field(description="The warm-up of the prefix cache.")] = WarmUpSettings()
    shadow: Annotated[ShadowSettings, Field(description="The shadow check.")] = ShadowSettings()
    manual: Annotated[ManualSettings, Field(description="Steps that a person approves.")] = ManualSettings()


class AttestationSettings(BaseModel):
    """The proof that the load balancer really serves a weight, from the requests that it counts per target group."""

    model_config = STRICT

    error_percent: Annotated[
        float,
        Field(
            gt=0,
            le=10,
            description="Highest chance that a weight is taken to be in effect though it is not, in percent.",
            examples=[1],
        ),
    ] = 1.0
    timeout_seconds: Annotated[
        PositiveSeconds,
        Field(description="Longest wait for that proof, in seconds; with little traffic a small step takes long."),
    ] = 1800


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
        Seconds,
        Field(
            description="Shortest wait after a weight change, whatever the counts say: load balancer nodes with little "
            "traffic do not show in them."
        ),
    ] = 60
    attestation: Annotated[AttestationSettings, Field(description="The proof that a weight is in effect.")] = (
        AttestationSettings()
    )
    drill_max_age_days: Annotated[
        float | None,
        Field(gt=0, le=3650, description="Refuse a rollout when the last rollback drill is older; none asks for none."),
    ] = None
    poll_seconds: Annotated[PositiveSeconds, Field(description="Interval of checks while waiting or holding.")] = 5
    ready_timeout_seconds: Annotated[
        Seconds, Field(description="Longest wait for replicas and their targets, beyond the cold start.")
    ] = 900
    update_timeout_seconds: Annotated[
        PositiveSeconds, Field(description="Longest that one `pulumi up` may take before the ramp gives up on it.")
    ] = 3600
    records_url: Annotated[
        str | None,
        STORE_URL,
        Field(description="Where journal and lock are kept, one for all services; `.rollout` when not set."),
    ] = None
    lock_expiry_seconds: Annotated[
        float,
        Field(ge=1, le=86_400, description="How long a lock may show no sign of life before another takes it over."),
    ] = 120
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
    gates: Annotated[GateSettings, Field(description="The gates: their limits, and the checks.")] = GateSettings()
    hooks: Annotated[HookSettings, Field(description="Commands to run after a promotion or a rollback.")] = (
        HookSettings()
    )

    @field_validator("steps")
    @classmethod
    def _rise_to_full_traffic(cls, steps: tuple[RampStep, ...]) -> tuple[RampStep, ...]:
        shares = [step.candidate_percent for step in steps]
        if shares != sorted(set(shares)) or shares[-1] != 100:
            raise wrong(
                Violation((), "must have candidate_percent rise from step to step and end at 100", value=shares)
            )
        return steps

    @model_validator(mode="after")
    def _approve_steps_of_the_ramp(self) -> Self:
        shares = [step.candidate_percent for step in self.steps]
        for percent in self.gates.manual.at_percents:
            if percent not in shares:
                what = f"must be the candidate_percent of steps ({', '.join(map(str, shares))})"
                raise wrong(Violation(("gates", "manual", "at_percents"), what, value=percent))
        return self
