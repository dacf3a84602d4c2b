"""The stack's config file, ``Pulumi.<stack>.yaml``. Read as the program reads it, and edited with its comments kept.

The keys of this repository's program are settings. In the config of another program, which declares its services by the
component package, a service's settings are one object, whose key is the service's name.
"""

import copy
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from pydantic import JsonValue
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from components.config.reading import route_secret
from components.config.reading.explain import nearest_name
from components.config.reading.values import parse
from components.config.reading.violations import Path as KeyPath
from components.config.reading.violations import Violation, dotted, shown, texts_of
from components.config.settings import ServiceSettings, Settings, SettingsError
from components.domain.naming import COLORS, PROJECT
from rollout.adapters.pulumi.declared import read_declared
from rollout.adapters.pulumi.environment import open_environment
from rollout.adapters.pulumi.project import PROJECT_FILE, Project, read_project
from rollout.adapters.pulumi.values import as_json, as_text, pulumi_yaml
from rollout.model.errors import RefusedError, RolloutError
from rollout.model.stack_name import parse_stack_name
from rollout.system.files import load_yaml, replace_file

Tree = MutableMapping[str, object]


# What a rollout writes; a reap, a drill and a rollback write some of these.
_WRITTEN: Final = (
    *("green_weight", "active_color", "rollout_serial", "keep_until", "rolling_out", "cohorts_on_candidate"),
    *(f"{color}.{part}" for color in COLORS for part in ("release", "parked", "provisioned")),
    *(f"{color}.{part}" for color in COLORS for part in ("running_replicas", "floor_replicas")),
)


@dataclass(frozen=True)
class _Texts:
    """The config as Pulumi passes it to the program: the file's, the project's and the environment's together."""

    by_key: Mapping[str, str]
    secrets: frozenset[str]
    inherited: Mapping[str, JsonValue]
    """The values that do not come from the file, by full key."""


