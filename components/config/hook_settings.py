"""Settings of the user's own commands, which run after a promotion or a rollback."""

from typing import Annotated, Final

from pydantic import BaseModel, Field

from components.config.durations import PositiveSeconds
from components.config.forms import Form, matching
from components.config.model import STRICT, Items

WORD: Final = Form("a word of a command that does not begin with a space", "purge_cache.py", matching(r"(?s:\S.*)"))


class HookSettings(BaseModel):
    """Your own commands, such as one that empties a semantic cache. A command that fails undoes nothing."""

    model_config = STRICT

    after_promotion: Annotated[
        Items[Annotated[str, WORD]],
        Field(
            description="Command, as a list of words, to run after the candidate is promoted.",
            examples=[["python", "purge_cache.py"]],
        ),
    ] = ()
    after_rollback: Annotated[
        Items[Annotated[str, WORD]],
        Field(
            description="Command, as a list of words, to run after a rollback, once config and state match the rule."
        ),
    ] = ()
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest time that one command may take.")] = 60
