"""Times in settings."""

from typing import Annotated, Final

from pydantic import Field

# A year: what is longer is a slip of the pen.
MAX_SECONDS: Final = 31_536_000

Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
PositiveSeconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