class ConfigFile:
    """One service's settings in a stack's config file. Secrets stay as they are."""

    def __init__(
        self, path: Path, service: str | None = None, work_dir: Path | None = None, stack: str | None = None
    ) -> None:
        """Open ``path`` for ``service``, or for the only service.

        Args:
            path: the file.
            service: the service. None for the only one.
            work_dir: the folder with Pulumi.yaml. None when it is the file's own folder.
            stack: the stack's name as the Pulumi CLI gets it. None for the file's.

        Raises:
            RefusedError: the file or service does not exist, or the settings are invalid. The message lists every
                violation.
        """
        self.path = path
        self._work_dir = work_dir or path.parent
        self._stack = stack or path.name.removeprefix("Pulumi.").removesuffix(".yaml")
        self._opened: tuple[bytes, Mapping[str, str | None]] | None = None
        self._declared: Mapping[str, JsonValue] | None = None
        self._parsed: tuple[bytes, Project, Settings] | None = None
        project = read_project(self._work_dir)
        self._ours = project.is_ours
        self.prefix = project.prefix
        """What the full keys of the program's config begin with."""
        if self._ours:
            self.service, _ = _service(self._settings(), service)
        else:
            self.service = self._named(service)
            self._settings()
            self._refuse_declared()

    def _named(self, service: str | None) -> str:
        """Return the service of another program, or its only one. It is the key of an object with its settings."""
        content = self._read()
        names = sorted(self._objects(self._texts(_load(content, self.path, self.prefix), content)))
        if service in names:
            return service
        if service is None and len(names) == 1:
            return names[0]
        if not names:
            raise RefusedError(
                f"{self.path}: has no service. The project is not {PROJECT}, so a service's settings are one object "
                f"under its name with blue and green, e.g. {self.prefix}{service or 'chat'} (docs/component-package.md)"
            )
        known = ", ".join(names)
        if service is None:
            raise RefusedError(
                f"service: must be named, since this stack has several ({known}). Name one with --service."
            )
        nearest = nearest_name(service, names)
        hint = f" Did you mean {nearest}?" if nearest else ""
        raise RefusedError(f"service: {shown(service)} is not one of this stack's services ({known}).{hint}")

    def _objects(self, texts: _Texts) -> dict[str, Mapping[str, JsonValue]]:
        """Return the objects of another program's config that have a colour, by key without the project's name."""
        found: dict[str, Mapping[str, JsonValue]] = {}
        for key, text in texts.by_key.items():
            if key.startswith(self.prefix) and text.startswith("{"):
                try:
                    value = cast(JsonValue, parse(text))
                except ValueError as error:
                    raise RefusedError(f"{self.path}: {key}: has the key {error} twice. Remove one.") from error
                if isinstance(value, dict) and not value.keys().isdisjoint(COLORS):
                    found[key.removeprefix(self.prefix)] = value
        return found

    def _declared_settings(self) -> Mapping[str, JsonValue]:
        """Read what the program itself gives to the component, once."""
        if self._declared is None:
            self._declared = read_declared(self._work_dir, self._stack, self.service)
        return self._declared

    def _refuse_declared(self) -> None:
        """Refuse a service whose program itself gives what a rollout writes: the component would then refuse both."""
        written = {key.split(".")[0] for key in _WRITTEN}
        if found := sorted(written & self._declared_settings().keys()):
            raise RefusedError(
                f"{self.path}: {', '.join(found)}: must be in {self.prefix}{self.service}, where a rollout writes, but "
                "the program gives it by itself. Move it there, and run `pulumi up`"
            )

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

    def load_balancer_subnet_ids(self) -> Sequence[str]:
        """Return the subnets of the load balancer. Empty when every service joins a listener.

        Raises:
            RefusedError: the file is no longer valid.
        """
        return self._settings().load_balancer_subnet_ids

    def node_permissions_boundary_arn(self) -> str | None:
        """Return the permissions boundary of the nodes' roles. None when they have none.

        Raises:
            RefusedError: the file is no longer valid.
        """
        return self._settings().node_permissions_boundary_arn

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
            RefusedError: the settings would be invalid, or would not read back as meant; nothing is written.
            RolloutError: the file cannot be written, or somebody else changed it; nothing is written.
        """
        before = self._read()
        document = _load(before, self.path, self.prefix)
        texts = self._texts(document, before)
        self._refuse_environment(document, texts)
        meant = cast(dict[str, JsonValue], as_json(document))
        for tree in (document, meant):
            for key, value in changes.items():
                self._assign(cast(Tree, tree["config"]), key, value, texts.inherited)
        after = _dump(document)
        written = self._read_back(after, meant)
        _service(self._parse(written, after), self.service)
        self._exchange(before, after)
        return lambda: self._exchange(after, before)

    def _read_back(self, after: bytes, meant: JsonValue) -> Tree:
        """Read the new content before it takes the old one's place, and compare every value with what was meant."""
        try:
            written = _load(after, self.path, self.prefix)
        except RefusedError as error:
            raise RefusedError(
                f"{self.path}: the change cannot be written as YAML, so the file is left as it was"
            ) from error
        if (where := difference(as_json(meant), as_json(written))) is not None:
            key = _config_path(where, self.prefix)
            raise RefusedError(
                f"{self.path}: with the change, {key} would not read back as meant, so the file is left as it was. If "
                "the file has anchors or aliases (&name, *name, <<), write their values out"
            )
        return written

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
        """Read the settings. They are parsed once for each content of the file: a rollout reads them at every poll."""
        content, project = self._read(), read_project(self._work_dir)
        if self._parsed is None or self._parsed[:2] != (content, project):
            self._parsed = content, project, self._parse(_load(content, self.path, self.prefix), content)
        return self._parsed[2]

    def _parse(self, document: Tree, content: bytes) -> Settings:
        texts, config = self._texts(document, content), cast(Tree, document["config"])
        secret = _secret_violations(texts, self.prefix)
        try:
            if self._ours:
                return Settings.from_config(texts.by_key, (*secret, *_lost_texts(config, self.prefix)))
            own = {key: value for key, value in config.items() if key == _spelled(config, self.service, self.prefix)}
            return Settings.from_object(
                self.service,
                {**self._declared_settings(), **self._objects(texts).get(self.service, {})},
                (*secret, *_lost_texts(own, self.prefix)),
                region=texts.by_key.get("aws:region"),
                prefix=self.prefix,
            )
        except SettingsError as error:
            raise RefusedError(f"{self.path}: {error}") from error

    def _texts(self, document: Tree, content: bytes) -> _Texts:
        config = _by_full_key(document, self.prefix)
        if document.get("environment"):
            opened = self._open(content)
            return _Texts(
                by_key={key: json.dumps({"secure": ""}) if text is None else text for key, text in opened.items()},
                secrets=frozenset(key for key, text in opened.items() if text is None),
                inherited={key: text for key, text in opened.items() if key not in config},
            )
        project = {key: as_json(one) for key, one in read_project(self._work_dir).config.items() if key not in config}
        own = {str(key): as_text(value) for key, value in cast(Tree, document["config"]).items()}
        if not self._ours:
            own = {key if ":" in key else self.prefix + key: text for key, text in own.items()}
        return _Texts(
            by_key={**{key: as_text(value) for key, value in project.items()}, **own},
            secrets=frozenset(key for key, value in config.items() if isinstance(value, Mapping) and "secure" in value),
            inherited=project,
        )

    def _open(self, content: bytes) -> Mapping[str, str | None]:
        """Open the stack's environment, once for each content of the file."""
        if self._opened is None or self._opened[0] != content:
            self._opened = content, open_environment(self._work_dir, self.path, self._stack, content)
        return self._opened[1]

    def _refuse_environment(self, document: Tree, texts: _Texts) -> None:
        """Refuse an edit while the environment gives a key that a rollout writes: the next one would be confusing.

        All such keys are named before the first edit, so that no rollout begins that could not write them all.
        """
        if not document.get("environment"):
            return
        project = read_project(self._work_dir).config
        own = _by_full_key(document, self.prefix)
        found = [
            dotted((path[0].removeprefix(self.prefix), *path[1:]))
            for key in _WRITTEN
            for path in self._paths(key.split("."))
            if (given := _at({**texts.inherited, **own}, path)) not in (None, "")
            and _at(own, path) is None
            and as_text(given) != as_text(_at(project, path))
        ]
        if found:
            raise RefusedError(
                f"{self.path}: {', '.join(found)}: must be in this file, where a rollout writes, but the stack's "
                "environment gives it. Copy it into the file, and remove it from the environment"
            )

    def _paths(self, parts: list[str]) -> Iterator[tuple[str, ...]]:
        """Yield the places in the config that may have a key of the service."""
        if self._ours:
            first, *rest = parts
            yield (self.prefix + first, *rest)
            yield (f"{self.prefix}services", self.service, *parts)
        else:
            yield (self.prefix + self.service, *parts)

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise RefusedError(f"{self.path}: cannot be read ({error.strerror})") from error

    def raw(self, key: str) -> str | None:
        """Return a value from another namespace of the config, such as ``aws:region``. None when it is not set."""
        content = self._read()
        return self._texts(_load(content, self.path, self.prefix), content).by_key.get(key) or None

    def _assign(self, config: Tree, key: str, value: JsonValue, inherited: Mapping[str, JsonValue]) -> None:
        first, *rest = key.split(".") if self._ours else (self.service, *key.split("."))
        tree, name = config, _spelled(config, first, self.prefix)
        # In another program, `services` is a key like any other.
        services = _spelled(config, "services", self.prefix) if self._ours else ""
        for one in (*([services] if services else []), *([name] if rest else [])):
            # The project's value is dropped as soon as the file has the key: the parts that are not edited must stay.
            if one not in config and inherited.get(one) not in (None, "", "{}", {}):
                config[one] = _quoted(inherited[one])
        if config.get(services):
            tree = _below(_below(config, services), self.service)
            if rest and first not in tree and name in config:
                # A flat key is the default of all services: the parts that are not edited must stay.
                tree[first] = copy.deepcopy(config[name])
            name = first
        for part in rest:
            tree, name = _below(tree, name), part
        tree[name] = _quoted(value)


