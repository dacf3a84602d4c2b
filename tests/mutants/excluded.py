"""Mutations that no test can or should notice, each with its reason."""

from dataclasses import dataclass
from typing import Final

from tests.mutants.mutations import Mutation
from tests.mutants.trials import ROOT


@dataclass(frozen=True)
class Excluded:
    """One mutation, or with ``*`` in place of the text all of a function."""

    file: str
    function: str
    mutation: str
    """As survivors are printed: ``old → new``."""
    why: str

    def covers(self, mutation: Mutation) -> bool:
        """Whether it is this mutation."""
        text = f"{mutation.old} → {mutation.new}"
        place = (str(mutation.file.relative_to(ROOT)), mutation.function)
        return place == (self.file, self.function) and self.mutation in ("*", text)


EXCLUDED: Final[tuple[Excluded, ...]] = ()
