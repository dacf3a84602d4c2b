"""Settings of a rollout: steps, holds, gates and times, with production values as defaults."""

import re
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.durations import PositiveSeconds, Seconds
from components.config.reading.forms import PATH_OR_S3, STORE_URL, URL
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import UNSET, Violation, wrong
from components.config.sections.check_settings import (
    EvalSettings,
    LoadSettings,
    ManualSettings,
    ShadowSettings,
    SmokeSettings,
    WarmUpSettings,
)
from components.config.sections.cohort_settings import COHORT, CohortSettings, cohort_violations
from components.config.sections.gate_settings import (
    AbandonedSettings,
    CostSettings,
    EndToEndSettings,
    ErrorRateSettings,
    InterTokenSettings,
    PodErrorRateSettings,
    ProbeSettings,
    QueueDepthSettings,
    TargetGroupLatencySettings,
    TtftSettings,
)
from components.config.sections.hook_settings import HookSettings
from components.config.sections.notification_settings import NotificationTarget
from components.config.sections.prometheus_settings import PrometheusSettings
from components.domain.balancer.listener_rules import MAX_COHORTS


class RampStep(BaseModel):
    """One step of the ramp: the candidate's share of new requests, or a cohort, and how long the gates watch it."""

    model_config = STRICT

    candidate_percent: Annotated[
        int | None,
        Field(ge=1, le=100, description="Share of new requests, in percent. Not with `cohort`.", examples=[25]),
    ] = None
    cohort: Annotated[
        str | None,
        COHORT,
        Field(description="Cohort that this step sends to the candidate, whatever the weight. Not with the share."),
    ] = None
    hold_seconds: Annotated[
        Seconds,
        Field(
            description="How long the gates watch this step. For the first step, they judge all requests since the "
            "rule was changed.",
            examples=[600],
        ),
    ]

    @model_validator(mode="after")
    def _move_one_thing(self) -> Self:
        if (self.candidate_percent is None) == (self.cohort is None):
            what = "is not set" if self.cohort is None else "must not have candidate_percent, too"
            raise wrong(
                Violation(("candidate_percent",), what, "A step has this or cohort.", self.candidate_percent or UNSET)
            )
        return self

    def __str__(self) -> str:
        what = f"{self.candidate_percent} %" if self.cohort is None else f"cohort {self.cohort}"
        return f"{what} for {self.hold_seconds:g} s"


class GateSettings(BaseModel):
    """Limits that the candidate must stay within, and the evidence that a verdict needs."""

    model_config = STRICT

    minimum_requests: Annotated[
        int, Field(ge=1, le=1_000_000, description="Candidate requests that a verdict needs.")
    ] = 50
    max_hold_extension_seconds: Annotated[
        Seconds, Field(description="How much longer a hold may wait for a verdict before `on_timeout` applies.")
    ] = 1800
    on_timeout: Annotated[
        Literal["rollback", "pause"],
        Field(description="What happens when a hold times out without a verdict: roll back, or pause for a person."),
    ] = "rollback"
    false_alarm_rate: Annotated[
        float,
        Field(
            gt=0,
            le=0.2,
            description="Chance that a gate fails a candidate that is within the limits, over one whole hold.",
        ),
    ] = 0.001
    error_rate: Annotated[
        PodErrorRateSettings,
        Field(
            description="Failed requests, as counted by the pods: 5xx answers, and generations that ended in an error "
            "or were aborted."
        ),
    ] = PodErrorRateSettings()
    abandoned: Annotated[
        AbandonedSettings, Field(description="Requests whose client hung up before the answer was complete.")
    ] = AbandonedSettings()
    ttft_p95: Annotated[
        TtftSettings,
        Field(
            description="Time to first token (TTFT), from a request's arrival to the first token of its answer; 95 % "
            "of requests took at most the p95."
        ),
    ] = TtftSettings()
    inter_token_p95: Annotated[InterTokenSettings, Field(description="Time between tokens.")] = InterTokenSettings()
    end_to_end_p95: Annotated[
        EndToEndSettings, Field(description="Duration of whole requests; holds must be longer than requests.")
    ] = EndToEndSettings()
    queue_depth: Annotated[QueueDepthSettings, Field(description="Waiting requests.")] = QueueDepthSettings()
    target_group_errors: Annotated[
        ErrorRateSettings,
        Field(
            description="5xx answers and failed connections, as counted by the load balancer, and its own 5xx answers."
        ),
    ] = ErrorRateSettings()
    target_group_latency: Annotated[
        TargetGroupLatencySettings, Field(description="Time to the first byte, as measured by the load balancer.")
    ] = TargetGroupLatencySettings()
    cost: Annotated[CostSettings, Field(description="US dollars per million output tokens, at full traffic.")] = (
        CostSettings()
    )
    probes: Annotated[ProbeSettings, Field(description="Probe requests, for when clients send too few requests.")] = (
        ProbeSettings()
    )
    recorded_prompts: Annotated[
        str | None,
        PATH_OR_S3,
        Field(
            description="JSONL of recorded requests (docs/shadow.md), for the warm-up and the checks shadow and load."
        ),
    ] = None
    smoke: Annotated[SmokeSettings, Field(description="The smoke test.")] = SmokeSettings()
    eval: Annotated[EvalSettings, Field(description="The evaluation.")] = EvalSettings()
    warm_up: Annotated[WarmUpSettings, Field(description="The warm-up of the prefix cache.")] = WarmUpSettings()
    shadow: Annotated[ShadowSettings, Field(description="The shadow check.")] = ShadowSettings()
    load: Annotated[
        LoadSettings | None,
        Field(description="The load check (docs/load.md); `{}` is enough. Default: it does not run.", examples=[{}]),
    ] = None
    manual: Annotated[ManualSettings, Field(description="Steps that a person must approve.")] = ManualSettings()

    @property
    def slice_labels(self) -> dict[str, str]:
        """The gates that judge slices, each with its label."""
        gates = {
            "error_rate": self.error_rate,
            "ttft_p95": self.ttft_p95,
            "inter_token_p95": self.inter_token_p95,
            "end_to_end_p95": self.end_to_end_p95,
        }
        return {name: gate.by for name, gate in gates.items() if gate.by is not None}

    @model_validator(mode="after")
    def _limit_the_load(self) -> Self:
        if self.load is not None and self.load_limits_seconds == (None, None):
            what = "has no latency limit: both latency gates are dry runs"
            fix = "Set load.ttft_p95_limit_seconds or load.inter_token_p95_limit_seconds."
            raise wrong(Violation(("load",), what, fix))
        return self

    @property
    def load_limits_seconds(self) -> tuple[float | None, float | None]:
        """The load check's limits of the time to first token and between tokens, each None when it has none."""
        if self.load is None:
            return None, None
        ttft = None if self.ttft_p95.dry_run else self.ttft_p95.limit_seconds
        between = None if self.inter_token_p95.dry_run else self.inter_token_p95.limit_seconds
        return self.load.ttft_p95_limit_seconds or ttft, self.load.inter_token_p95_limit_seconds or between


