"""The stack's config file, ``Pulumi.<stack>.yaml``. Read as the program reads it, and edited with its comments kept."""

import copy
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final, cast

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from components.config import route_secret
from components.config.explain import nearest_name
from components.config.settings import PREFIX, ServiceSettings, Settings, SettingsError
from components.config.violations import Path as KeyPath
from components.config.violations import Violation, dotted, shown, texts_of
from components.domain.naming import PROJECT
from rollout.model.errors import RefusedError, RolloutError
from rollout.system.files import load_yaml, replace_file

Tree = MutableMapping[str, object]


class _Constructor(RoundTripConstructor):
    """Makes numbers of what Pulumi's reader takes for numbers."""

    def number(self, node: ScalarNode) -> object:
        """Return a number, or the text itself when it has digits but is too large for a number."""
        number = self.construct_yaml_float(node)
        return node.value if math.isinf(number) and any(one.isdigit() for one in node.value) else number

    def integer(self, node: ScalarNode) -> object:
        """Return an integer. With a leading zero it is octal, as in YAML 1.1, if all its digits are."""
        digits = node.value.replace("_", "")
        return int(digits, 8) if re.fullmatch(r"[-+]?0[0-7]+", digits) else self.construct_yaml_int(node)


_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.number)
_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.integer)


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
        document = _load(before, self.path)
        meant = cast(dict[str, JsonValue], _as_json(document))
        for tree in (document, meant):
            for key, value in changes.items():
                self._assign(cast(Tree, tree["config"]), key, value)
        after = _dump(document)
        written = self._read_back(after, meant)
        _service(_parse(written, self.path), self.service)
        self._exchange(before, after)
        return lambda: self._exchange(after, before)

    def _read_back(self, after: bytes, meant: JsonValue) -> Tree:
        """Read the new content before it takes the old one's place, and compare every value with what was meant."""
        try:
            written = _load(after, self.path)
        except RefusedError as error:
            raise RefusedError(
                f"{self.path}: the change cannot be written as YAML, so the file is left as it was"
            ) from error
        if (where := difference(_as_json(meant), _as_json(written))) is not None:
            raise RefusedError(
                f"{self.path}: with the change, {_config_path(where)} would not read back as meant, so the file is "
                "left as it was. If the file has anchors or aliases (&name, *name, <<), write their values out"
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
        return _parse(_load(self._read(), self.path), self.path)

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise RefusedError(f"{self.path}: cannot be read ({error.strerror})") from error

    def raw(self, key: str) -> str | None:
        """Return a value from another namespace of the config, such as ``aws:region``. None when it is not set."""
        value = cast(Tree, _load(self._read(), self.path)["config"]).get(key)
        return None if value is None else _as_text(value)

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
        tree[name] = _quoted(value)


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
        return Settings.from_config(texts, (*_secret_violations(config), *_lost_texts(config)))
    except SettingsError as error:
        raise RefusedError(f"{path}: {error}") from error


def _secret_violations(config: Tree) -> Iterator[Violation]:
    kept = config.get(_spelled(config, route_secret.KEY))
    if kept is None or kept == "":
        yield route_secret.missing()
    elif not isinstance(kept, Mapping) or "secure" not in kept:
        yield route_secret.in_plain_text()


def _lost_texts(config: Tree) -> Iterator[Violation]:
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
            yield Violation((str(first).removeprefix(PREFIX), *rest), what, fix, text)


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


def _config_path(path: KeyPath) -> str:
    """Return a path in the file as ``pulumi config set --path`` takes it."""
    match path:
        case ("config", key, *rest):
            return dotted((str(key).removeprefix(PREFIX), *rest))
        case _:
            return dotted(path)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.Constructor = _Constructor
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
