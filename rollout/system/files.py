"""Reads files that people write, with one line for each problem, and replaces files atomically."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rollout.model.errors import RefusedError
from rollout.system.failures import one_line

_CONFLICT: Final = re.compile(rb"^<{7} ", re.MULTILINE)
_TEMPLATE: Final = re.compile(rb"\{\{.*\}\}")


def load_yaml(content: bytes, where: str, yaml: YAML) -> Any:
    """Read YAML.

    Raises:
        RefusedError: the content is not YAML. The message names the line.
    """
    try:
        loaded = yaml.load(content)
        json.dumps(loaded, default=str, skipkeys=True)  # fails on a tree that contains itself
    except MarkedYAMLError as error:
        if (conflict := _CONFLICT.search(content)) is not None:
            line = content.count(b"\n", 0, conflict.start()) + 1
            raise RefusedError(f"{where}:{line}: has a merge conflict; resolve it") from error
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        raise RefusedError(f"{place}: is not YAML: {_problem(error)}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        # ValueError: numbers that are too long, or trees that contain themselves. RecursionError: trees too deep.
        raise RefusedError(f"{where}: is not YAML: {one_line(str(error))[:200]}") from error
    if _TEMPLATE.search(content) and _has_object_as_key(loaded):
        raise RefusedError(f"{where}: has {{{{ … }}}}, which a template engine such as Helm fills in; write the values")
    return loaded


def _has_object_as_key(tree: object) -> bool:
    """Return whether a tree has an object as a key: so YAML reads what is in two braces."""
    if isinstance(tree, Mapping):
        items = cast(Mapping[object, object], tree).items()
        return any(isinstance(key, Mapping) or _has_object_as_key(value) for key, value in items)
    return isinstance(tree, list) and any(map(_has_object_as_key, cast(list[object], tree)))


def _problem(error: MarkedYAMLError) -> str:
    """Return the parser's problem without the value there, because that may be a secret."""
    problem = one_line(str(error.problem or "cannot be understood"))
    return problem.partition(" with value ")[0].replace("found duplicate key", "it has this key twice:")


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file's content atomically, so that no reader sees half of it.

    Raises:
        OSError: the file cannot be written; it is unchanged.
    """
    target = path.resolve()  # a symbolic link stays one
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
