"""The stack's config file, ``Pulumi.<stack>.yaml``: read as the program will, edited without losing a comment."""

import copy
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import cast

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.naming import PROJECT
from components.settings import ServiceSettings, Settings, SettingsError
from rollout.errors import RefusedError

Tree = MutableMapping[str, object]


class ConfigFile:
    """One service's settings inside a stack's config file. Secrets pass through untouched."""

    def __init__(self, path: Path, service: str | None = None) -> None:
        """Open ``path`` for ``service``, or for the only one.

        Raises:
            RefusedError: no such file or service, or the settings are wrong; the message lists every fault.
        """
        self.path = path
        self.service, _ = _service(self._settings(), service)

    def read(self) -> ServiceSettings:
        """Read the service's settings.

        Raises:
            RefusedError: the file is not valid any more.
        """
        return _service(self._settings(), self.service)[1]

    def settings(self) -> Settings:
        """Read the whole stack's settings.

        Raises:
            RefusedError: the file is not valid any more.
        """
        return self._settings()

    def edit(self, changes: Mapping[str, JsonValue]) -> Callable[[], None]:
        """Set keys of the service (``green_weight``, ``green.parked``) in one atomic write.

        Returns:
            A function that puts the file back as it was.

        Raises:
            RefusedError: the settings would not be valid; nothing is written.
        """
        before = self.path.read_bytes()
        document = _load(before, self.path)
        config = cast(Tree, document["config"])
        for key, value in changes.items():
            self._assign(config, key, value)
        after = _dump(document)
        _service(_parse(_load(after, self.path), self.path), self.service)
        _replace(self.path, after)
        return lambda: _replace(self.path, before)

    def _settings(self) -> Settings:
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise RefusedError(
                f"{self.path}: cannot be read ({error.strerror}). Run from the project directory, or name it with "
                "--work-dir, and check --stack."
            ) from error
        return _parse(_load(content, self.path), self.path)

    def raw(self, key: str) -> str | None:
        """Return a value of another project's config, such as ``aws:region``; none when it is not set."""
        value = cast(Tree, _load(self.path.read_bytes(), self.path)["config"]).get(key)
        return None if value is None else str(value)

    def _assign(self, config: Tree, key: str, value: JsonValue) -> None:
        first, *rest = key.split(".")
        tree, name = config, f"{PROJECT}:{first}"
        if config.get(f"{PROJECT}:services"):
            tree = _below(_below(config, f"{PROJECT}:services"), self.service)
            if rest and first not in tree and name in config:
                # A flat key is the default of all services; what it holds beside the edited part must stay.
                tree[first] = copy.deepcopy(config[name])
            name = first
        for part in rest:
            tree, name = _below(tree, name), part
        tree[name] = value


def _service(settings: Settings, name: str | None) -> tuple[str, ServiceSettings]:
    try:
        return settings.service(name)
    except SettingsError as error:
        raise RefusedError(f"{error}. Name one with --service.") from error


def _parse(document: Tree, path: Path) -> Settings:
    config = cast(Mapping[str, object], document["config"])
    try:
        return Settings.from_config({key: _as_text(value) for key, value in config.items()})
    except SettingsError as error:
        raise RefusedError(f"{path}: {error}") from error


def _as_text(value: object) -> str:
    """Write a value as Pulumi hands it to the program: strings as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _below(tree: Tree, key: str) -> Tree:
    """Return the mapping under a key; made when there is none, unfolded when it is JSON text."""
    below = tree.get(key)
    if isinstance(below, str) and below:
        below = json.loads(below)
    if not isinstance(below, MutableMapping):
        below = {}
    if tree.get(key) is not below:
        tree[key] = below
    return cast(Tree, below)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(content: bytes, path: Path) -> Tree:
    try:
        document = _yaml().load(content)
    except YAMLError as error:
        raise RefusedError(f"{path}: is not YAML: {error}") from error
    if not isinstance(document, MutableMapping) or not isinstance(document.get("config"), MutableMapping):
        raise RefusedError(f"{path}: has no 'config' section; set the stack's config first (see the README)")
    return cast(Tree, document)


def _dump(document: Tree) -> bytes:
    buffer = io.BytesIO()
    _yaml().dump(document, buffer)
    return buffer.getvalue()


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(path.stat().st_mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
