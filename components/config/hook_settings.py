"""Commands of the user's own that run once traffic has come to rest."""

from typing import Annotated, Final

from pydantic import BaseModel, Field

from components.config.durations import PositiveSeconds
from components.config.forms import Form, matching
from components.config.model import STRICT, Items

WORD: Final = Form("a word of a command that does not begin with a space", "purge_cache.py", matching(r"(?s:\S.*)"))


class HookSettings(BaseModel):
    """Commands of your own, such as one that empties a semantic cache; a failing one undoes nothing."""

    model_config = STRICT

    after_promotion: Annotated[
        Items[Annotated[str, WORD]],
        Field(
            description="Command, as a list of words, to run once the candidate is promoted.",
            examples=['["python", "purge_cache.py"]'],
        ),
    ] = ()
    after_rollback: Annotated[
        Items[Annotated[str, WORD]],
        Field(description="Command, as a list of words, to run once all traffic is back and config and state agree."),
    ] = ()
    timeout_seconds: Annotated[PositiveSeconds, Field(description="Longest that one of them may take.")] = 60
