"""The `vllm serve` arguments that a release may not set: the program derives them, or they would break a rollout."""

from collections.abc import Iterator, Sequence
from typing import Final

from components.config.secret_values import secret_kind
from components.config.violations import Violation

# The program derives these. A release that set them would break the rollout, or hide which colour gave an answer.
DERIVED_ENGINE_ARGS: Final = frozenset(
    {
        "--model",
        "--host",
        "--port",
        "--uds",
        "--revision",
        "--served-model-name",
        "--tensor-parallel-size",
        "-tp",
        "--shutdown-timeout",
        "--fingerprint-mode",
        "--fingerprint-value",
        "--chat-template",
        "--override-generation-config",
        "--lora-modules",
        "--enable-lora",
        "--enable-request-id-headers",
    }
)
_OWN_KEYS: Final = {
    "--revision": "model_revision",
    "--model": "model",
    "--served-model-name": "served_model_name of the service",
    "--tensor-parallel-size": "gpus_per_replica of the service",
    "-tp": "gpus_per_replica of the service",
    "--chat-template": "prompts, as chat_template.jinja",
    "--override-generation-config": "sampling",
    "--lora-modules": "lora_adapters",
    "--enable-lora": "lora_adapters",
    "--shutdown-timeout": "max_stream_seconds of the service",
}
_SECRET: Final = "would put a secret into plain config and into every pod's description"
_MORE_GPUS: Final = "makes a replica use more GPUs than gpus_per_replica"
_TLS: Final = "would make the pods serve TLS, but the probes and the load balancer use plain HTTP"
HARMFUL_ENGINE_ARGS: Final = {
    "--api-key": _SECRET,
    "--hf-token": _SECRET,
    "--pipeline-parallel-size": _MORE_GPUS,
    "-pp": _MORE_GPUS,
    "--data-parallel-size": _MORE_GPUS,
    "-dp": _MORE_GPUS,
    "--ssl-keyfile": _TLS,
    "--ssl-certfile": _TLS,
    "--config": "could override any argument that the program derives",
    "--root-path": "would move the paths that probes and clients request",
    # https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/cli_args.py
    "--disable-log-requests": "no longer exists: vLLM exits at once when it gets it",
    "--disable-log-stats": "would stop the metrics that the gates read",
}
# argparse accepts any prefix of an option's name. Shorter prefixes than this are not checked.
_MIN_ABBREVIATION: Final = len("--xx")


def engine_args_violations(engine_args: Sequence[str]) -> Iterator[Violation]:
    """Yield a violation for every argument that must be removed; a path is the position in the list."""
    if engine_args and not engine_args[0].startswith("-"):
        value = engine_args[0]
        yield Violation((0,), "must begin with an option, e.g. --max-model-len=8192", value=value)
    for position, argument in enumerate(engine_args):
        if not argument or not argument.isprintable():
            yield Violation((position,), "must be text of printable characters", value=argument)
        if argument.startswith("-"):
            yield from _option_violations(position, argument)


def _option_violations(position: int, argument: str) -> Iterator[Violation]:
    # vLLM accepts --served_model_name, --served-model-name=x and --served-model-name.part=x for the same option.
    given = argument.split("=", 1)[0]
    plain = given.split(".", 1)[0].replace("_", "-")
    flag = _meant("--" + plain.removeprefix("--no-") if plain.startswith("--no-") else plain)
    subject = flag if flag == given or secret_kind(given) else f"{given}: {flag}"
    if flag in DERIVED_ENGINE_ARGS:
        fix = f"Remove it, and set {_OWN_KEYS[flag]}." if flag in _OWN_KEYS else "Remove it."
        yield Violation((position,), f"{subject} is derived by the program", fix)
    elif flag in HARMFUL_ENGINE_ARGS:
        yield Violation((position,), f"{subject} {HARMFUL_ENGINE_ARGS[flag]}", "Remove it.")


def _meant(flag: str) -> str:
    """Return the refused option that this flag names or abbreviates, else the flag itself."""
    refused = DERIVED_ENGINE_ARGS | HARMFUL_ENGINE_ARGS.keys()
    if flag in refused or len(flag) < _MIN_ABBREVIATION:
        return flag
    return next((full for full in sorted(refused) if full.startswith(flag)), flag)
