"""Where a pod's volumes are mounted."""

from typing import Final

PROMPTS_PATH: Final = "/etc/vllm/prompts"
PROBE_PATH: Final = "/etc/vllm-probe"
MODEL_CACHE_PATH: Final = "/var/cache/models"
COMPILE_CACHE_PATH: Final = "/var/cache/compile"
HOME_PATH: Final = "/home/vllm"
TEMPORARY_PATH: Final = "/tmp"
SHARED_MEMORY_PATH: Final = "/dev/shm"