def stack_file(work_dir: Path, stack: str) -> Path:
    """Return the config file of a stack, whose name may have an organization and a project.

    Raises:
        RefusedError: the folder is not a project's, or it has no such stack. The message names the nearest stack.
    """
    if not (work_dir / PROJECT_FILE).is_file():
        what = "has no Pulumi.yaml" if work_dir.is_dir() else "is not a folder"
        raise RefusedError(f"--work-dir {work_dir}: {what}. Run from the project's folder, or name it with --work-dir")
    project = read_project(work_dir)
    name = parse_stack_name(stack, project.name).bare
    path = project.stack_file(name)
    if not path.exists():
        files = path.parent.glob("Pulumi.*.yaml")
        known = sorted(one.name.removeprefix("Pulumi.").removesuffix(".yaml") for one in files)
        nearest = nearest_name(name, known)
        hint = f"Did you mean {nearest}?" if nearest else f"Known stacks: {', '.join(known) or 'none'}."
        raise RefusedError(f"--stack {stack}: {path} does not exist. {hint}")
    return path


def _spelled(config: Tree, name: str, prefix: str) -> str:
    """Return a key as the file spells it: Pulumi allows leaving out the project's name."""
    return name if name in config else prefix + name


def _service(settings: Settings, name: str | None) -> tuple[str, ServiceSettings]:
    try:
        return settings.service(name)
    except SettingsError as error:
        reason = str(error)
        raise RefusedError(f"{reason}{'' if reason.endswith('?') else '.'} Name one with --service.") from error


def _by_full_key(document: Tree, prefix: str) -> dict[str, object]:
    keys = {str(key): value for key, value in cast(Tree, document["config"]).items()}
    return {key if ":" in key else prefix + key: value for key, value in keys.items()}


