"""The checks that a candidate must pass before any user is sent to it, and the approvals that a person gives."""

from typing import Annotated

from pydantic import BaseModel, Field

from components.durations import PositiveSeconds
from components.model import STRICT


class SmokeSettings(BaseModel):
    """The smoke test: synthetic requests through the candidate route, before any user is sent there."""

    model_config = STRICT

    requests: Annotated[int, Field(ge=1, le=1000, description="Requests to send, streaming and not.")] = 10
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest that one request may take.")] = 60
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="Tokens to ask for in each request.")] = 16
