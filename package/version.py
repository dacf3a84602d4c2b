"""The package's version. Users install the git tag ``v<version>``."""

from typing import Final

VERSION: Final = "0.1.0"
