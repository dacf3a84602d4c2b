"""The environment variables that a release may not set: secrets, derived ones, and ones that would break a rollout."""

from collections.abc import Iterator, Mapping
from typing import Final

from components.config.reading.forms import Form, matching
from components.config.reading.secret_values import names_secret
from components.config.reading.violations import Violation
from components.domain.vllm.vllm_options import NEWEST, Version
from components.domain.vllm.vllm_variables import PREFIX, VARIABLES, likely_meant
from components.domain.vllm.vllm_version import MIN_VLLM
from components.domain.vllm.vllm_version import version_text as _text

VARIABLE_NAME: Final = Form(
    "the name of an environment variable: letters, digits and underscores",
    "VLLM_LOGGING_LEVEL",
    matching(r"[A-Za-z_][A-Za-z0-9_]{0,199}"),
)
# The program derives these: with each, the setting from which it follows.
DERIVED_VARIABLES: Final[Mapping[str, str]] = {
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "max_stream_seconds of the service",
    "VLLM_ENGINE_READY_TIMEOUT_S": "cold_start_seconds of the service",
    "VLLM_API_KEY": "pods.api_key_secret",
    "HF_TOKEN": "pods.hub_token_secret",
    "HF_HOME": "pods.model_cache_claim",
    "VLLM_CACHE_ROOT": "pods.compile_cache_claim",
    "HOME": "",
    "USER": "",
    "POD_IP": "",
}
_SEVERAL_PODS: Final = "makes vLLM part of a group of pods, but a replica is one pod"
_FILES: Final = "moves the model's files away from the volume that pods have for them"
_GPUS: Final = "would give the pod other GPUs than Kubernetes has assigned to it"
# https://github.com/vllm-project/vllm/blob/main/vllm/envs.py
HARMFUL_VARIABLES: Final[Mapping[str, str]] = {
    "VLLM_HOST_IP": _SEVERAL_PODS,
    "VLLM_PORT": _SEVERAL_PODS,
    "VLLM_DP_SIZE": _SEVERAL_PODS,
    "VLLM_DP_RANK": _SEVERAL_PODS,
    "VLLM_DP_RANK_LOCAL": _SEVERAL_PODS,
    "VLLM_DP_MASTER_IP": _SEVERAL_PODS,
    "VLLM_DP_MASTER_PORT": _SEVERAL_PODS,
    # https://github.com/vllm-project/vllm/blob/main/docs/usage/security.md
    "VLLM_SERVER_DEV_MODE": "opens endpoints without a key that stop or change the server",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "lets clients change the adapters of a running colour",
    "VLLM_MODEL_REDIRECT_PATH": "replaces the pinned model by another one",
    # https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
    "HF_HUB_CACHE": _FILES,
    "HUGGINGFACE_HUB_CACHE": _FILES,
    "PATH": "would hide vLLM's own programs",
    # https://github.com/NVIDIA/k8s-device-plugin
    "NVIDIA_VISIBLE_DEVICES": _GPUS,
    "CUDA_VISIBLE_DEVICES": _GPUS,
}
_SECRET_FIX: Final = (
    "Remove it: pods.api_key_secret and pods.hub_token_secret name Kubernetes Secrets, and pods.service_account_name "
    "gives access to AWS."
)
# It is half of a secret: a user's id, without which the other half is useless.
_ALSO_SECRET: Final = frozenset({"AWS_ACCESS_KEY_ID"})


# What took the place of variables that vLLM no longer reads.
_REPLACED: Final[Mapping[str, str]] = {
    "VLLM_ALL2ALL_BACKEND": "Write --all2all-backend into engine_args.",
    "VLLM_ATTENTION_BACKEND": "Write --attention-backend into engine_args.",
    "VLLM_FLASH_ATTN_VERSION": "Write --attention-config.flash_attn_version=<number> into engine_args.",
    "VLLM_TORCH_PROFILER_DIR": "Write --profiler-config.torch_profiler_dir=<folder> into engine_args.",
}


def environment_violations(env: Mapping[str, str], version: Version | None = None) -> Iterator[Violation]:
    """Yield a violation for every variable that must be changed; a path is the variable's name. Values stay hidden.

    ``version`` is that of the release's vLLM, if it is known.
    """
    for name, value in env.items():
        if name in DERIVED_VARIABLES:
            source = DERIVED_VARIABLES[name]
            fix = f"Remove it, and set {source}." if source else "Remove it."
            yield Violation((name,), "is derived by the program", fix)
        elif names_secret(name) or name in _ALSO_SECRET:
            yield Violation((name,), "would put a secret into plain config and every pod's description", _SECRET_FIX)
        elif name in HARMFUL_VARIABLES:
            yield Violation((name,), HARMFUL_VARIABLES[name], "Remove it.")
        elif not value.isprintable():
            yield Violation((name,), "must be text of printable characters on one line", value=value)
        elif name.upper().startswith(PREFIX):
            yield from _ignored(name, version)


def unknown_variables_warning(env: Mapping[str, str]) -> str | None:
    """Return a warning about variables that vLLM may not read; None without any."""
    unknown = [
        name for name in env if name.startswith(PREFIX) and name not in VARIABLES and name not in DERIVED_VARIABLES
    ]
    if not unknown:
        return None
    return (
        f"vLLM {_text(MIN_VLLM)} to {_text(NEWEST)} do not read {', '.join(unknown)}: unless the image is "
        "newer, or has a plug-in for it, it has no effect."
    )


def _ignored(name: str, version: Version | None) -> Iterator[Violation]:
    """Yield a violation if vLLM does not read a variable: it would change the release id, but no answer."""
    known = VARIABLES.get(name)
    if known is None:
        meant = likely_meant(name)
        if meant is not None and (version is None or version <= NEWEST):
            yield Violation((name,), "has no effect: vLLM has no such variable", f"Did you mean {meant}?")
    elif known.until is not None and known.until <= (version or MIN_VLLM):
        at_latest = " at the latest" if known.until < MIN_VLLM else ""
        what = f"has no effect since vLLM {_text(known.until)}{at_latest}"
        yield Violation((name,), what, _REPLACED.get(name, "Remove it."))
    elif version is not None and version < known.since:
        what = f"has an effect from vLLM {_text(known.since)} on, but the image has {_text(version)}"
        yield Violation((name,), what, "Remove it, or choose a newer image.")
