"""The files of an evaluation: JSON, one object a line. Pure.

A suite has a question and a check of the answer in each line. For a judge there are prompts, and pairs of answers with
a person's choice between them:

{"id": "capital", "prompt": "What is the capital of France?", "check": {"contains": "Paris"}}
{"id": "late", "prompt": "My lamp is late. What can I do?"}
{"id": "late", "prompt": "My lamp is late.", "a": "Wait.", "b": "I am sorry. Call 555, they trace it.", "better": "b"}
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
Lines = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class SuiteError(ValueError):
    """A file is invalid. The message names the line and the problem."""


class Shape(BaseModel):
    """The required shape of a JSON value: a small part of JSON Schema."""

    model_config = _STRICT

    type: str | None = None
    enum: list[JsonValue] | None = None
    properties: dict[str, "Shape"] = {}
    required: list[str] = []
    items: "Shape | None" = None

    @field_validator("type")
    @classmethod
    def _known(cls, kind: str | None) -> str | None:
        if kind is not None and kind not in _TYPES:
            raise ValueError(f"must be one of {', '.join(_TYPES)}")
        return kind

    def fits(self, value: JsonValue) -> bool:
        """Return whether a value has this shape."""
        if self.type is not None:
            if not isinstance(value, _TYPES[self.type]):
                return False
            if isinstance(value, bool) and self.type != "boolean":  # to Python, true is a number
                return False
        if self.enum is not None and not any(value == one and type(value) is type(one) for one in self.enum):
            return False
        if isinstance(value, dict):
            if any(name not in value for name in self.required):
                return False
            return all(shape.fits(value[name]) for name, shape in self.properties.items() if name in value)
        if isinstance(value, list) and self.items is not None:
            return all(self.items.fits(one) for one in value)
        return True


class AnswerCheck(BaseModel):
    """The conditions for a right answer. All given ones must be met. Text is compared case-insensitively."""

    model_config = _STRICT

    exact: str | Lines | None = None
    contains: str | Lines | None = None
    regex: str | None = None
    json_shape: Shape | None = Field(default=None, alias="json")

    @field_validator("regex")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"is not a regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _checks_something(self) -> Self:
        if (self.exact, self.contains, self.regex, self.json_shape) == (None,) * 4:
            raise ValueError("needs exact, contains, regex or json")
        if "" in (self.regex, *map(_plain, _all(() if self.contains is None else self.contains))):
            raise ValueError("contains and regex must not be empty: every answer would be right")
        return self

    def holds(self, answer: str) -> bool:
        """Return whether an answer is right."""
        said = _plain(answer)
        if self.exact is not None and said.rstrip(".!") not in [_plain(one).rstrip(".!") for one in _all(self.exact)]:
            return False
        if self.contains is not None and not any(_plain(one) in said for one in _all(self.contains)):
            return False
        if self.regex is not None and not re.search(self.regex, answer, re.IGNORECASE | re.MULTILINE):
            return False
        return self.json_shape is None or _fits(self.json_shape, answer)


class Conversation(BaseModel):
    """What is asked: a prompt, or the messages of a chat."""

    model_config = _STRICT

    id: str = ""
    prompt: str | None = None
    messages: list[dict[str, JsonValue]] | None = None

    @model_validator(mode="after")
    def _ask_one_thing(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("needs either prompt or messages, not both")
        if not (self.prompt or self.messages):
            raise ValueError("prompt or messages must not be empty")
        return self

    @property
    def turns(self) -> list[dict[str, JsonValue]]:
        """The messages of the chat."""
        return self.messages or [{"role": "user", "content": self.prompt}]


class Prompt(Conversation):
    """A conversation that the colours are asked to go on with."""

    max_tokens: Annotated[int | None, Field(ge=1)] = None

    def body(self, max_tokens: int) -> dict[str, Any]:
        """Return the request body: always a chat, as deterministic as the server allows."""
        return {"messages": self.turns, "max_tokens": self.max_tokens or max_tokens, "temperature": 0, "seed": 1}


class Question(Prompt):
    """One question of a suite."""

    check: AnswerCheck


class Label(Conversation):
    """Two answers to a conversation, and which of them a person finds better."""

    a: Annotated[str, Field(min_length=1)]
    b: Annotated[str, Field(min_length=1)]
    better: Literal["a", "b"]

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.a == self.b:
            raise ValueError("a and b must differ, since one of them is better")
        return self


_Line = TypeVar("_Line", bound=Conversation)


def read_suite(text: str, where: str) -> tuple[Question, ...]:
    """Read a suite. Empty lines are skipped.

    Raises:
        SuiteError: a line is invalid, an id is used twice, or there is no question.
    """
    return read_lines(Question, text, where, "question")


def read_lines(kind: type[_Line], text: str, where: str, what: str) -> tuple[_Line, ...]:
    """Read a file of objects of one kind. Empty lines are skipped. Without an id, the line's number is one.

    Raises:
        SuiteError: a line is invalid, an id is used twice, or there is no object.
    """
    found: list[_Line] = []
    numbers: dict[str, int] = {}
    # Not splitlines(): inside JSON, other line separators of Unicode are a part of a text.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            one = kind.model_validate_json(line)
        except ValidationError as error:
            raise SuiteError(f"{where}, line {number}: {_describe(error)}") from error
        name = one.id or f"line {number}"
        if name in numbers:
            raise SuiteError(f"{where}, line {number}: id {name!r} is already used in line {numbers[name]}; rename one")
        numbers[name] = number
        found.append(one.model_copy(update={"id": name}))
    if not found:
        raise SuiteError(f"{where}: has no {what}")
    return tuple(found)


def _describe(error: ValidationError) -> str:
    violations: list[str] = []
    for one in error.errors():
        place = ".".join(str(part) for part in one["loc"])
        words = one["msg"].removeprefix("Value error, ")
        violations.append(f"{place}: {words}" if place else words)
    return "; ".join(dict.fromkeys(violations))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _all(wanted: str | Sequence[str]) -> Sequence[str]:
    return [wanted] if isinstance(wanted, str) else wanted


def _fits(shape: Shape, answer: str) -> bool:
    """Return whether the JSON in an answer fits: the whole answer, or its first fenced block."""
    fenced = _FENCED.search(answer)
    try:
        value = json.loads(fenced[1] if fenced else answer)
    except ValueError:
        return False
    return shape.fits(value)
