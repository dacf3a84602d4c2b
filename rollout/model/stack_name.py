"""The name of a stack: bare, or with its organization and project, as Pulumi Cloud has them."""

import re
from dataclasses import dataclass
from typing import Final

from components.config.reading.violations import shown
from components.domain.naming import PROJECT
from rollout.model.errors import RefusedError

# https://www.pulumi.com/docs/iac/concepts/stacks/#stack-naming-format
_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class StackName:
    """A stack's name. However it is given, config file, records and tags have the bare name."""

    bare: str
    """The name alone: ``prod``."""
    qualified: str
    """The name as it was given, which is what the Pulumi CLI gets: ``prod`` or ``acme/vllm-blue-green/prod``."""

    def __str__(self) -> str:
        """Return the name as it was given."""
        return self.qualified


def parse_stack_name(text: str, project: str | None = None) -> StackName:
    """Read ``stack``, ``organization/stack`` or ``organization/project/stack``.

    Args:
        text: the name.
        project: the project that a stack must belong to. None for any.

    Raises:
        RefusedError: it is none of these, or the project is another one.
    """
    *owners, bare = parts = text.split("/")
    if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts) or bare.strip(".") == "":
        raise RefusedError(
            f"--stack {shown(text)}: must be a stack's name, alone or with its organization and project: prod, "
            f"acme/prod or acme/{project or PROJECT}/prod"
        )
    if len(owners) == 2 and project is not None and owners[1] != project:
        raise RefusedError(
            f"--stack {shown(text)}: is a stack of project {owners[1]}, but this is project {project}. Check --stack "
            "and --work-dir"
        )
    return StackName(bare=bare, qualified=text)
