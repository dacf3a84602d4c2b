"""The version of this repository, from pyproject.toml. Users install the git tag ``v<version>``."""

import tomllib
from pathlib import Path
from typing import Final

VERSION: Final[str] = tomllib.loads(
    (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
)["project"]["version"]
