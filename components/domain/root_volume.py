"""The size of a node's root volume, which stores the images, and each pod's weights and compiled kernels."""

import math
from typing import Final

# The accelerated AMI with its driver, logs and the kubelet's files.
SYSTEM_GIB: Final = 25
# vLLM's image is about 12 GiB to pull; the node stores both the pulled layers and the unpacked image.
IMAGE_GIB: Final = 40
# A colour's nodes outlive its release: the next image arrives before the kubelet removes the last one.
IMAGES: Final = 2
# Compiled kernels, tokenizers and temporary files.
CACHE_GIB: Final = 5
# The kubelet removes images when the disk is 85 % full; as EKS's AMI configures it, it evicts pods at 90 %.
# https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
# https://github.com/awslabs/amazon-eks-ami/blob/main/nodeadm/internal/kubelet/config.go
_FILLED_SHARE: Final = 0.85
_STEP_GIB: Final = 10


def root_volume_gib(weights_gib: float, replicas: int) -> int:
    """Return the size for a node with so many replicas, a multiple of 10 GiB.

    Args:
        weights_gib: size of one replica's weights on disk; every pod has its own copy.
        replicas: replicas on one node.
    """
    needed = SYSTEM_GIB + IMAGES * IMAGE_GIB + replicas * (weights_gib + CACHE_GIB)
    return math.ceil(needed / _FILLED_SHARE / _STEP_GIB) * _STEP_GIB
