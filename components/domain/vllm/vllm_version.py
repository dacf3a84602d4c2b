"""The oldest vLLM that the pods can run, and which one an image's name says it has."""

import re
from typing import Final

# The first release with --fingerprint-mode; an older one exits at once.
# https://github.com/vllm-project/vllm/releases/tag/v0.21.0
MIN_VLLM: Final = (0, 21)


def version_text(version: tuple[int, int]) -> str:
    """Return a version as people write it."""
    return ".".join(str(part) for part in version)


MIN_VLLM_TEXT: Final = version_text(MIN_VLLM)


def image_version(image: str) -> tuple[int, int] | None:
    """Return major and minor version by the tag of an official image; None for other images and other tags.

    Only ``vllm/vllm-openai``, which may have a registry in front, has vLLM's own version in its tag. The tags of others
    that build on it, such as ``lmcache/vllm-openai``, are versions of their own.
    """
    found = re.search(r"(?:^|/)vllm/vllm-openai:v?(\d+)\.(\d+)(?!\d)", image)
    return (int(found[1]), int(found[2])) if found else None
