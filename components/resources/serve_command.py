"""The `vllm serve` command line of one colour: derived arguments first, then the release's own arguments."""

import json
from collections.abc import Mapping

from components.config.release.release import CHAT_TEMPLATE, Release
from components.domain.naming import PORT, Color, fingerprint
from components.domain.pods.drain_chain import DrainChain
from components.domain.pods.pod_paths import COMPILE_CACHE_PATH, HOME_PATH, MODEL_CACHE_PATH, PROMPTS_PATH
from components.domain.pods.pod_times import PodTimes


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
        # With these, the system_fingerprint of every answer names the colour and the release that gave it.
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


def serve_environment(release: Release, drain_chain: DrainChain, times: PodTimes) -> Mapping[str, str]:
    """Return the server's environment. It directs writes to volumes, because the root file system is read-only."""
    return {
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(drain_chain.keep_alive_seconds),
        # The startup probe alone decides when a start has failed: vLLM's API servers would give up after 600 s.
        # https://github.com/vllm-project/vllm/blob/main/vllm/envs.py
        "VLLM_ENGINE_READY_TIMEOUT_S": str(times.startup_seconds),
        "HF_HOME": MODEL_CACHE_PATH,
        # vLLM's keys for compiled kernels include its version; one folder per image separates the other caches too.
        "VLLM_CACHE_ROOT": f"{COMPILE_CACHE_PATH}/{_image_digest(release)}",
        # The image has no user with this id, so its libraries need a home folder for caches and a user name.
        "HOME": HOME_PATH,
        "USER": "vllm",
        **release.env,
    }


def _image_digest(release: Release) -> str:
    return release.image.rpartition(":")[2][:12]
