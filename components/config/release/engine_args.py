"""The `vllm serve` arguments that a release may not set: derived ones, harmful ones, and ones that vLLM cannot read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from components.config.reading.explain import nearest_name
from components.config.reading.secret_values import secret_kind
from components.config.reading.units import unit_fix
from components.config.reading.violations import Violation, shown
from components.config.release.removed_args import REMOVED_ENGINE_ARGS
from components.domain.vllm.serve_options import ServeOption, is_option, leading_words, serve_options
from components.domain.vllm.vllm_options import (
    KEYED,
    NEWEST,
    OPPOSITES_SINCE,
    OPTIONS,
    SHORT_NAMES,
    VALUELESS,
    OptionKind,
    Version,
    VllmOption,
    find_options,
    likely_meant,
    opposite_of,
)
from components.domain.vllm.vllm_version import MIN_VLLM
from components.domain.vllm.vllm_version import version_text as _text

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
    "--help": "makes vLLM print its options and end",
    "--master-addr": _MORE_NODES,
    "--master-port": _MORE_NODES,
    "--nnodes": _MORE_NODES,
    "--node-rank": _MORE_NODES,
    "--ssl-keyfile": _TLS,
    "--ssl-certfile": _TLS,
    "--config": "could override any argument that the program derives",
    "--download-dir": "moves the model's files away from the volume that pods have for them",
    "--root-path": "would move the paths that probes and clients request",
    "--disable-log-stats": "would stop the metrics that the gates read",
}
# What vLLM refuses to start with unless another option is there, too.
# https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/cli_args.py
_NEEDED: Final = {
    "--enable-auto-tool-choice": ("--tool-call-parser", "--tool-call-parser=<the model's>, e.g. hermes"),
    "--enable-log-outputs": ("--enable-log-requests", "--enable-log-requests"),
}
# Probes, checks and gates need a model that generates text. With other values, vLLM has no /v1/completions.
# https://github.com/vllm-project/vllm/blob/main/vllm/config/model.py
GENERATING: Final[Mapping[str, frozenset[str]]] = {
    "--runner": frozenset({"auto", "generate"}),
    "--convert": frozenset({"auto", "none"}),
}
# The unit of an option's number, as a setting's name would have it. vLLM's gb are GiB.
# https://github.com/vllm-project/vllm/blob/main/vllm/config/offload.py
_UNITS: Final = {
    "--cpu-offload-gb": "gib",
    "--cpu-distributed-timeout-seconds": "seconds",
    "--distributed-timeout-seconds": "seconds",
    "--kv-offloading-size": "gib",
    "--mm-ipc-gpu-memory-gb": "gib",
    "--mm-processor-cache-gb": "gib",
    "--mm-shm-cache-max-object-size-mb": "mib",
}
_SECOND: Final = re.compile(r"\S\s+(--?[A-Za-z][\w-]*)")
_NO_OPTIONS: Final = frozenset({"-", "--", "-v", "--version"})
"""What has the form of an option, but means nothing behind `vllm serve`, or something else."""
# argparse accepts any prefix of an option's name. Shorter prefixes than this are not checked.
_MIN_ABBREVIATION: Final = len("--xx")
_MOST_NAMES: Final = 5


def engine_args_violations(engine_args: Sequence[str], version: Version | None = None) -> Iterator[Violation]:
    """Yield a violation for every argument that must be changed; a path is the position in the list.

    ``version`` is that of the release's vLLM, if it is known.
    """
    if stray := leading_words(engine_args):
        yield Violation((0,), "must begin with an option, e.g. --max-model-len=8192", value=_first_part(stray[0]))
    for position, argument in enumerate(engine_args):
        if not argument or not argument.isprintable():
            yield Violation((position,), "must be text of printable characters", value=_first_part(argument))
        elif argument != argument.strip():
            yield Violation((position,), "must not begin or end with a space", "vLLM does not remove it.")
    options = serve_options(engine_args)
    for option in options:
        yield from _option_violations(option, version)
    yield from _incomplete(options)


def unknown_options_warning(engine_args: Sequence[str]) -> str | None:
    """Return a warning about options, and choices, that no known version has; None without any."""
    unknown = list(dict.fromkeys(name for one in serve_options(engine_args) if (name := _unknown(one))))
    if not unknown:
        return None
    return (
        f"vLLM {_text(MIN_VLLM)} to {_text(NEWEST)} do not have {', '.join(unknown)}: unless the image is newer, or "
        "has a plug-in for it, vLLM exits when it gets what it does not know. Check it with `vllm serve --help` in "
        "the image."
    )


def _unknown(option: ServeOption) -> str:
    """Return an option, or one with its choice, that no known version has; empty when there is one."""
    known = find_options(option.name)
    if option.name in REMOVED_ENGINE_ARGS:
        return ""
    if not known:
        return option.given
    foreign = known[0].kind is OptionKind.CHOICE and option.values and not known[0].takes(option.value)
    return f"{option.given} with {shown(option.value)}" if foreign else ""


def _incomplete(options: Sequence[ServeOption]) -> Iterator[Violation]:
    """Yield a violation for an option that needs another one."""
    in_effect = {known[0].name: one for one in options if len(known := find_options(one.name)) == 1}
    for name, (needed, fix) in _NEEDED.items():
        option, other = in_effect.get(name), in_effect.get(needed)
        there = (
            other is not None
            and not other.negated
            and (OPTIONS[needed].kind in VALUELESS or other.value not in ("", "None"))
        )
        if option is not None and not option.negated and not there:
            yield Violation((option.position,), f"{option.given} needs {needed}, which is not set", f"Add {fix}.")


def _first_part(argument: str) -> str:
    """Return what comes before a value, which may be a secret."""
    return re.split(r"[=\s]", argument, maxsplit=1)[0]


def _option_violations(option: ServeOption, version: Version | None) -> Iterator[Violation]:
    here, name = (option.position,), _meant(option.name)
    subject = name if name == option.given or secret_kind(option.given) else f"{option.given}: {name}"
    if name in DERIVED_ENGINE_ARGS:
        fix = f"Remove it, and set {_OWN_KEYS[name]}." if name in _OWN_KEYS else "Remove it."
        yield Violation(here, f"{subject} is derived by the program", fix)
    elif name in HARMFUL_ENGINE_ARGS:
        yield Violation(here, f"{subject} {HARMFUL_ENGINE_ARGS[name]}", "Remove it.")
    elif (removed := REMOVED_ENGINE_ARGS.get(option.name)) is not None:
        what = (
            f"{option.given} no longer exists since vLLM {_text(removed.since)}: newer versions exit when they get it"
        )
        yield Violation(here, what, removed.fix)
    elif option.joined:
        yield _joined_violation(option)
    elif name in GENERATING and option.value not in GENERATING[name]:
        what = f"{subject} is for models that do not generate text, which the probes and checks need"
        fix = f"Remove it, or set it to one of: {', '.join(sorted(GENERATING[name]))}."
        yield Violation(here, what, fix, option.value)
    elif found := tuple(_second_options(option)):
        yield from found
    else:
        yield from _table_violations(option, version)


def _joined_violation(option: ServeOption) -> Violation:
    what = "an option and its value must not be separated by a space in one element: vLLM does not recognise them"
    # What follows an option that vLLM does not have may be a secret.
    known = bool(find_options(option.name)) and "\n" not in option.value
    value, whole = (option.value, f"{option.given} {option.value}") if known else ("<value>", option.given)
    value = re.sub(r"^=\s*", "", value)
    fix = f"Write {option.given}={value}, or make {value if known else 'the value'} the next element."
    if _SECOND.search(f"x {value}"):
        # A whole command line.
        value = re.split(r"\s", value, maxsplit=1)[0]
        fix = "Make each option an element of its own" + (
            "." if is_option(value) else f", the first as {option.given}={value}."
        )
    return Violation((option.position,), what, fix, whole)


def _second_options(option: ServeOption) -> Iterator[Violation]:
    known = find_options(option.name)
    if known and known[0].kind in KEYED:
        return  # a text in it may contain anything
    for index, value in enumerate(option.values):
        if second := _SECOND.search(value):
            what = f"the value of {option.given} contains a second option"
            fix = "Make each option an element of its own."
            yield Violation((option.value_position(index),), what, fix, second[1])


def _table_violations(option: ServeOption, version: Version | None) -> Iterator[Violation]:
    here, known = (option.position,), find_options(option.name)
    if not known and option.given in _NO_OPTIONS:
        yield Violation(here, f"{option.given} is no option of `vllm serve`", "Remove it.")
    elif not known and (short := _attached(option.given)):
        what = f"{option.given} is no option: only one of a single letter takes its value without a sign between them"
        yield Violation(here, what, f"Write {short}={option.given.removeprefix(short)}.")
    elif not known:
        meant = likely_meant(option.name)
        if meant is not None and (version is None or version <= NEWEST):
            what = f"{option.given} is no option of vLLM {_text(MIN_VLLM)} to {_text(NEWEST)}"
            yield Violation(here, what, f"Did you mean {meant}? {_newer('option')}")
    elif _is_opposite(option, known[0]) and (version is None or version < OPPOSITES_SINCE):
        written = known[0].name if not option.negated else f"--no-{known[0].name[2:]}"
        what = f"{option.given} exists only from vLLM {_text(OPPOSITES_SINCE)} on"
        yield Violation(here, what, f"Write {written}, which older versions have, too.")
    elif len(known) > 1:
        names = ", ".join(sorted(one.name for one in known)[:_MOST_NAMES])
        what = f"{option.given} is the beginning of several options, so vLLM refuses it: {names}"
        yield Violation(here, what, "Write the whole name.")
    elif version is not None and version < known[0].since:
        what = f"{option.given} exists from vLLM {_text(known[0].since)} on, but the image has {_text(version)}"
        yield Violation(here, what, "Remove it, or choose a newer image.")
    elif version is not None and (until := known[0].until) is not None and version >= until:
        what = f"{option.given} no longer exists since vLLM {_text(until)}, and the image has {_text(version)}"
        yield Violation(here, what, "Remove it.")
    else:
        yield from _use_violations(option, known[0], version)


def _attached(given: str) -> str | None:
    """Return the short name in front of a number that follows it at once, as in -tp2."""
    found = re.fullmatch(r"(-[a-z]{2,})[0-9]+", given)
    return found[1] if found and found[1] in SHORT_NAMES else None


def _is_opposite(option: ServeOption, known: VllmOption) -> bool:
    plain = option.given.replace("_", "-").removeprefix("--no-").removeprefix("--")
    return not option.key and opposite_of(f"--{plain}") == known.name


def _use_violations(option: ServeOption, known: VllmOption, version: Version | None) -> Iterator[Violation]:
    here, given, values = (option.position,), option.given, len(option.values)
    if option.negated and known.kind is not OptionKind.FLAG:
        yield Violation(here, f"{known.name} has no form with --no-", f"Write {known.name} with its value, or nothing.")
    elif option.key:
        # One key has one value, of any kind.
        if known.kind not in KEYED or values != 1:
            what = f"{given} is no key of an option in JSON" if known.kind not in KEYED else f"{given} needs one value"
            yield Violation(here, what, f"Write {known.name}.key=value." if known.kind in KEYED else "Remove the key.")
    elif known.kind in VALUELESS:
        if values:
            off = f", or --no-{known.name[2:]} to turn it off" if known.kind is OptionKind.FLAG else ", or leave it out"
            fix = f"Write {known.name} alone{off}."
            yield Violation((option.value_position(0),), f"{given} takes no value", fix, option.value)
    elif not values and known.kind is not OptionKind.MAYBE:
        yield Violation(here, f"{given} needs a value", f"Write {given}=<value>: {known.expected}.")
    elif values > 1 and known.kind is not OptionKind.LIST:
        fix = "Remove it; a list in JSON is one value." if known.kind in KEYED else "Remove it."
        yield Violation((option.value_position(1),), f"{given} takes one value", fix)
    elif values and not known.takes(option.value):
        yield from _value_violations(option, known, version)
    elif version is not None and values and version < (since := known.later.get(option.value, MIN_VLLM)):
        what = f"{given} has {option.value} from vLLM {_text(since)} on, but the image has {_text(version)}"
        yield Violation((option.value_position(0),), what, "Choose another one, or a newer image.")


def _value_violations(option: ServeOption, known: VllmOption, version: Version | None) -> Iterator[Violation]:
    here = (option.value_position(0),)
    if (bare := _without_quotes(option.value)) is not None and known.takes(bare):
        fix = f"Write {option.given}={bare}: vLLM would get the quotes, too."
        fix += " In YAML, put the whole element in single quotes." if known.kind in KEYED else ""
        yield Violation(here, f"{option.given} needs {known.expected}", fix, option.value)
        return
    if known.kind in KEYED:
        fix = "In YAML, put the whole element in single quotes."
        yield Violation(here, f"{option.given} needs {known.expected}", fix, option.value)
        return
    nearest = nearest_name(option.value, known.choices)
    hint = f"Did you mean {nearest}?" if nearest else ""
    if known.kind is not OptionKind.CHOICE or (version is not None and version <= NEWEST):
        fix = hint or unit_fix(_UNITS.get(known.name, ""), option.value, whole=known.kind is not OptionKind.NUMBER)
        yield Violation(here, f"{option.given} needs {known.expected}", fix, option.value)
    elif version is None and (nearest or not known.extensible):
        fix = f"{hint} {_newer('choice')}".lstrip()
        yield Violation(here, f"{option.given} needs {known.expected}", fix, option.value)


def _without_quotes(value: str) -> str | None:
    """Return what is between quotes; None when there are none around it."""
    found = re.fullmatch(r"(['\"])(.*)\1", value, re.DOTALL)
    return found[2] if found else None


def _newer(what: str) -> str:
    """Return what to do when an option or a choice is right all the same."""
    later = f"{NEWEST[0]}.{NEWEST[1] + 1}.0"
    return f"If that {what} is of a newer vLLM, name its version in the image: vllm/vllm-openai:v{later}@sha256:…"


def _meant(name: str) -> str:
    """Return the refused option that this name is or abbreviates, else the name itself."""
    refused = DERIVED_ENGINE_ARGS | HARMFUL_ENGINE_ARGS.keys() | GENERATING.keys()
    if name in refused or len(name) < _MIN_ABBREVIATION:
        return name
    return next((full for full in sorted(refused) if full.startswith(name)), name)