def _at(tree: object, path: tuple[str, ...]) -> object:
    """Return the value at a path, through objects and JSON text. None when there is none."""
    for part in path:
        if isinstance(tree, str) and tree.startswith("{"):
            tree = json.loads(tree)
        if not isinstance(tree, Mapping):
            return None
        tree = cast(Mapping[str, object], tree).get(part)
    return tree


def _secret_violations(texts: _Texts, prefix: str) -> Iterator[Violation]:
    key = prefix + route_secret.KEY
    if not any(texts.by_key.get(one) for one in (key, route_secret.KEY)):
        yield route_secret.missing()
    elif key not in texts.secrets:
        yield route_secret.in_plain_text()


def _lost_texts(config: Tree, prefix: str) -> Iterator[Violation]:
    """Find texts that Pulumi changes between the file and the program, however the file spells them.

    It writes the config again before it reads it. A text of several lines then becomes a block, which cannot begin with
    a line break or a tab.
    https://github.com/pulumi/pulumi/blob/v3.260.0/sdk/go/common/workspace/loaders.go
    """
    for path, text in texts_of(config, ()):
        if text[:1] in ("\n", "\t", "\u2028", "\u2029") and "\n" in text:
            first, *rest = path
            fix = "Begin it with another character; a chat template may begin with {# #}."
            what = "must not begin with a line break or a tab and have several lines: Pulumi reads another text"
            yield Violation((str(first).removeprefix(prefix), *rest), what, fix, text)


def _below(tree: Tree, key: str) -> Tree:
    """Return the mapping under a key. It is created if missing, and parsed if it is JSON text."""
    below = tree.get(key)
    if isinstance(below, str) and below:
        below = _quoted(json.loads(below))
    if not isinstance(below, MutableMapping):
        below = {}
    if tree.get(key) is not below:
        tree[key] = below
    return cast(Tree, below)


# What every YAML reader takes for a text, and for the same one: words with single spaces between them. A text that
# begins like a number, or is a word for true, false or nothing, is another value for some readers.
_PLAIN: Final = re.compile(r"(?![-+.]*[0-9.~=<])\S+( \S+)*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none", "inf", "nan"})


def _quoted(value: JsonValue) -> JsonValue:
    """Return a value in which every text that YAML readers might change is in double quotes when it is written.

    YAML folds line breaks (also U+0085, U+2028 and U+2029), tabs and trailing spaces; in double quotes, all characters
    that are not printable are escaped. https://yaml.org/spec/1.2.2/#73-flow-scalar-styles
    """
    match value:
        case str():
            plain = value.isprintable() and _PLAIN.fullmatch(value) and value.casefold() not in _WORDS
            return value if plain else DoubleQuotedScalarString(value)
        case dict():
            return {cast(str, _quoted(key)): _quoted(one) for key, one in value.items()}
        case list():
            return [_quoted(one) for one in value]
        case _:
            return value


def difference(meant: JsonValue, found: JsonValue, path: KeyPath = ()) -> KeyPath | None:
    """Return the path of the first value that is not the same in both trees. None when all are."""
    if isinstance(meant, dict) and isinstance(found, dict):
        for key in dict.fromkeys((*meant, *found)):
            if key not in meant or key not in found:
                return (*path, key)
            if (where := difference(meant[key], found[key], (*path, key))) is not None:
                return where
        return None
    if isinstance(meant, list) and isinstance(found, list) and len(meant) == len(found):
        pairs = enumerate(zip(meant, found, strict=True))
        below = (difference(one, other, (*path, place)) for place, (one, other) in pairs)
        return next((where for where in below if where is not None), None)
    return None if repr(meant) == repr(found) else path  # True is not 1, and NaN is NaN


def _config_path(path: KeyPath, prefix: str) -> str:
    """Return a path in the file as ``pulumi config set --path`` takes it."""
    match path:
        case ("config", key, *rest):
            return dotted((str(key).removeprefix(prefix), *rest))
        case _:
            return dotted(path)


def _load(content: bytes, path: Path, prefix: str) -> Tree:
    document = load_yaml(content, str(path), pulumi_yaml())
    if isinstance(document, MutableMapping) and document.get("environment"):
        cast(Tree, document).setdefault("config", CommentedMap())
    config = cast(Tree, document).get("config") if isinstance(document, MutableMapping) else None
    if config is None:
        raise RefusedError(f"{path}: has no 'config' section; set the stack's config first (see docs/config.md)")
    if not isinstance(config, MutableMapping):
        raise RefusedError(f"{path}: 'config' must have one key and value per line, like `{prefix}green_weight: 0`")
    return cast(Tree, document)


def _dump(document: Tree) -> bytes:
    buffer = io.BytesIO()
    pulumi_yaml().dump(document, buffer)
    return buffer.getvalue()