class AttestationSettings(BaseModel):
    """Attestation: proof that a weight is in effect, from the load balancer's request counts per target group."""

    model_config = STRICT

    error_percent: Annotated[
        float,
        Field(
            gt=0,
            le=10,
            description="Highest chance, in percent, of accepting a weight that is not in effect.",
            examples=[1],
        ),
    ] = 1.0
    timeout_seconds: Annotated[
        PositiveSeconds,
        Field(description="Longest wait for the proof. With little traffic, a small step takes long to prove."),
    ] = 1800


class WatchSettings(BaseModel):
    """The watch over the promoted colour while the way back is warm: scripts.watch, run every few minutes."""

    model_config = STRICT

    on_failure: Annotated[
        Literal["rollback", "alarm"],
        Field(description="What happens when a gate fails: roll back, or only say so and exit with 3."),
    ] = "rollback"


class RolloutSettings(BaseModel):
    """Steps, holds, soak and the keep-warm window of the old colour."""

    model_config = STRICT

    steps: Annotated[
        Items[RampStep],
        Field(
            min_length=1,
            description="Steps of the ramp; the shares rise and end at 100 percent.",
            examples=[[{"candidate_percent": percent, "hold_seconds": 600} for percent in (10, 100)]],
        ),
    ] = (
        RampStep(candidate_percent=1, hold_seconds=600),
        RampStep(candidate_percent=25, hold_seconds=900),
        RampStep(candidate_percent=75, hold_seconds=900),
        RampStep(candidate_percent=100, hold_seconds=300),
    )
    cohorts: Annotated[
        Items[CohortSettings],
        Field(
            description="Cohorts (docs/cohorts.md): clients that a step of their own sends to the candidate, before "
            "the steps that give it a share of all requests.",
            examples=[[{"name": "friends", "priority": 20, "header": "x-tenant", "values": ["acme"]}]],
        ),
    ] = ()
    soak_seconds: Annotated[Seconds, Field(description="How long the gates keep watching after promotion.")] = 1200
    keep_warm_seconds: Annotated[
        Seconds, Field(description="Length of the keep-warm window of the old colour after promotion.")
    ] = 86400
    settle_seconds: Annotated[
        Seconds,
        Field(
            description="Shortest wait after a weight change, even if the request counts prove it earlier: load "
            "balancer nodes with little traffic hardly show in the counts."
        ),
    ] = 60
    attestation: Annotated[AttestationSettings, Field(description="The proof that a weight is in effect.")] = (
        AttestationSettings()
    )
    drill_max_age_days: Annotated[
        float | None,
        Field(
            gt=0,
            le=3650,
            description="Refuse a rollout when the last rollback drill is older. Default: no drill is required.",
        ),
    ] = None
    poll_seconds: Annotated[PositiveSeconds, Field(description="Interval of checks during waits and holds.")] = 5
    ready_timeout_seconds: Annotated[
        Seconds,
        Field(description="Longest wait, in addition to the cold start, for replicas and their targets."),
    ] = 900
    update_timeout_seconds: Annotated[
        PositiveSeconds, Field(description="Longest time that one `pulumi up` may take before the rollout gives up.")
    ] = 3600
    records_url: Annotated[
        str | None,
        STORE_URL,
        Field(description="Store of the journal and the lock, one for all services. Default: the folder `.rollout`."),
    ] = None
    lock_expiry_seconds: Annotated[
        float,
        Field(
            ge=1, le=86_400, description="How long a lock may go without a renewal before another run takes it over."
        ),
    ] = 120
    prometheus_url: Annotated[
        str | None,
        URL,
        Field(description="Prometheus that scrapes the pods. Default: the environment variable PROMETHEUS_URL."),
    ] = None
    prometheus: Annotated[PrometheusSettings, Field(description="Credentials for Prometheus, and its authorities.")] = (
        PrometheusSettings()
    )
    cloudwatch_period_seconds: Annotated[
        int,
        Field(
            ge=1, le=86_400, description="Period of the load balancer's CloudWatch metrics (AWS publishes every 60 s)."
        ),
    ] = 60
    gates: Annotated[GateSettings, Field(description="The gates: their limits, and the checks.")] = GateSettings()
    watch: Annotated[WatchSettings, Field(description="The watch until the reap (scripts.watch).")] = WatchSettings()
    hooks: Annotated[HookSettings, Field(description="Commands to run after a promotion or a rollback.")] = (
        HookSettings()
    )
    notifications: Annotated[
        Items[NotificationTarget],
        Field(
            description="Where to send events of a rollout (docs/notifications.md).",
            examples=[[{"slack": {"url_from": {"env": "SLACK_URL"}}}]],
        ),
    ] = ()

    @field_validator("steps")
    @classmethod
    def _rise_to_full_traffic(cls, steps: tuple[RampStep, ...]) -> tuple[RampStep, ...]:
        shares = [step.candidate_percent for step in steps if step.candidate_percent is not None]
        if steps[-1].cohort is not None:
            what = "must end with the step of candidate_percent 100; cohorts have their steps before all of the weights"
            raise wrong(Violation((), what, value=[str(step) for step in steps]))
        if shares != sorted(set(shares)) or steps[-1].candidate_percent != 100:
            raise wrong(
                Violation((), "must have candidate_percent rise from step to step and end at 100", value=shares)
            )
        return steps

    @field_validator("cohorts")
    @classmethod
    def _tell_cohorts_apart(cls, cohorts: tuple[CohortSettings, ...]) -> tuple[CohortSettings, ...]:
        if len(cohorts) > MAX_COHORTS:
            raise wrong(Violation((), f"must be at most {MAX_COHORTS}", value=[one.name for one in cohorts]))
        if violations := tuple(cohort_violations(cohorts)):
            raise wrong(*violations)
        return cohorts

    @model_validator(mode="after")
    def _give_each_cohort_a_step(self) -> Self:
        names = [one.name for one in self.cohorts]
        moved: list[str] = []
        for place, step in enumerate(self.steps):
            if step.cohort is None:
                continue
            if step.cohort not in names or step.cohort in moved:
                known = ", ".join(names) or "none"
                what = f"must name a cohort of rollout.cohorts ({known}) that no step before has sent"
                raise wrong(Violation(("steps", place, "cohort"), what, "", step.cohort))
            if any(one.candidate_percent is not None for one in self.steps[:place]):
                what = "must come before the steps with candidate_percent: only without weight do all of the "
                what += "candidate's requests come from cohorts"
                raise wrong(Violation(("steps", place, "cohort"), what, "", step.cohort))
            moved.append(step.cohort)
        for place, name in enumerate(names):
            if name not in moved:
                what = "must have a step that sends it to the candidate"
                fix = f"Add {{cohort: {name}, hold_seconds: 600}} to rollout.steps, before the others."
                raise wrong(Violation(("cohorts", place, "name"), what, fix, name))
        return self

    @property
    def percents(self) -> list[int]:
        """The shares of the steps that raise the candidate's share."""
        return [step.candidate_percent for step in self.steps if step.candidate_percent is not None]

    @model_validator(mode="after")
    def _send_no_secret_in_clear_text(self) -> Self:
        url = self.prometheus_url
        if url is not None and (api := re.search(r"/api/v1(/|$)", url)) is not None:
            what = "must be the address below which the query API is"
            raise wrong(Violation(("prometheus_url",), what, f"Write {url[: api.start()]}.", url))
        if url is not None and (found := self.prometheus.url_violation(url)) is not None:
            raise wrong(replace(found, path=("prometheus_url",)))
        return self

    @model_validator(mode="after")
    def _approve_steps_of_the_ramp(self) -> Self:
        shares = self.percents
        for percent in self.gates.manual.at_percents:
            if percent not in shares:
                what = f"must be the candidate_percent of steps ({', '.join(map(str, shares))})"
                raise wrong(Violation(("gates", "manual", "at_percents"), what, value=percent))
        return self
