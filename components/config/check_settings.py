"""The checks that a candidate must pass before any user is sent to it, and the approvals that a person gives."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from components.config.durations import PositiveSeconds
from components.config.forms import PATH
from components.config.model import STRICT, Items
from components.config.violations import Violation, wrong

_Concurrency = Annotated[int, Field(ge=1, le=256, description="Requests under way at once, for each colour.")]
_RequestTimeout = Annotated[PositiveSeconds, Field(description="Longest that one request may take.")]


class SmokeSettings(BaseModel):
    """The smoke test: synthetic requests through the candidate route, before any user is sent there."""

    model_config = STRICT

    requests: Annotated[int, Field(ge=1, le=1000, description="Requests to send, streaming and not.")] = 10
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest that one request may take.")] = 60
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Tokens to ask for in each request.")] = 16


class EvalSettings(BaseModel):
    """The evaluation: how well the candidate answers, by a suite of questions or by a command of your own."""

    model_config = STRICT

    command: Annotated[
        Items[str], Field(description="Words of a command that evaluates one colour (docs/evals.md); none: the suite.")
    ] = ()
    suite: Annotated[
        str | None, PATH, Field(description="JSONL file of questions (docs/evals.md); none: the built-in ones.")
    ] = None
    score_file: Annotated[
        str | None,
        PATH,
        Field(description="JSON file that the command leaves in its folder, * allowed; none: its last line of output."),
    ] = None
    score_path: Annotated[
        str, Field(min_length=1, description="Where the score is in that JSON, names and positions joined by dots.")
    ] = "score"
    standard_error_path: Annotated[
        str | None, Field(min_length=1, description="Where the score's standard error is, if the command tells it.")
    ] = None
    full_score: Annotated[float, Field(gt=0, le=1_000_000, description="The command's score for all right.")] = 1.0
    minimum_score_percent: Annotated[
        float | None, Field(ge=0, le=100, description="Lowest score, in percent of the full one.", examples=[70])
    ] = None
    max_drop_points: Annotated[
        float | None,
        Field(ge=0, le=100, description="Largest drop against the active colour, in percentage points; beyond chance."),
    ] = 5.0
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest that the evaluation may take.")] = 3600
    request_timeout_seconds: _RequestTimeout = 60
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Longest answer to a question, in tokens.")] = 512
    concurrency: _Concurrency = 4

    @model_validator(mode="after")
    def _judge_something(self) -> Self:
        if self.minimum_score_percent is None and self.max_drop_points is None:
            what = "must not be null when minimum_score_percent is not set: any score would pass"
            raise wrong(Violation(("max_drop_points",), what, "Set one of them."))
        if self.command and self.suite is not None:
            raise wrong(Violation(("suite",), "must not be set beside command", "Remove one of them.", self.suite))
        if self.score_file is not None and not self.command:
            raise wrong(Violation(("score_file",), "needs a command that writes it", "Set command.", self.score_file))
        return self


class ShadowSettings(BaseModel):
    """Recorded prompts, replayed to both colours and compared in pairs; on when ``recorded_prompts`` is set."""

    model_config = STRICT

    samples: Annotated[int, Field(ge=1, le=100_000, description="Prompts to replay, drawn from the newest.")] = 100
    minimum_samples: Annotated[
        # Of fewer, not even answers that are all worse rule chance out.
        int,
        Field(ge=9, le=100_000, description="No verdict below this many prompts that the active colour answered."),
    ] = 30
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="Seed of the draw and of the answers.")] = 1
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Longest answer to ask for, in tokens.")] = 128
    max_difference_points: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="How many more answers may differ in structure than between two of the active colour.",
        ),
    ] = 20.0
    max_similarity_drop: Annotated[
        float | None,
        Field(gt=0, le=1, description="How much less alike texts may be; none: told, not judged.", examples=[0.1]),
    ] = None
    latency_ratio_limit: Annotated[
        float, Field(ge=1, le=1000, description="Highest typical ratio of a pair's times to first token and per token.")
    ] = 1.5
    timeout_seconds: _RequestTimeout = 120
    concurrency: _Concurrency = 4


class WarmUpSettings(BaseModel):
    """The most frequent prompt prefixes, sent to the candidate until its prefix cache knows them."""

    model_config = STRICT

    prefixes: Annotated[int, Field(ge=1, le=10_000, description="How many of the most frequent prefixes to send.")] = 50
    max_seconds: Annotated[
        float, Field(ge=0, le=86_400, description="When to stop at the latest; 0 turns the warm-up off.")
    ] = 180
    level_points: Annotated[
        float, Field(gt=0, le=100, description="The hit rate is level when three rounds differ by no more.")
    ] = 2.0
    timeout_seconds: _RequestTimeout = 60
    concurrency: _Concurrency = 4


class ManualSettings(BaseModel):
    """Steps that wait for a person: ``python -m scripts.approve``."""

    model_config = STRICT

    at_percents: Annotated[
        Items[Annotated[int, Field(ge=1, le=100)]],
        Field(description="The steps, by candidate_percent, that end only when somebody has approved them."),
    ] = ()
    timeout_seconds: Annotated[
        PositiveSeconds, Field(description="How long such a hold waits before the timeout action applies.")
    ] = 14_400
