"""Files that people write and we read, or that we replace: whole or not at all, with one line for what is wrong."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rollout.model.errors import RefusedError
from rollout.system.failures import one_line


def load_yaml(content: bytes, where: str, yaml: YAML) -> Any:
    """Read YAML.

    Raises:
        RefusedError: it is none; the message has the line.
    """
    try:
        loaded = yaml.load(content)
        json.dumps(loaded, default=str, skipkeys=True)  # finds a tree that holds itself
        return loaded
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        raise RefusedError(f"{place}: is not YAML: {_problem(error)}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        # The last two: numbers beyond all bounds, trees that hold themselves, and trees beyond all depths.
        raise RefusedError(f"{where}: is not YAML: {one_line(str(error))[:200]}") from error


def _problem(error: MarkedYAMLError) -> str:
    """Return what the parser met; a value there may be a secret, so only its own words for it are told."""
    problem = one_line(str(error.problem or "cannot be understood"))
    return problem.partition(" with value ")[0].replace("found duplicate key", "it has this key twice:")


def replace_file(path: Path, content: bytes) -> None:
    """Put new content in a file's place in one step, so that nobody ever sees half of it.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    target = path.resolve()  # a link stays one
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(target.stat().st_mode)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
