"""What one can choose about a rehearsal, by environment variables named ``REHEARSAL_*``."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.releases import Releases, own_releases, read_releases
from rehearsal.world.stack_config import Config, read_config

OUT_FOLDER = PROJECT_FOLDER / "rehearsal" / "out"

OUT_VARIABLE = "REHEARSAL_OUT"
"""Another folder than `OUT_FOLDER` for worlds and results."""

FOLDER_VARIABLE = "REHEARSAL_FOLDER"
"""Set in every process that is a world's own, to the world's folder."""
CHECKOUT_VARIABLE = "REHEARSAL_CHECKOUT"
"""Set in a shell that works in a world, to the folder to work in."""
WORLD_VARIABLE = "REHEARSAL_WORLD"
"""Set in such a shell to the world's name."""
ENDPOINT_VARIABLE = "REHEARSAL_ENDPOINT"
"""Set in such a shell to the service's address."""


def out_folder() -> Path:
    """Where worlds and results go."""
    return Path(os.environ.get(OUT_VARIABLE) or OUT_FOLDER).absolute()


class RehearsalSettingsError(ValueError):
    """A variable has a value that cannot be; the message names it."""


def _file(read: Callable[[Path], Any]) -> Callable[[Any], Any]:
    """Read what a path names; anything else is taken as it is."""
    return lambda value: read(Path(value).absolute()) if isinstance(value, str | Path) else value


class RehearsalSettings(BaseModel):
    """The choices, each with its variable's name in lower case behind ``REHEARSAL_``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pod_command: str = Field(
        default=f"{sys.executable} -m rehearsal.vllm",
        description="Shell words that start a server; vLLM's arguments follow them.",
    )
    requests_per_second: float = Field(default=46.0, ge=1, description="New requests, streaming and not.")
    open_streams: int = Field(default=150, ge=30, description="Streams that the load generator keeps open at once.")
    weight_lag_seconds: float = Field(default=0.5, ge=0, description="Until the load balancer applies a weight change.")
    releases: Annotated[Releases, BeforeValidator(_file(read_releases))] = Field(
        default_factory=own_releases, description="Folder with the releases a.yaml, b.yaml and, if one likes, c.yaml."
    )
    config: Annotated[Config, BeforeValidator(_file(read_config))] = Field(
        default_factory=dict, description="YAML file with keys of the stack's config, laid over the rehearsal's own."
    )

    @property
    def runs_the_stand_in(self) -> bool:
        """Whether the pods run our own server, which knows the answers to the rehearsal's own questions."""
        return self.pod_command == type(self).model_fields["pod_command"].default

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
            faults = (
                f"{given[str(fault['loc'][0])]}={fault['input']}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors()
            )
            raise RehearsalSettingsError("; ".join(faults)) from error
