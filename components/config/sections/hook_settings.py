"""Settings of the user's own commands, which run after a promotion or a rollback."""

import re
import shlex
from typing import Annotated, Final

from pydantic import BaseModel, Field, field_validator

from components.config.reading.durations import PositiveSeconds
from components.config.reading.forms import Form, matching
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation, shown, wrong

WORD: Final = Form("a word of a command that does not begin with a space", "purge_cache.py", matching(r"(?s:\S.*)"))


def be_words(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command, unless it is a whole line of a shell in one element: no program has such a name."""
    for place, word in enumerate(command):
        if "\0" in word or (place == 0 and not word.strip()):
            what = "must be the name of a program" if place == 0 else "must have no null character"
            raise wrong(Violation((place,), what, "Correct it.", word))
    if len(command) == 1 and re.search(r"\s", command[0]) and not command[0].startswith(("/", "./")):
        try:
            words = shlex.split(command[0])
        except ValueError:  # a quote is not closed
            words = command[0].split()
        what = "must be the name of a program: each word of a command is an element of its own"
        raise wrong(Violation((0,), what, f"Write {shown(words)}.", command[0]))
    return command


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

    @field_validator("after_promotion", "after_rollback")
    @classmethod
    def _be_words(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        return be_words(command)
