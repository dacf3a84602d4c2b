"""The `vllm serve` arguments that a release may not carry: what the program derives, and what would break the swap."""

from collections.abc import Iterator, Sequence
from typing import Final

from components.config.secret_values import secret_kind
from components.config.violations import Violation

# Arguments that the program derives; a release that set them would break the swap or its attribution.
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
_MORE_GPUS: Final = "multiplies the GPUs of a replica beyond gpus_per_replica"
_TLS: Final = "would make the pods speak TLS, which neither probes nor load balancer do"
HARMFUL_ENGINE_ARGS: Final = {
    "--api-key": _SECRET,
    "--hf-token": _SECRET,
    "--pipeline-parallel-size": _MORE_GPUS,
    "-pp": _MORE_GPUS,
    "--data-parallel-size": _MORE_GPUS,
    "-dp": _MORE_GPUS,
    "--ssl-keyfile": _TLS,
    "--ssl-certfile": _TLS,
    "--config": "could set anything that the program derives",
    "--root-path": "would move the paths that probes and clients ask for",
    "--disable-log-requests": "no longer exists, and vLLM ends at once when it meets it",
    "--disable-log-stats": "would end the metrics that the gates judge by",
}
# argparse takes any beginning of an option's name for the option; shorter ones are never meant so.
_MIN_ABBREVIATION: Final = len("--xx")


def engine_args_violations(engine_args: Sequence[str]) -> Iterator[Violation]:
    """Yield a violation for every argument that must go; paths are positions in the list."""
    if engine_args and not engine_args[0].startswith("-"):
        value = engine_args[0]
        yield Violation((0,), "must begin with an option, e.g. --max-model-len=8192", value=value)
    for position, argument in enumerate(engine_args):
        if not argument or not argument.isprintable():
            yield Violation((position,), "must be a text of printable characters", value=argument)
        if argument.startswith("-"):
            yield from _option_violations(position, argument)


def _option_violations(position: int, argument: str) -> Iterator[Violation]:
    # vLLM takes --served_model_name, --served-model-name=x and --served-model-name.part=x alike.
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
    """Return the refused option that a flag is or abbreviates, else the flag."""
    refused = DERIVED_ENGINE_ARGS | HARMFUL_ENGINE_ARGS.keys()
    if flag in refused or len(flag) < _MIN_ABBREVIATION:
        return flag
    return next((full for full in sorted(refused) if full.startswith(flag)), flag)
