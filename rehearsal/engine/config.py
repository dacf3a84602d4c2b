"""A stack's config: Pulumi.<stack>.yaml, read and edited in place, and merged with the project's schema."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from rehearsal.engine.backend import write_atomically
from rehearsal.engine.config_paths import coerce, parse_path, remove_in, set_in
from rehearsal.engine.errors import CommandError, not_supported
from rehearsal.engine.passphrase import PassphraseSecrets
from rehearsal.engine.project import Project, as_text, fits, load_yaml

_SECURE = "secure"


def is_secure(value: Any) -> bool:
    """Tell whether a raw value is one encrypted text."""
    return isinstance(value, dict) and set(cast(dict[str, Any], value)) == {_SECURE}


def has_secure(value: Any) -> bool:
    """Tell whether a raw value is or contains an encrypted text."""
    if is_secure(value):
        return True
    if isinstance(value, dict):
        return any(has_secure(item) for item in cast(dict[str, Any], value).values())
    return isinstance(value, list) and any(has_secure(item) for item in cast(list[Any], value))


def map_secure(value: Any, change: Callable[[str], Any]) -> Any:
    """Rebuild a raw value with another thing in the place of each encrypted text."""
    if is_secure(value):
        return change(value[_SECURE])
    if isinstance(value, dict):
        return {str(key): map_secure(item, change) for key, item in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [map_secure(item, change) for item in cast(list[Any], value)]
    return value


class StackConfig:
    """The config file of one stack."""

    def __init__(self, project: Project, stack: str, path: Path | None = None) -> None:
        self.project = project
        self.stack = stack
        self.path = path or project.root / project.stack_config_dir / f"Pulumi.{stack}.yaml"
        document = load_yaml(self.path, ("config",)) if self.path.is_file() else {}
        if document.get("secretsprovider") not in (None, "", "passphrase"):
            raise not_supported(f"the secrets provider '{document['secretsprovider']}'")
        if document.get("environment"):
            raise not_supported("ESC environments in a stack's config")
        self.encryption_salt: str = document.get("encryptionsalt") or ""
        self._raw: dict[str, Any] = {
            project.qualify(str(key)): value for key, value in (document.get("config") or {}).items()
        }
        self._edits: list[Callable[[Any], None]] = []
        self._secrets: PassphraseSecrets | None = None

    # -- secrets

    def secrets(self) -> PassphraseSecrets:
        """The stack's secrets provider; a stack without one gets it, to be written with `save`."""
        if self._secrets is None:
            if self.encryption_salt:
                self._secrets = PassphraseSecrets(self.encryption_salt)
            else:
                self._secrets = PassphraseSecrets.create()
                self.encryption_salt = self._secrets.encryption_salt
                self._edits.append(lambda document: document.update(encryptionsalt=self.encryption_salt))
        return self._secrets

    def plain(self, raw: Any) -> Any:
        """A raw value with its secrets decrypted."""
        return map_secure(raw, lambda text: self.secrets().decrypt(text)) if has_secure(raw) else raw

    # -- reading

    def raw(self) -> dict[str, Any]:
        """All values of the file by full key, secrets still encrypted."""
        return dict(self._raw)

    def merged(self) -> dict[str, Any]:
        """The file's values with the project's defaults under them, checked against the project's schema."""
        merged = dict(self._raw)
        missing: list[str] = []
        for field in self.project.config:
            key = self.project.qualify(field.key)
            if key not in merged:
                fallback = field.value if field.value is not None else field.default
                if fallback is not None:
                    merged[key] = fallback
                elif key.startswith(f"{self.project.name}:"):
                    missing.append(field.key)
                continue
            raw = merged[key]
            subject = f"Stack '{self.stack}' with configuration key '{field.key}' must be"
            if field.secret and not has_secure(raw):
                raise CommandError(f"{subject} encrypted as it's secret")
            if field.type and not fits(field.type, field.items, self.plain(raw)):
                raise CommandError(f"{subject} of type '{field.type_name}'")
        if missing:
            names = [f"'{name}'" for name in missing]
            listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
            noun = "value" if len(names) == 1 else "values"
            raise CommandError(f"Stack '{self.stack}' is missing configuration {noun} {listed}")
        return merged

    # -- editing

    def set(self, key: str, value: str, *, secret: bool, path: bool) -> None:
        """Set one value; with `path`, one inside an object or list, as in `a.b[0]`."""
        steps = parse_path(key) if path else [key]
        full = self.project.qualify(str(steps[0]))
        stored: Any = {_SECURE: self.secrets().encrypt(value)} if secret else value
        if path and len(steps) > 1 and not secret:
            stored = coerce(value)
        set_in(self._raw, [full, *steps[1:]], stored)
        self._edits.append(
            lambda document: set_in(_config_of(document), [self._name_in(document, full), *steps[1:]], stored)
        )

    def remove(self, key: str, *, path: bool) -> None:
        """Take one value away; a key that is not set is no error."""
        steps = parse_path(key) if path else [key]
        full = self.project.qualify(str(steps[0]))
        remove_in(self._raw, [full, *steps[1:]])
        self._edits.append(
            lambda document: remove_in(_config_of(document), [self._name_in(document, full), *steps[1:]])
        )

    def _name_in(self, document: Any, full: str) -> str:
        """The key as the file spells it (it may leave the project's name out)."""
        spelled = (str(key) for key in _config_of(document))
        return next((key for key in spelled if self.project.qualify(key) == full), full)

    def save(self) -> None:
        """Write the edits; comments and order of the file stay."""
        if not self._edits:
            return
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError

        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 2**16
        yaml.indent(mapping=2, sequence=4, offset=2)
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        try:
            document: Any = yaml.load(text) or {}
        except MarkedYAMLError as error:
            # Such as two equal keys, which only the reader for edits refuses.
            where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            raise CommandError(f"could not edit {self.path}: {where}{error.problem}") from error
        for edit in self._edits:
            edit(document)
        if not document.get("config"):
            document.pop("config", None)
        self._edits.clear()
        out = io.StringIO()
        if document:
            yaml.dump(document, out)
        write_atomically(self.path, out.getvalue())


def _config_of(document: Any) -> Any:
    if document.get("config") is None:
        document["config"] = {}
    return document["config"]


def displayed(config: StackConfig, raw: Any, *, show_secrets: bool) -> dict[str, Any]:
    """One value as `--json` prints it."""
    secret = has_secure(raw)
    entry: dict[str, Any] = {}
    if not secret or show_secrets:
        plain = config.plain(raw)
        entry["value"] = as_text(plain)
        if isinstance(plain, dict | list):
            entry["objectValue"] = json.loads(entry["value"])
    entry["secret"] = secret
    return entry
