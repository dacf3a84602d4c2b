"""The releases in the stacks of the cases: their ids, and the semantic-cache namespace of blue's."""

from typing import Final

from components.config.release.release import Release
from tests.components.example import release

_BLUE: Final = Release(**release())

BLUE_ID: Final = _BLUE.release_id
BLUE_CACHE: Final = _BLUE.semantic_cache_namespace
GREEN_ID: Final = Release(**release(model_revision="beef123")).release_id
