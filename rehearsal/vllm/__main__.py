"""`python -m rehearsal.vllm MODEL [flags of vllm serve]`: serves a model of the hub in `REHEARSAL_MODEL_HUB`."""

import logging
import math
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvloop

from rehearsal.vllm import flags
from rehearsal.vllm.hub import HubError, find_behavior, hub_path, load_hub


def main() -> None:
    """Bind the port, "load the model", serve.

    Exits with 0 after a drain, 1 without a model or a port, 2 on an unknown argument.
    """
    started = time.monotonic()
    arguments = flags.parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(asctime)s [%(name)s] %(message)s")
    if _missing_template(arguments.chat_template):
        sys.exit(
            f"ValueError: the chat template {arguments.chat_template} looks like a path, but there is no such file"
        )
    try:
        behavior = find_behavior(load_hub(hub_path()), arguments.model, arguments.revision)
    except HubError as error:
        sys.exit(f"OSError: {error}")

    signal.signal(signal.SIGTERM, _interrupt_loading)
    # Bound but not listening: until the model is loaded, connections are refused, as with vLLM.
    listener = socket.socket(socket.AF_INET6 if ":" in arguments.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((arguments.host, arguments.port))
    except OSError as error:
        place = f"--host {arguments.host} --port {arguments.port}"
        sys.exit(f"OSError: cannot listen on {place}: {error.strerror}; choose another")
    logging.getLogger("vllm").info("Loading model %s, revision %s", arguments.model, arguments.revision)

    # This import is slow. A cold start may be slow, but the parsing of arguments may not.
    from rehearsal.vllm.server import serve

    cold_start_seconds = math.inf if behavior.faults.never_ready else behavior.cold_start_seconds
    while (remaining := started + cold_start_seconds - time.monotonic()) > 0:
        time.sleep(min(remaining, 3600))
    uvloop.run(serve(arguments, behavior, listener))


def _missing_template(template: str | None) -> bool:
    """Return whether the template is neither a file nor a literal template, which contains template characters."""
    return template is not None and not any(mark in template for mark in "{}\n") and not Path(template).exists()


def _interrupt_loading(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt("terminated")


if __name__ == "__main__":
    main()
