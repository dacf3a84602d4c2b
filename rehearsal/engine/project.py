"""Pulumi.yaml: the project's name, runtime and config schema."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rehearsal.engine.errors import CommandError, not_supported


def load_yaml(path: Path, mappings: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML file that holds a mapping (an empty file does), and mappings under the keys named.

    Raises:
        CommandError: it holds something else; the message tells where.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise CommandError(f"could not parse {path}: {where}{error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"could not parse {path}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise CommandError(f"could not read {path}: it must hold `key: value` lines, not {document!r}")
    known = cast(dict[str, Any], document)
    for key in mappings:
        if known.get(key) is not None and not isinstance(known[key], dict):
            raise CommandError(f"could not read {path}: `{key}` must hold `key: value` lines, not {known[key]!r}")
    return known


@dataclass(frozen=True)
class ConfigField:
    """One declared config key: its type (None: any), whether it is secret, and what applies when it is not set."""

    key: str
    type: str | None
    items: dict[str, Any] | None
    secret: bool
    default: Any
    value: Any

    @property
    def type_name(self) -> str:
        """The type as a person writes it, such as `array<string>`."""
        return _type_name(self.type, self.items)


def _type_name(type_: str | None, items: dict[str, Any] | None) -> str:
    if type_ == "array" and items:
        return f"array<{_type_name(items.get('type'), items.get('items'))}>"
    return type_ or "string"


@dataclass(frozen=True)
class Project:
    """A project folder with its Pulumi.yaml."""

    root: Path
    name: str
    runtime: str
    runtime_options: dict[str, Any]
    main: str
    backend_url: str
    stack_config_dir: str
    config: tuple[ConfigField, ...]

    @classmethod
    def find(cls, start: Path | None = None) -> "Project":
        """Read the nearest Pulumi.yaml at or above a folder (default: the current one)."""
        start = (start or Path.cwd()).absolute()
        for folder in (start, *start.parents):
            for name in ("Pulumi.yaml", "Pulumi.yml"):
                if (folder / name).is_file():
                    return cls._load(folder / name)
        raise CommandError(
            f"no Pulumi.yaml project file found (searching upwards from {start}). If you have not created a "
            "project yet, use `pulumi new` to do so"
        )

    @classmethod
    def _load(cls, path: Path) -> "Project":
        document = load_yaml(path, ("backend", "config"))
        for section in ("options", "packages", "plugins"):
            if document.get(section):
                raise not_supported(f"`{section}` in {path.name}")
        name = document.get("name")
        runtime = document.get("runtime")
        if not name or not runtime:
            missing = "name" if not name else "runtime"
            raise CommandError(
                f"could not load current project: could not validate '{path}': "
                f"project is missing a '{missing}' attribute"
            )
        options: dict[str, Any] = {}
        if isinstance(runtime, dict):
            declared = cast(dict[str, Any], runtime)
            options, runtime = declared.get("options") or {}, declared.get("name")
        if runtime != "python":
            raise not_supported(f"the runtime '{runtime}' (only python is)")
        backend = document.get("backend") or {}
        fields = tuple(_field(str(key), declared) for key, declared in sorted((document.get("config") or {}).items()))
        return cls(
            path.parent,
            str(name),
            runtime,
            options,
            str(document.get("main") or "."),
            str(backend.get("url") or ""),
            str(document.get("stackConfigDir") or ""),
            fields,
        )

    def qualify(self, key: str) -> str:
        """A config key with its namespace: the project's own when it names none."""
        parts = key.split(":")
        if len(parts) == 1:
            return f"{self.name}:{key}"
        if len(parts) == 3 and parts[1] == "config":
            return f"{parts[0]}:{parts[2]}"
        if len(parts) == 2:
            return key
        raise CommandError(
            f"invalid configuration key: could not parse {key} as a configuration key "
            "(configuration keys should be of the form `<namespace>:<name>`)"
        )


def _field(key: str, declared: Any) -> ConfigField:
    if not isinstance(declared, dict):
        return ConfigField(key, None, None, False, None, declared)
    known = cast(dict[str, Any], declared)
    return ConfigField(
        key,
        known.get("type"),
        known.get("items"),
        bool(known.get("secret")),
        known.get("default"),
        known.get("value"),
    )


def fits(type_: str, items: dict[str, Any] | None, value: Any) -> bool:
    """Tell whether a config value is of a declared type; texts that read as the type are accepted."""
    if type_ == "string":
        return isinstance(value, str)
    if type_ == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)) or _reads_as_integer(value)
    if type_ == "boolean":
        return isinstance(value, bool) or value in ("true", "false")
    if type_ == "array":
        inner = items or {"type": "string"}
        return isinstance(value, list) and all(
            fits(inner["type"], inner.get("items"), item) for item in cast(list[Any], value)
        )
    if type_ == "object":
        return isinstance(value, dict)
    return False


def _reads_as_integer(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        int(value)
    except ValueError:
        return False
    return True


def as_text(value: Any) -> str:
    """A config value as programs receive it: texts as they are, everything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
