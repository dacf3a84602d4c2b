"""The releases that a rehearsal deploys: A serves first, B is good, C is bad and must be caught."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from components.config.release.release import Release

Releases = dict[str, dict[str, Any]]
"""The fields of each release, by its letter."""

STARVED = "--max-num-seqs=1"
"""Makes C bad on any server: it runs one request at a time, so requests wait for their first token."""

# The shortest form of a commit that a release may have.
_DIGITS = 7
_IMAGE = "vllm/vllm-openai@sha256:" + "5f" * 32


def own_releases() -> Releases:
    """Return the releases of the model in the stand-in's hub. There C also fails requests and is slow."""
    releases = {letter: _own_release(letter) for letter in "abc"}
    return {**releases, "c": _starved(releases["c"])}


def read_releases(folder: Path) -> Releases:
    """Read ``a.yaml``, ``b.yaml`` and ``c.yaml``. Without the last, C is B starved.

    Raises:
        ValueError: a file is missing or is not a release, or two are the same. The message names it and the reason.
    """
    releases = {letter: _read(folder / f"{letter}.yaml") for letter in "ab"}
    bad = folder / "c.yaml"
    releases["c"] = _read(bad) if bad.exists() else _starved(releases["b"])
    ids = {letter: Release.model_validate(release).release_id for letter, release in releases.items()}
    for one, other in combinations(ids, 2):
        if ids[one] == ids[other]:
            raise ValueError(f"{one}.yaml and {other}.yaml are the same release; change one of them")
    return releases


def commit_of(letter: str) -> str:
    """Return the commit that the stand-in's hub has of a release, in git's short form."""
    return (letter * _DIGITS)[:_DIGITS]


def _own_release(letter: str) -> dict[str, Any]:
    return {
        "model": "acme/assistant-8b",
        "model_revision": commit_of(letter),
        "image": _IMAGE,
        "engine_args": ["--max-model-len=8192"],
        "prompts": {"system.txt": f"You are Acme's assistant. Answer briefly. (prompt set {letter})"},
        "sampling": {"temperature": 0.2},
    }


def _starved(release: Mapping[str, Any]) -> dict[str, Any]:
    return {**release, "engine_args": [*release.get("engine_args", ()), STARVED]}


def _read(path: Path) -> dict[str, Any]:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        Release.model_validate(content)
    except OSError as error:
        raise ValueError(f"{path.name}: {error.strerror}; the folder needs a.yaml and b.yaml") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path.name} is not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"{path.name} is not a release: {problems}") from error
    return cast(dict[str, Any], content)
