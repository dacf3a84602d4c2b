"""The project file, Pulumi.yaml: where the stacks' config files are, and the config that it gives to every stack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from components.domain.naming import PROJECT
from rollout.adapters.pulumi.values import pulumi_yaml
from rollout.model.errors import RefusedError
from rollout.system.files import load_yaml

PROJECT_FILE = "Pulumi.yaml"


@dataclass(frozen=True)
class Project:
    """What the project file says about stacks."""

    folder: Path
    """The folder of the stacks' config files."""
    name: str = PROJECT
    """The project's name, with which the keys of its config begin."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The values of keys that a stack does not set, by full key (``vllm-blue-green:protect``, ``aws:region``)."""

    @property
    def prefix(self) -> str:
        """What the full keys of the project's own config begin with."""
        return f"{self.name}:"

    @property
    def is_ours(self) -> bool:
        """Whether the program is this repository's. Another program declares its services by the component package."""
        return self.name == PROJECT

    def stack_file(self, stack: str) -> Path:
        """Return the path of a stack's config file."""
        return self.folder / f"Pulumi.{stack}.yaml"


def read_project(work_dir: Path) -> Project:
    """Read the project file. Without one, there is nothing but stacks' files in the folder itself.

    Raises:
        RefusedError: the file cannot be read, or gives config in a way that is not supported.
    """
    path = work_dir / PROJECT_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Project(work_dir)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read ({error.strerror})") from error
    return _project(path, content)


@lru_cache(maxsize=8)
def _project(path: Path, content: bytes) -> Project:
    document = load_yaml(content, str(path), pulumi_yaml())
    declared: Mapping[str, Any] = cast(Mapping[str, Any], document) if isinstance(document, Mapping) else {}
    config = declared.get("config")
    # The folder was formerly given as a text under `config`.
    # https://www.pulumi.com/docs/reference/pulumi-yaml/
    folder = declared.get("stackConfigDir") or (config if isinstance(config, str) else "")
    keys = cast(Mapping[str, Any], config) if isinstance(config, Mapping) else {}
    name = str(declared.get("name") or PROJECT)
    values = {_full_key(path, name, str(key)): _value(one) for key, one in keys.items()}
    config = {key: value for key, value in values.items() if value is not None}
    return Project(folder=path.parent / str(folder), name=name, config=config)


def _full_key(path: Path, project: str, key: str) -> str:
    if set(key) & set(".["):
        raise RefusedError(
            f"{path}: config key {key}: is a path into an object, which the scripts do not read. Nest it"
        )
    return key if ":" in key else f"{project}:{key}"


def _value(declared: Any) -> Any:
    """Return a key's value: itself when it is no object, else its ``value`` or ``default``. None when it has none."""
    if not isinstance(declared, Mapping):
        return declared
    declared = cast(Mapping[str, Any], declared)
    return declared.get("value", declared.get("default"))
