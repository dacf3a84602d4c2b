"""The policy pack that the scripts use: the folder ``policies`` beside Pulumi.yaml, if there is one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from ruamel.yaml import YAML

from rollout.model.errors import RefusedError
from rollout.system.files import load_yaml

FOLDER: Final = "policies"
DESCRIPTION: Final = "PulumiPolicy.yaml"


def find_pack(work_dir: Path) -> Path | None:
    """Return the folder of the policy pack. None when the project has none."""
    pack = work_dir / FOLDER
    return pack if (pack / DESCRIPTION).exists() else None


def pack_version(work_dir: Path) -> str:
    """Return the version of the policy pack. Empty when there is none, or when it does not say."""
    pack = find_pack(work_dir)
    if pack is None:
        return ""
    try:
        about = load_yaml((pack / DESCRIPTION).read_bytes(), str(pack), YAML(typ="safe"))
    except (OSError, RefusedError):  # the engine reads it too, and says what is wrong
        return ""
    return str(cast(Mapping[str, Any], about).get("version") or "") if isinstance(about, Mapping) else ""
