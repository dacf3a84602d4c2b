"""Settings of the checks that a candidate must pass before it gets user traffic, and of the approvals by a person."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.durations import PositiveSeconds
from components.config.reading.forms import JUDGE_URL, PATH, SCORE_FILE
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation, wrong
from components.config.sections.gate_settings import DryRun
from components.config.sections.hook_settings import be_words
from components.config.sections.prometheus_settings import SecretSource, is_loopback

_Concurrency = Annotated[int, Field(ge=1, le=256, description="Concurrent requests to each colour.")]
_RequestTimeout = Annotated[PositiveSeconds, Field(description="Longest time that one request may take.")]


class SmokeSettings(BaseModel):
    """The smoke test: synthetic requests through the candidate route, before the candidate gets user traffic."""

    model_config = STRICT

    requests: Annotated[
        int, Field(ge=1, le=1000, description="Requests to send, both streaming and non-streaming.")
    ] = 10
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest time that one request may take.")] = 60
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Tokens to ask for in each request.")] = 16


class JudgeSettings(BaseModel):
    """The judge, a part of the evaluation: a model of yours that compares both colours' answers in pairs."""

    model_config = STRICT

    url: Annotated[
        str,
        JUDGE_URL,
        Field(
            description="Base URL of an OpenAI-compatible API. Prompts and answers are sent to it.",
            examples=["https://judge.internal/v1"],
        ),
    ]
    model: Annotated[str, Field(min_length=1, max_length=200, description="The model's name there.")]
    api_key_from: Annotated[SecretSource | None, Field(description="Where the API key is read, if it needs one.")] = (
        None
    )
    prompts: Annotated[str, PATH, Field(description="JSONL file of prompts that both colours answer (docs/evals.md).")]
    labels: Annotated[
        str,
        PATH,
        Field(description="JSONL file of pairs of answers, each with a person's choice between them (docs/evals.md)."),
    ]
    minimum_agreement_percent: Annotated[
        float,
        Field(
            ge=50,
            le=95,
            description="The judge decides only if it surely agrees with people on this share of the labels; "
            "else it only reports.",
        ),
    ] = 65.0
    minimum_win_rate_percent: Annotated[
        float,
        Field(
            ge=0,
            le=50,
            description="Lowest win rate of the candidate: the share of pairs that it wins, a tie being half a win. "
            "A rate that chance can explain does not fail.",
        ),
    ] = 45.0
    criteria: Annotated[
        str | None,
        Field(min_length=1, max_length=4000, description="What makes an answer better, in words for the judge."),
    ] = None
    max_tokens: Annotated[
        int | None, Field(ge=1, le=100_000, description="Longest answer of the judge, in tokens. null: not sent.")
    ] = 1024
    temperature: Annotated[float | None, Field(ge=0, le=2, description="The judge's temperature. null: not sent.")] = 0
    request_timeout_seconds: _RequestTimeout = 120
    concurrency: Annotated[int, Field(ge=1, le=256, description="Concurrent requests to the judge.")] = 4

    @model_validator(mode="after")
    def _send_no_key_in_clear_text(self) -> Self:
        parts = urlsplit(self.url)
        if self.api_key_from is not None and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            what = "must begin with https://, because api_key_from would be sent in clear text"
            raise wrong(Violation(("url",), what, "Begin it with https://, or remove api_key_from.", self.url))
        return self


