"""The `vllm serve` command line of one colour: what the program derives, then what the release adds."""

import json
from collections.abc import Mapping

from components.config.release import CHAT_TEMPLATE, Release
from components.domain.drain_chain import DrainChain
from components.domain.naming import PORT, Color, fingerprint

PROMPTS_PATH = "/etc/vllm/prompts"
MODEL_CACHE_PATH = "/var/cache/models"
COMPILE_CACHE_PATH = "/var/cache/compile"
HOME_PATH = "/home/vllm"


def serve_arguments(
    release: Release, *, color: Color, served_model_name: str, gpus_per_replica: int, drain_chain: DrainChain
) -> list[str]:
    """Return the arguments that follow ``vllm serve``."""
    derived = {
        "--revision": release.model_revision,
        "--served-model-name": served_model_name,
        "--port": str(PORT),
        "--tensor-parallel-size": str(gpus_per_replica),
        "--shutdown-timeout": str(drain_chain.shutdown_timeout_seconds),
        # Every answer then names the colour and release that gave it, in its system_fingerprint.
        "--fingerprint-mode": "custom",
        "--fingerprint-value": fingerprint(color, release.release_id),
    }
    if CHAT_TEMPLATE in release.prompts:
        derived["--chat-template"] = f"{PROMPTS_PATH}/{CHAT_TEMPLATE}"
    if release.sampling:
        derived["--override-generation-config"] = json.dumps(release.sampling, sort_keys=True)
    arguments = [release.model, *(word for pair in derived.items() for word in pair), "--enable-request-id-headers"]
    if release.lora_adapters:
        adapters = [f"{name}={source}" for name, source in sorted(release.lora_adapters.items())]
        arguments += ["--enable-lora", "--lora-modules", *adapters]
    return [*arguments, *release.engine_args]


def serve_environment(release: Release, drain_chain: DrainChain) -> Mapping[str, str]:
    """Return the environment of the server; what it writes goes to volumes: all else is read-only."""
    return {
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(drain_chain.keep_alive_seconds),
        "HF_HOME": MODEL_CACHE_PATH,
        # Its keys for compiled kernels hold vLLM's version; a folder for each image keeps the other caches apart too.
        "VLLM_CACHE_ROOT": f"{COMPILE_CACHE_PATH}/{_image_digest(release)}",
        # The image knows no user of our number: give its libraries a home to cache in and a name to call it.
        "HOME": HOME_PATH,
        "USER": "vllm",
    }


def _image_digest(release: Release) -> str:
    return release.image.rpartition(":")[2][:12]
