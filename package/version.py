"""The package's version: a git tag ``v<version>`` is what others install."""

from typing import Final

VERSION: Final = "0.1.0"
