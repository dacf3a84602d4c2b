"""The stack's config file, ``Pulumi.<stack>.yaml``. Read as the program reads it, and edited with its comments kept."""

import copy
import io
import json
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import cast

from pydantic import JsonValue
from ruamel.yaml import YAML

from components.config import route_secret
from components.config.explain import nearest_name
from components.config.settings import ServiceSettings, Settings, SettingsError
from components.config.violations import Violation, shown
from components.domain.naming import PROJECT
from rollout.model.errors import RefusedError, RolloutError
from rollout.system.files import load_yaml, replace_file

Tree = MutableMapping[str, object]


class ConfigFile:
    """One service's settings in a stack's config file. Secrets stay as they are."""

    def __init__(self, path: Path, service: str | None = None) -> None:
        """Open ``path`` for ``service``, or for the only service.

        Raises:
            RefusedError: the file or service does not exist, or the settings are invalid. The message lists every
                violation.
        """
        self.path = path
        self.service, _ = _service(self._settings(), service)

    def read(self) -> ServiceSettings:
        """Read the service's settings.

        Raises:
            RefusedError: the file is no longer valid.
        """
        return _service(self._settings(), self.service)[1]

    def vpc_cni_uses_node_role(self) -> bool:
        """Return whether the stack gives the nodes' role the VPC CNI's permissions.

        Raises:
            RefusedError: the file is no longer valid.
        """
        return self._settings().vpc_cni_uses_node_role

    def settings(self) -> Settings:
        """Read the whole stack's settings.

        Raises:
            RefusedError: the file is no longer valid.
        """
        return self._settings()

    def edit(self, changes: Mapping[str, JsonValue]) -> Callable[[], None]:
        """Set keys of the service (``green_weight``, ``green.parked``) in one atomic write.

        Returns:
            A function that restores the file.

        Raises:
            RefusedError: the settings would be invalid; nothing is written.
            RolloutError: the file cannot be written, or somebody else changed it; nothing is written.
        """
        before = self._read()
        document = _load(before, self.path)
        config = cast(Tree, document["config"])
        for key, value in changes.items():
            self._assign(config, key, value)
        after = _dump(document)
        _service(_parse(_load(after, self.path), self.path), self.service)
        self._exchange(before, after)
        return lambda: self._exchange(after, before)

    def _exchange(self, old: bytes, new: bytes) -> None:
        if self._read() != old:
            raise RolloutError(
                f"{self.path}: was changed by somebody else meanwhile, so it is left as it is. Compare it with its "
                "last commit; do not edit it during a rollout"
            )
        try:
            replace_file(self.path, new)
        except OSError as error:
            raise RolloutError(f"{self.path}: cannot be written ({error.strerror}); it is left as it was") from error

    def _settings(self) -> Settings:
        return _parse(_load(self._read(), self.path), self.path)

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise RefusedError(f"{self.path}: cannot be read ({error.strerror})") from error

    def raw(self, key: str) -> str | None:
        """Return a value from another namespace of the config, such as ``aws:region``. None when it is not set."""
        value = cast(Tree, _load(self._read(), self.path)["config"]).get(key)
        return None if value is None else str(value)

    def _assign(self, config: Tree, key: str, value: JsonValue) -> None:
        first, *rest = key.split(".")
        tree, name = config, _spelled(config, first)
        if config.get(services := _spelled(config, "services")):
            tree = _below(_below(config, services), self.service)
            if rest and first not in tree and name in config:
                # A flat key is the default of all services: the parts that are not edited must stay.
                tree[first] = copy.deepcopy(config[name])
            name = first
        for part in rest:
            tree, name = _below(tree, name), part
        tree[name] = value


def stack_file(work_dir: Path, stack: str) -> Path:
    """Return the config file of a stack.

    Raises:
        RefusedError: the folder is not a project's, or it has no such stack. The message names the nearest stack.
    """
    if not (work_dir / "Pulumi.yaml").is_file():
        what = "has no Pulumi.yaml" if work_dir.is_dir() else "is not a folder"
        raise RefusedError(f"--work-dir {work_dir}: {what}. Run from the project's folder, or name it with --work-dir")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", stack, re.ASCII):
        raise RefusedError(
            f"--stack {shown(stack)}: must be the stack's bare name, without its organization, e.g. prod"
        )
    path = work_dir / f"Pulumi.{stack}.yaml"
    if not path.exists():
        known = sorted(one.name.removeprefix("Pulumi.").removesuffix(".yaml") for one in work_dir.glob("Pulumi.*.yaml"))
        nearest = nearest_name(stack, known)
        hint = f"Did you mean {nearest}?" if nearest else f"Known stacks: {', '.join(known) or 'none'}."
        raise RefusedError(f"--stack {stack}: {path} does not exist. {hint}")
    return path


def _spelled(config: Tree, name: str) -> str:
    """Return a key as the file spells it: Pulumi allows leaving out the project's name."""
    return name if name in config else f"{PROJECT}:{name}"


def _service(settings: Settings, name: str | None) -> tuple[str, ServiceSettings]:
    try:
        return settings.service(name)
    except SettingsError as error:
        reason = str(error)
        raise RefusedError(f"{reason}{'' if reason.endswith('?') else '.'} Name one with --service.") from error


def _parse(document: Tree, path: Path) -> Settings:
    config = cast(Tree, document["config"])
    try:
        texts = {str(key): _as_text(value) for key, value in config.items()}
        return Settings.from_config(texts, _secret_violation(config))
    except SettingsError as error:
        raise RefusedError(f"{path}: {error}") from error


def _secret_violation(config: Tree) -> Violation | None:
    kept = config.get(_spelled(config, route_secret.KEY))
    if kept is None or kept == "":
        return route_secret.missing()
    return None if isinstance(kept, Mapping) and "secure" in kept else route_secret.in_plain_text()


def _as_text(value: object) -> str:
    """Return a value as Pulumi passes it to the program: text unchanged, everything else as JSON."""
    if value is None:
        return ""
    value = _as_json(value)
    return value if isinstance(value, str) else json.dumps(value)


def _as_json(value: object) -> JsonValue:
    """Return a value as Pulumi reads it from YAML: whole numbers become integers, times become text in its format."""
    match value:
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
        case date():
            return value.strftime("%Y-%m-%d 00:00:00 +0000 UTC")
        case bool() | None:
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            return int(value) if value.is_integer() else float(value)
        case Mapping():
            return {str(key): _as_json(one) for key, one in cast(Mapping[object, object], value).items()}
        case Sequence():
            return [_as_json(one) for one in cast(Sequence[object], value)]
        case _:
            return str(value)


def _below(tree: Tree, key: str) -> Tree:
    """Return the mapping under a key. It is created if missing, and parsed if it is JSON text."""
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
    document = load_yaml(content, str(path), _yaml())
    if not isinstance(document, MutableMapping) or not isinstance(document.get("config"), MutableMapping):
        raise RefusedError(f"{path}: has no 'config' section; set the stack's config first (see docs/config.md)")
    return cast(Tree, document)


def _dump(document: Tree) -> bytes:
    buffer = io.BytesIO()
    _yaml().dump(document, buffer)
    return buffer.getvalue()
