"""How large a node's root volume must be: it holds the images, and each pod's weights and compiled kernels."""

import math
from typing import Final

# The accelerated AMI with its driver, logs and the kubelet's own.
SYSTEM_GIB: Final = 25
# vLLM's image is some 12 GiB to pull; the node keeps that and what it unpacks to.
IMAGE_GIB: Final = 40
# A colour's nodes outlive its release: the next image arrives before the last one is collected.
IMAGES: Final = 2
# Compiled kernels, tokenizers and temporary files.
CACHE_GIB: Final = 5
# The kubelet collects images from 85 % on, and evicts pods from 90 % on.
_FILLED_SHARE: Final = 0.85
_STEP_GIB: Final = 10


def root_volume_gib(weights_gib: float, replicas: int) -> int:
    """Return the size for a node of so many replicas, a multiple of 10 GiB.

    Args:
        weights_gib: what one replica's weights take on disk; every pod has a copy of its own.
        replicas: how many of them a node holds.
    """
    needed = SYSTEM_GIB + IMAGES * IMAGE_GIB + replicas * (weights_gib + CACHE_GIB)
    return math.ceil(needed / _FILLED_SHARE / _STEP_GIB) * _STEP_GIB
