"""Times in settings."""

from typing import Annotated, Final

from pydantic import Field

# One year; a longer time is taken for a typing error.
MAX_SECONDS: Final = 31_536_000

Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
PositiveSeconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
