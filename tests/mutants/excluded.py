"""Mutations that no test can or should notice, each with the reason."""

from dataclasses import dataclass
from typing import Final

from tests.mutants.mutations import Mutation
from tests.mutants.trials import ROOT


@dataclass(frozen=True)
class Excluded:
    """One mutation, or all of a function when the text is ``*``."""

    file: str
    function: str
    mutation: str
    """The mutation as survivors are printed: ``old → new``."""
    why: str

    def covers(self, mutation: Mutation) -> bool:
        """Return whether this entry covers a mutation."""
        text = f"{mutation.old} → {mutation.new}"
        place = (str(mutation.file.relative_to(ROOT)), mutation.function)
        return place == (self.file, self.function) and self.mutation in ("*", text)


EXCLUDED: Final[tuple[Excluded, ...]] = ()
