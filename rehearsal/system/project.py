"""The repository's folder."""

from pathlib import Path
from typing import Final

PROJECT_FOLDER: Final = Path(__file__).parents[2]
