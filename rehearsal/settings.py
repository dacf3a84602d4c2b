"""What one can choose about a rehearsal, by environment variables named ``REHEARSAL_*``."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PROJECT_FOLDER = Path(__file__).parent.parent
OUT_FOLDER = PROJECT_FOLDER / "rehearsal" / "out"

Engine = Literal["embedded", "pulumi", "auto"]


class RehearsalSettingsError(ValueError):
    """A variable has a value that cannot be; the message names it."""


class RehearsalSettings(BaseModel):
    """The choices, each with its variable's name in lower case behind ``REHEARSAL_``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Engine = Field(default="auto", description="Which `pulumi` runs: ours, the one on PATH, or that if any.")
    pod_command: str = Field(
        default=f"{sys.executable} -m rehearsal.vllm",
        description="Shell words that start a server; vLLM's arguments follow them.",
    )
    requests_per_second: float = Field(default=46.0, ge=40, description="New requests, streaming and not.")
    open_streams: int = Field(default=150, ge=30, description="Streams that the load generator keeps open at once.")
    weight_lag_seconds: float = Field(default=0.5, ge=0, description="Until the load balancer applies a weight change.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the variables.

        Raises:
            RehearsalSettingsError: one message that lists all that is wrong.
        """
        given = {name: f"REHEARSAL_{name.upper()}" for name in cls.model_fields}
        values = {name: environment[variable] for name, variable in given.items() if environment.get(variable)}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            faults = (f"{given[str(fault['loc'][0])]}={fault['input']}: {fault['msg']}" for fault in error.errors())
            raise RehearsalSettingsError("; ".join(faults)) from error