class EvalSettings(BaseModel):
    """The evaluation: it scores the candidate's answers with a suite of questions or with your own command."""

    model_config = STRICT

    command: Annotated[
        Items[str],
        Field(
            description="Command that evaluates one colour, as a list of words (docs/evals.md). Default: the suite.",
            examples=[["python", "evaluate.py"]],
        ),
    ] = ()
    suite: Annotated[
        str | None,
        PATH,
        Field(description="JSONL file of questions (docs/evals.md). Default: the built-in questions."),
    ] = None
    score_file: Annotated[
        str | None,
        SCORE_FILE,
        Field(
            description="JSON file that the command writes into its folder; * matches any text. "
            "Default: the last line of the command's output."
        ),
    ] = None
    score_path: Annotated[
        str, Field(min_length=1, description="Path of the score in that JSON: names and list positions, with dots.")
    ] = "score"
    standard_error_path: Annotated[
        str | None,
        Field(min_length=1, description="Path of the score's standard error in that JSON, if the command reports it."),
    ] = None
    full_score: Annotated[
        float, Field(gt=0, le=1_000_000, description="The command's score when every answer is right.")
    ] = 1.0
    minimum_score_percent: Annotated[
        float | None,
        Field(ge=0, le=100, description="Lowest score that passes, in percent of the full score.", examples=[70]),
    ] = None
    max_drop_points: Annotated[
        float | None,
        Field(
            ge=0,
            le=100,
            description="Largest drop below the active colour's score, in percentage points. "
            "A drop that chance can explain does not fail.",
        ),
    ] = 5.0
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest time that the evaluation may take.")] = 3600
    request_timeout_seconds: _RequestTimeout = 60
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Longest answer to a question, in tokens.")] = 512
    concurrency: _Concurrency = 4
    judge: Annotated[
        JudgeSettings | None,
        Field(
            description="A model that compares both colours' answers, in addition. Default: none.",
            examples=[
                {
                    "url": "https://judge.internal/v1",
                    "model": "judge",
                    "prompts": "evals/prompts.jsonl",
                    "labels": "evals/labels.jsonl",
                }
            ],
        ),
    ] = None

    @field_validator("command")
    @classmethod
    def _be_words(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        return be_words(command)

    @model_validator(mode="after")
    def _judge_something(self) -> Self:
        if self.minimum_score_percent is None and self.max_drop_points is None:
            what = "must not be null when minimum_score_percent is not set: any score would pass"
            raise wrong(Violation(("max_drop_points",), what, "Set one of them."))
        if self.command and self.suite is not None:
            raise wrong(Violation(("suite",), "must not be set with command", "Remove one of them.", self.suite))
        if self.score_file is not None and not self.command:
            raise wrong(Violation(("score_file",), "needs a command that writes it", "Set command.", self.score_file))
        return self


class ShadowSettings(BaseModel):
    """The shadow check: it replays recorded prompts to both colours and compares the answers in pairs.

    It runs when ``recorded_prompts`` is set.
    """

    model_config = STRICT

    samples: Annotated[
        int, Field(ge=1, le=100_000, description="Prompts to replay, drawn at random from the newest.")
    ] = 100
    minimum_samples: Annotated[
        # With fewer samples, chance can explain even a candidate that is worse in all of them.
        int,
        Field(
            ge=9,
            le=100_000,
            description="Different prompts that the active colour must have answered before there is a verdict.",
        ),
    ] = 30
    seed: Annotated[
        int, Field(ge=0, le=2**31 - 1, description="Random seed for the choice of prompts and for the answers.")
    ] = 1
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Longest answer to ask for, in tokens.")] = 128
    max_difference_points: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="Largest increase of structural differences, in percentage points, over those between two "
            "answers of the active colour.",
        ),
    ] = 20.0
    max_similarity_drop: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Largest drop in text similarity. Default: the drop is reported but does not fail the check.",
            examples=[0.1],
        ),
    ] = None
    latency_ratio_limit: Annotated[
        float,
        Field(
            ge=1,
            le=1000,
            description="Highest typical ratio, candidate to active colour, of times to first token and per token.",
        ),
    ] = 1.5
    timeout_seconds: _RequestTimeout = 120
    concurrency: _Concurrency = 4


class WarmUpSettings(BaseModel):
    """The warm-up: it sends the most frequent prompt prefixes to the candidate until its prefix cache has them."""

    model_config = STRICT

    prefixes: Annotated[int, Field(ge=1, le=10_000, description="How many of the most frequent prefixes to send.")] = 50
    max_seconds: Annotated[
        float, Field(ge=0, le=86_400, description="Longest time that the warm-up may take; 0 turns it off.")
    ] = 180
    level_points: Annotated[
        float,
        Field(
            gt=0,
            le=100,
            description="The warm-up ends when the hit rates of three rounds differ by no more, in percentage points.",
        ),
    ] = 2.0
    timeout_seconds: _RequestTimeout = 60
    concurrency: _Concurrency = 4


# A search has about three levels that rise, one that is repeated, and two in between.
_FEWEST_LEVELS = 6


