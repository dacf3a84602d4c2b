"""The `vllm serve` arguments that a release may not set: derived ones, harmful ones, and ones that vLLM cannot read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from components.config.secret_values import secret_kind
from components.config.violations import Violation
from components.domain.serve_options import JSON_OPTIONS, ServeOption, is_json, leading_words, serve_options

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
    "--chat-template": "prompts, as chat_template.jinja",
    "--override-generation-config": "sampling",
    "--lora-modules": "lora_adapters",
    "--enable-lora": "lora_adapters",
    "--shutdown-timeout": "max_stream_seconds of the service",
}
_SECRET: Final = "would put a secret into plain config and into every pod's description"
_MORE_GPUS: Final = "makes a replica use more GPUs than gpus_per_replica"
_MORE_NODES: Final = "spreads a replica over several pods or nodes, but a replica is one pod"
_TLS: Final = "would make the pods serve TLS, but the probes and the load balancer use plain HTTP"
# Decode context parallelism is not here: it reuses the GPUs of tensor parallelism.
# https://github.com/vllm-project/vllm/blob/main/vllm/config/parallel.py
HARMFUL_ENGINE_ARGS: Final = {
    "--api-key": _SECRET,
    "--hf-token": _SECRET,
    "--pipeline-parallel-size": _MORE_GPUS,
    "--prefill-context-parallel-size": _MORE_GPUS,
    "--data-parallel-size": _MORE_GPUS,
    "--data-parallel-size-local": _MORE_GPUS,
    "--data-parallel-address": _MORE_NODES,
    "--data-parallel-backend": _MORE_NODES,
    "--data-parallel-external-lb": _MORE_NODES,
    "--data-parallel-hybrid-lb": _MORE_NODES,
    "--data-parallel-multi-port-external-lb": _MORE_NODES,
    "--data-parallel-rank": _MORE_NODES,
    "--data-parallel-rpc-port": _MORE_NODES,
    "--data-parallel-start-rank": _MORE_NODES,
    "--data-parallel-supervisor-port": _MORE_NODES,
    "--headless": _MORE_NODES,
    "--master-addr": _MORE_NODES,
    "--master-port": _MORE_NODES,
    "--nnodes": _MORE_NODES,
    "--node-rank": _MORE_NODES,
    "--ssl-keyfile": _TLS,
    "--ssl-certfile": _TLS,
    "--config": "could override any argument that the program derives",
    "--root-path": "would move the paths that probes and clients request",
    # https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/cli_args.py
    "--disable-log-requests": "no longer exists: vLLM exits at once when it gets it",
    "--task": "no longer exists: vLLM exits at once when it gets it",
    "--disable-log-stats": "would stop the metrics that the gates read",
}
# Probes, checks and gates need a model that generates text. With other values, vLLM has no /v1/completions.
# https://github.com/vllm-project/vllm/blob/main/vllm/config/model.py
GENERATING: Final[Mapping[str, frozenset[str]]] = {
    "--runner": frozenset({"auto", "generate"}),
    "--convert": frozenset({"auto", "none"}),
}
# argparse accepts any prefix of an option's name. Shorter prefixes than this are not checked.
_MIN_ABBREVIATION: Final = len("--xx")


def engine_args_violations(engine_args: Sequence[str]) -> Iterator[Violation]:
    """Yield a violation for every argument that must be changed; a path is the position in the list."""
    if stray := leading_words(engine_args):
        yield Violation((0,), "must begin with an option, e.g. --max-model-len=8192", value=_first_part(stray[0]))
    for position, argument in enumerate(engine_args):
        if not argument or not argument.isprintable():
            yield Violation((position,), "must be text of printable characters", value=_first_part(argument))
        elif argument != argument.strip():
            yield Violation((position,), "must not begin or end with a space", "vLLM does not remove it.")
    for option in serve_options(engine_args):
        yield from _option_violations(option)


def _first_part(argument: str) -> str:
    """Return what comes before a value, which may be a secret."""
    return re.split(r"[=\s]", argument, maxsplit=1)[0]


def _option_violations(option: ServeOption) -> Iterator[Violation]:
    here, name = (option.position,), _meant(option.name)
    subject = name if name == option.given or secret_kind(option.given) else f"{option.given}: {name}"
    if name in DERIVED_ENGINE_ARGS:
        fix = f"Remove it, and set {_OWN_KEYS[name]}." if name in _OWN_KEYS else "Remove it."
        yield Violation(here, f"{subject} is derived by the program", fix)
    elif name in HARMFUL_ENGINE_ARGS:
        yield Violation(here, f"{subject} {HARMFUL_ENGINE_ARGS[name]}", "Remove it.")
    elif option.joined:
        what = "an option and its value must not be separated by a space in one element: vLLM does not recognise them"
        # The rest of the element may be a secret.
        yield Violation(here, what, f"Write {option.given}=<value>, or make the value the next element.", option.given)
    elif name in GENERATING and option.value not in GENERATING[name]:
        what = f"{subject} is for models that do not generate text, which the probes and checks need"
        fix = f"Remove it, or set it to one of: {', '.join(sorted(GENERATING[name]))}."
        yield Violation(here, what, fix, option.value)
    elif name in JSON_OPTIONS:
        yield from _json_violations(option)
    else:
        yield from _value_violations(option)


def _json_violations(option: ServeOption) -> Iterator[Violation]:
    if option.key or not option.values or is_json(option.value):
        return
    what = f"{option.given} needs a value in JSON"
    fix = (
        f'Write {option.given}={{"key": "value"}}, without quotes around it that vLLM would get; '
        "in YAML, put the whole element in single quotes."
    )
    yield Violation((option.value_position(0),), what, fix, option.value)


def _value_violations(option: ServeOption) -> Iterator[Violation]:
    for index, value in enumerate(option.values):
        if second := re.search(r"\S\s+(--?[A-Za-z][\w-]*)", value):
            what = f"the value of {option.given} contains a second option"
            fix = "Make each option an element of its own."
            yield Violation((option.value_position(index),), what, fix, second[1])


def _meant(name: str) -> str:
    """Return the refused option that this name is or abbreviates, else the name itself."""
    refused = DERIVED_ENGINE_ARGS | HARMFUL_ENGINE_ARGS.keys() | GENERATING.keys()
    if name in refused or len(name) < _MIN_ABBREVIATION:
        return name
    return next((full for full in sorted(refused) if full.startswith(name)), name)
