"""The sampling defaults of a release: what vLLM takes from a generation config, with the ranges that it enforces."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import BaseModel, Field, JsonValue, ValidationError

from components.config.reading.explain import explain, nearest_name
from components.config.reading.model import STRICT, from_text
from components.config.reading.secret_values import secret_kind
from components.config.reading.violations import Violation, wrong

# vLLM has no upper bound. A larger one is a typing error, and floats of that size are not exact any more.
MOST_PENALTY: Final = 100


class Sampling(BaseModel):
    """Sampling defaults for requests that do not set them. Null means vLLM's own default instead of the model's.

    The keys are those that vLLM takes from a generation config, and the ranges are those that it allows:
    https://github.com/vllm-project/vllm/blob/main/vllm/config/model.py (get_diff_sampling_param)
    https://github.com/vllm-project/vllm/blob/main/vllm/sampling_params.py (_verify_args)
    """

    model_config = STRICT

    temperature: Annotated[
        float | None, Field(ge=0, le=2, description="Randomness; 0: always the likeliest token.")
    ] = None
    top_p: Annotated[
        float | None, Field(gt=0, le=1, description="Share of the probability that tokens are chosen from.")
    ] = None
    top_k: Annotated[
        int | None, Field(ge=-1, description="How many of the likeliest tokens are chosen from; 0 or -1: all.")
    ] = None
    min_p: Annotated[
        float | None, Field(ge=0, le=1, description="Least probability of a token, relative to the likeliest token's.")
    ] = None
    repetition_penalty: Annotated[
        float | None, Field(gt=0, le=MOST_PENALTY, description="Above 1: tokens that have occurred become less likely.")
    ] = None
    max_new_tokens: Annotated[
        int | None, Field(ge=1, description="Most tokens of an answer whose request does not set max_tokens.")
    ] = None


# These are parameters of requests, or of other engines. A nearest name would mislead.
_NOT_A_DEFAULT: Final = frozenset(
    {"presence_penalty", "frequency_penalty", "length_penalty", "min_tokens", "min_new_tokens", "stop", "seed"}
)


def sampling_defaults(given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return sampling defaults with numbers that are text as numbers, and whole numbers as integers.

    Raises:
        PydanticCustomError: with a violation for each key that has no effect, and each value out of range.
    """
    known = {key: value for key, value in given.items() if key in Sampling.model_fields}
    violations = [_without_effect(key, value) for key, value in given.items() if key not in known]
    try:
        sampling = Sampling.model_validate(from_text(known, Sampling))
    except ValidationError as error:
        violations += explain(error, Sampling)
    else:
        if not violations:
            return dict(_as_json(sampling, known))
    raise wrong(*violations)


def _without_effect(key: str, value: JsonValue) -> Violation:
    """Return the violation for a key that would change the release id, but no answer."""
    what = f"has no effect: as defaults, vLLM takes only {', '.join(Sampling.model_fields)}"
    if secret_kind(key):
        return Violation(("…",), what, "Remove it.")
    nearest = None if key in _NOT_A_DEFAULT else nearest_name(key, Sampling.model_fields)
    fix = f"Did you mean {nearest}?" if nearest else "Remove it, and let clients send it with their requests."
    return Violation((key,), what, fix, value)


def _as_json(sampling: Sampling, given: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    for key in given:
        value = getattr(sampling, key)
        # Pulumi passes 1.0 on as 1: both are the same release.
        yield key, int(value) if isinstance(value, float) and value.is_integer() else value