class LoadSettings(BaseModel):
    """The load check: how much of the users' peak the candidate can carry, measured before it gets any of it.

    It runs when this block is set; ``{}`` is enough.
    """

    model_config = STRICT

    dry_run: DryRun = False
    required_percent_of_peak: Annotated[
        float | None,
        Field(
            ge=1,
            le=10_000,
            description="Share of the peak that the candidate must carry at its full size, in percent. "
            "null: it is only reported.",
        ),
    ] = 120.0
    peak_window_seconds: Annotated[
        PositiveSeconds, Field(le=2_678_400, description="How far back the peak of users' requests is looked for.")
    ] = 86_400
    peak_rate_seconds: Annotated[
        PositiveSeconds,
        Field(description="Time over which the peak is an average; at least four scrape intervals of Prometheus."),
    ] = 300
    ttft_p95_limit_seconds: Annotated[
        PositiveSeconds | None,
        Field(
            description="Highest p95 of the time to first token under load. Default: `ttft_p95.limit_seconds`, unless "
            "that gate is a dry run.",
            examples=[2],
        ),
    ] = None
    inter_token_p95_limit_seconds: Annotated[
        PositiveSeconds | None,
        Field(
            description="Highest p95 of the time between tokens under load. Default: `inter_token_p95.limit_seconds`, "
            "unless that gate is a dry run.",
            examples=[0.1],
        ),
    ] = None
    send_to_active_color: Annotated[
        bool,
        Field(
            description="True: the active colour is loaded to its limits, too, after the candidate. Its users feel it."
        ),
    ] = False
    max_throughput_drop_percent: Annotated[
        float | None,
        Field(
            ge=0,
            le=100,
            description="Largest drop of what a replica carries, below the active colour's, in percent; needs "
            "`send_to_active_color`.",
            examples=[10],
        ),
    ] = None
    max_concurrency: Annotated[
        int, Field(ge=1, le=800, description="Most requests to have open at once, on all replicas together.")
    ] = 256
    level_seconds: Annotated[PositiveSeconds, Field(description="How long each number of open requests is kept.")] = 20
    max_seconds: Annotated[PositiveSeconds, Field(description="Longest time that the load on one colour may last.")] = (
        900
    )
    max_total_tokens: Annotated[
        int,
        Field(ge=1, le=1_000_000_000, description="Most tokens to use on one colour, of prompts and answers together."),
    ] = 5_000_000
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Longest answer to ask for, in tokens.")] = 1024
    seed: Annotated[
        int, Field(ge=0, le=2**31 - 1, description="Random seed for the choice of prompts and for the answers.")
    ] = 1
    timeout_seconds: Annotated[
        PositiveSeconds, Field(description="Longest time for which a request may be silent; then it has failed.")
    ] = 120

    @model_validator(mode="after")
    def _judge_something(self) -> Self:
        drop = self.max_throughput_drop_percent
        if self.required_percent_of_peak is None and drop is None and not self.dry_run:
            what = "must not be null when max_throughput_drop_percent is not set: any capacity would pass"
            raise wrong(Violation(("required_percent_of_peak",), what, "Set one of them, or dry_run: true."))
        if drop is not None and not self.send_to_active_color:
            what = "needs the active colour's throughput, and the check may not send to it"
            fix = "Set send_to_active_color: true, or remove it."
            raise wrong(Violation(("max_throughput_drop_percent",), what, fix, drop))
        if self.max_seconds < _FEWEST_LEVELS * self.level_seconds:
            what = f"must be at least {_FEWEST_LEVELS} times level_seconds {self.level_seconds:g}: a search needs them"
            raise wrong(Violation(("max_seconds",), what, value=self.max_seconds))
        if self.peak_rate_seconds > self.peak_window_seconds:
            what = f"must be at most peak_window_seconds {self.peak_window_seconds:g}"
            raise wrong(Violation(("peak_rate_seconds",), what, value=self.peak_rate_seconds))
        return self


class ManualSettings(BaseModel):
    """Steps that wait for a person's approval: ``python -m scripts.approve``."""

    model_config = STRICT

    at_percents: Annotated[
        Items[Annotated[int, Field(ge=1, le=100)]],
        Field(
            description="Steps, by candidate_percent, that end only after a person has approved them.", examples=[[25]]
        ),
    ] = ()
    timeout_seconds: Annotated[
        PositiveSeconds, Field(description="How long a step waits for approval before `on_timeout` applies.")
    ] = 14_400
