"""A rehearsal's model hub: a file that lists models and revisions, and how each behaves when served."""

import os
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

HUB_VARIABLE = "REHEARSAL_MODEL_HUB"
DEFAULT_HUB = Path(__file__).parent / "hub.yaml"


class HubError(Exception):
    """The hub cannot be read, or lacks the model or the revision."""


class Fault(StrEnum):
    """What a faulty release does to one prompt."""

    ERROR = "error"
    ABORT = "abort"
    WRONG_ANSWER = "wrong_answer"
    STALL = "stall"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Faults(_Strict):
    """The faults of a release. The fractions apply only to prompts longer than `only_prompts_over_words`, so short
    probes pass. A prompt's text decides whether it is hit, so a repeated prompt gets the same answer each time.
    """

    only_prompts_over_words: int = Field(default=0, ge=0, description="prompts of up to this many words meet no fault")
    error_fraction: float = Field(default=0.0, ge=0, le=1, description="share of prompts answered with HTTP 500")
    abort_fraction: float = Field(default=0.0, ge=0, le=1, description="share of answers cut half-way: 200, abort")
    wrong_answer_fraction: float = Field(default=0.0, ge=0, le=1, description="share of wrong answers")
    stall_fraction: float = Field(default=0.0, ge=0, le=1, description="share of answers that never end")
    stall_after_tokens: int = Field(
        default=0, ge=0, description="tokens that such an answer has at most before it stalls; shorter answers end"
    )
    slow_factor: float = Field(default=1.0, gt=0, description="factor on time to first token and per token")
    crash_after_seconds: float | None = Field(
        default=None, gt=0, description="the process dies this long after it is ready"
    )
    never_ready: bool = Field(default=False, description="the cold start never ends")

    @model_validator(mode="after")
    def _fractions_fit(self) -> Self:
        if self.error_fraction + self.abort_fraction + self.wrong_answer_fraction + self.stall_fraction > 1:
            raise ValueError(
                "error_fraction, abort_fraction, wrong_answer_fraction and stall_fraction together exceed 1"
            )
        return self

    def of(self, prompt: str) -> Fault | None:
        """Return the fault for this prompt, None when it meets none."""
        if len(prompt.split()) <= self.only_prompts_over_words:
            return None
        draw = int.from_bytes(sha256(prompt.encode()).digest()[:6]) / 2**48
        for fault, fraction in (
            (Fault.ERROR, self.error_fraction),
            (Fault.ABORT, self.abort_fraction),
            (Fault.WRONG_ANSWER, self.wrong_answer_fraction),
            (Fault.STALL, self.stall_fraction),
        ):
            if draw < fraction:
                return fault
            draw -= fraction
        return None


class Behavior(_Strict):
    """The behaviour of one revision of a model. Times are in seconds of the wall clock."""

    cold_start_seconds: float = Field(default=2.5, ge=0, description="from process start to the first answer")
    ttft_seconds: float = Field(default=0.08, ge=0, description="time to first token of a new prompt")
    ttft_cached_seconds: float = Field(
        default=0.03, ge=0, description="the same when the whole prompt is in the prefix cache"
    )
    tokens_per_second: float = Field(default=20.0, gt=0, description="pace of one request")
    capacity_tokens_per_second: float | None = Field(
        default=None,
        gt=0,
        description="pace of all running requests together; when they would be faster, each takes longer "
        "(default: no limit)",
    )
    stream_interval: int = Field(default=1, ge=1, description="tokens per streamed chunk (--stream-interval overrides)")
    mean_output_tokens: int = Field(default=24, ge=2, description="an answer has 0.5 to 1.5 times as many")
    max_concurrent: int = Field(
        default=256, ge=1, description="requests running at once; more wait (--max-num-seqs overrides)"
    )
    max_model_len_tokens: int = Field(default=8192, ge=16, description="prompt and answer together")
    counts_disconnects: bool = Field(
        default=False,
        description="a client that hangs up is counted as a finished request, reason abort (vLLM counts it nowhere)",
    )
    faults: Faults = Faults()


def hub_path() -> Path:
    """Return the hub in `REHEARSAL_MODEL_HUB`, else the one beside this file."""
    return Path(os.environ.get(HUB_VARIABLE) or DEFAULT_HUB)


def load_hub(path: Path) -> dict[str, Behavior]:
    """Read a hub (YAML or JSON) from `MODEL` or `MODEL@REVISION` to behaviour. Raises HubError."""
    try:
        return TypeAdapter(dict[str, Behavior]).validate_python(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise HubError(f"model hub {path}: {error}") from error


def find_behavior(hub: dict[str, Behavior], model: str, revision: str | None) -> Behavior:
    """Return a model's behaviour at a revision; None is the default branch, the key without `@`. Raises HubError."""
    key = model if revision is None else f"{model}@{revision}"
    if key in hub:
        return hub[key]
    if any(known.partition("@")[0] == model for known in hub):
        raise HubError(f"{revision or 'main'} is not a valid git identifier of '{model}' on the model hub")
    raise HubError(f"{model} is not a local folder and is not a valid model identifier on the model hub")
