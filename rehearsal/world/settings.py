"""The settings of a rehearsal, from environment variables named ``REHEARSAL_*``."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rehearsal.load.mix import PATIENCE_SECONDS
from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.releases import Releases, own_releases, read_releases
from rehearsal.world.stack_config import Config, read_config

OUT_FOLDER = PROJECT_FOLDER / "rehearsal" / "out"

OUT_VARIABLE = "REHEARSAL_OUT"
"""Replaces `OUT_FOLDER` as the folder for worlds and results."""

FOLDER_VARIABLE = "REHEARSAL_FOLDER"
"""The world's folder; set in every process of the world itself."""
CHECKOUT_VARIABLE = "REHEARSAL_CHECKOUT"
"""The checkout to work in; set in a shell that works in a world."""
WORLD_VARIABLE = "REHEARSAL_WORLD"
"""The world's name; set in such a shell."""
ENDPOINT_VARIABLE = "REHEARSAL_ENDPOINT"
"""The service's address; set in such a shell."""


def out_folder() -> Path:
    """Return the folder for worlds and results."""
    return Path(os.environ.get(OUT_VARIABLE) or OUT_FOLDER).absolute()


class RehearsalSettingsError(ValueError):
    """A variable has an invalid value. The message names it."""


def _file(read: Callable[[Path], Any]) -> Callable[[Any], Any]:
    """Return a validator that reads the file or folder at a path and passes on any other value."""
    return lambda value: read(Path(value).absolute()) if isinstance(value, str | Path) else value


class RehearsalSettings(BaseModel):
    """The settings. A field's variable is its name in upper case after ``REHEARSAL_``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pod_command: str = Field(
        default=f"{sys.executable} -m rehearsal.vllm",
        description="Shell words that start a server; vLLM's arguments follow.",
    )
    requests_per_second: float = Field(default=46.0, ge=1, description="New requests per second, streamed or not.")
    open_streams: int = Field(default=150, ge=30, description="Streams that the load generator keeps open at once.")
    patience_seconds: float = Field(default=PATIENCE_SECONDS, gt=0, description="When clients give up on an answer.")
    tenants: str = Field(
        default="", description="Clients, with commas between: each request names one in the header x-tenant."
    )
    weight_lag_seconds: float = Field(default=0.5, ge=0, description="Lag of the load balancer's weight changes.")
    releases: Annotated[Releases, BeforeValidator(_file(read_releases))] = Field(
        default_factory=own_releases, description="Folder with the releases a.yaml, b.yaml and optionally c.yaml."
    )
    config: Annotated[Config, BeforeValidator(_file(read_config))] = Field(
        default_factory=dict, description="YAML file with keys of the stack's config that override the rehearsal's."
    )

    @property
    def runs_the_stand_in(self) -> bool:
        """Whether the pods run our own server, which can answer the rehearsal's own questions."""
        return self.pod_command == type(self).model_fields["pod_command"].default

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the variables.

        Raises:
            RehearsalSettingsError: a variable is invalid. The message lists all problems.
        """
        given = {name: f"REHEARSAL_{name.upper()}" for name in cls.model_fields}
        values = {name: environment[variable] for name, variable in given.items() if environment.get(variable)}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = (
                f"{given[str(one['loc'][0])]}={one['input']}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors()
            )
            raise RehearsalSettingsError("; ".join(problems)) from error
