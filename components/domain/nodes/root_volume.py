"""The size and speed of a node's disk, which stores the images, and each pod's weights and compiled kernels."""

import math
from collections.abc import Iterator
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


def load_warnings(
    *,
    model: str,
    weights_gib: float | None,
    replicas: int,
    mib_per_second: int,
    cold_start_seconds: int,
    node_start_seconds: int,
) -> Iterator[str]:
    """Yield what does not fit its time at a disk's speed, with the fix.

    The times are the shortest possible ones: everything crosses the disk once, and nothing else does.

    Args:
        model: the model, for the message.
        weights_gib: size of one replica's weights on the disk; None when unknown or when they are not on it.
        replicas: replicas on one node, which load at the same time.
        mib_per_second: the disk's speed, in MiB/s.
        cold_start_seconds: longest time from container start to the first answer.
        node_start_seconds: longest time that a new node takes to join the cluster and pull the image.
    """
    faster = "Raise nodes.volume_mib_per_second, set nodes.instance_store"
    image_seconds = math.ceil(IMAGE_GIB * 1024 / mib_per_second)
    if image_seconds > node_start_seconds:
        yield (
            f"node_start_seconds: is {node_start_seconds}, but an image of {IMAGE_GIB} GiB takes at least "
            f"{image_seconds} s at {mib_per_second} MiB/s. {faster}, or raise node_start_seconds."
        )
    if weights_gib is None:
        return
    weights_seconds = math.ceil(replicas * weights_gib * 1024 / mib_per_second)
    if weights_seconds > cold_start_seconds:
        of_all = f"{replicas} × {weights_gib:g} GiB" if replicas > 1 else f"{weights_gib:g} GiB"
        yield (
            f"cold_start_seconds: is {cold_start_seconds}, but the weights of {model} ({of_all} on a node) take at "
            f"least {weights_seconds} s at {mib_per_second} MiB/s, and the startup probe may end the pod before. "
            f"{faster} or pods.model_cache_claim, or raise cold_start_seconds."
        )
