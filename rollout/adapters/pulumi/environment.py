"""The config of a stack that has an environment (Pulumi ESC): only Pulumi can open it, and merge it with the file."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rollout.model.errors import RefusedError
from rollout.system.failures import pulumi_words


def open_environment(work_dir: Path, path: Path, stack: str, content: bytes) -> Mapping[str, str | None]:
    """Return the whole config as the program would get it if the stack's file had this content.

    A secret is None. It takes a second or two: Pulumi starts, and asks Pulumi Cloud.
    https://www.pulumi.com/docs/iac/cli/commands/pulumi_config/

    Raises:
        RefusedError: Pulumi cannot open the environment.
    """
    # Slow imports: most stacks have no environment.
    from pulumi.automation import errors

    from rollout.adapters.pulumi.process import InterruptiblePulumi

    fix = "Log in with `pulumi login`, or write the environment's values into the file and remove `environment`"
    with tempfile.NamedTemporaryFile(prefix=f"{path.stem}.", suffix=".yaml") as file:
        file.write(content)
        file.flush()
        arguments = ["config", "--json", "--open", "--stack", stack, "--config-file", file.name]
        try:
            output = InterruptiblePulumi(stack).run(arguments, str(work_dir), {}).stdout
        except FileNotFoundError as error:
            raise RefusedError(f"{path}: has an environment, and there is no `pulumi` on PATH to open it") from error
        except errors.InvalidVersionError as error:
            raise RefusedError(f"the `pulumi` on PATH is too old: {pulumi_words(error)}. Update it") from error
        except errors.CommandError as error:
            words = pulumi_words(error)
            raise RefusedError(f"{path}: its environment cannot be opened: {words}. {fix}") from error
    try:
        values = cast(dict[str, dict[str, Any]], json.loads(output))
        return {key: None if one["secret"] else str(one["value"]) for key, one in values.items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RefusedError(f"{path}: its environment cannot be opened: Pulumi's answer is not its config") from error
