"""Splits vLLM's arguments into those that another server takes and those that the adapter acts on."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from rehearsal.system.processes import free_port

_HELP_TIMEOUT_SECONDS = 60.0
_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
_OPTION = re.compile(r"-{1,2}[a-zA-Z]")


class ArgumentsError(Exception):
    """The adapter does not understand the command line."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The server's command line, and the settings that the adapter acts on itself."""

    server: list[str]
    server_port: int
    host: str
    port: int
    fingerprint: str
    shutdown_timeout_seconds: float
    left_out: list[str]


def read_arguments(words: Sequence[str]) -> Arguments:
    """Read ``SERVER WORDS -- MODEL FLAGS``, where the flags are those of ``vllm serve``.

    Raises:
        ArgumentsError: there is no server, no model, or the server cannot be asked for its flags.
    """
    at = words.index("--") if "--" in words else len(words)
    server, given = words[:at], words[at + 1 :]
    if not server or not given:
        raise ArgumentsError("usage: python3 -m rehearsal.adapter SERVER [WORDS] -- MODEL [flags of vllm serve]")
    model, options = given[0], _options(given[1:])
    known = _flags_of(server)
    port = free_port()
    command = [*server, *(["--model", model] if "--model" in known else [model]), "--port", str(port)]
    if "--host" in known:
        command += ["--host", "127.0.0.1"]
    left_out: list[str] = []
    acted_on = {"--fingerprint-value": "", "--shutdown-timeout": "0", "--host": "127.0.0.1", "--port": "8000"}
    for option in options:
        flag, _, value = option[0].partition("=")
        if flag in acted_on:
            acted_on[flag] = value or "".join(option[1:])
        elif flag in known:
            command += option
        else:
            left_out.append(flag)
    try:
        return Arguments(
            server=command,
            server_port=port,
            host=acted_on["--host"],
            port=int(acted_on["--port"]),
            fingerprint=acted_on["--fingerprint-value"],
            shutdown_timeout_seconds=float(acted_on["--shutdown-timeout"]),
            left_out=left_out,
        )
    except ValueError as error:
        raise ArgumentsError(f"--port and --shutdown-timeout take a number: {error}") from error


def _options(words: Sequence[str]) -> list[list[str]]:
    """Group the words: each flag with the values that follow it."""
    options: list[list[str]] = []
    for word in words:
        if _OPTION.match(word):
            options.append([word])
        elif options:
            options[-1].append(word)
    return options


def _flags_of(server: Sequence[str]) -> set[str]:
    try:
        asked = subprocess.run(
            [*server, "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_HELP_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ArgumentsError(f"cannot ask {server[0]} for its --help: {error}") from error
    return set(_FLAG.findall(asked.stdout.decode(errors="replace")))
