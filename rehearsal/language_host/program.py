"""Runs a Pulumi program inside its own process: `python program.py SETTINGS PROGRAM ARGUMENTS…`.

SETTINGS is JSON for `pulumi.runtime.Settings`. Exit status 32 means that the program failed and logged the reason.
"""

import asyncio
import json
import logging
import os
import runpy
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FAILED_AND_SAID_SO = 32


def _own_traceback(error: BaseException, program: Path) -> str:
    """Return the traceback from the program's first frame on."""
    root = str(program if program.is_dir() else program.parent)
    frames = traceback.extract_tb(error.__traceback__)
    first = next((number for number, frame in enumerate(frames) if frame.filename.startswith(root)), 0)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=first - len(frames)))


def main(settings: dict[str, object], words: list[str]) -> int:
    """Run the program against the engine in the settings. Return the exit status."""
    import pulumi
    import pulumi.runtime

    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(pulumi.runtime.Settings(**settings))  # pyright: ignore[reportArgumentType]
    sys.argv = words
    program = Path(words[0]).absolute()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    workers = ThreadPoolExecutor(max_workers=4 * max(1, min(int(str(settings["parallel"])), 64)))
    loop.set_default_executor(workers)
    # Every failure is reported below; asyncio would report failures of abandoned tasks twice.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    status = 1

    def run() -> None:
        if program.is_dir() and not (program / "__main__.py").exists():
            pulumi.log.error(f"unable to find main python program `__main__.py` in `{program}`")
            sys.exit(FAILED_AND_SAID_SO)
        runpy.run_path(str(program), run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run))
        status = 0
    # A refused preview or Ctrl-C. Pulumi's own host sends SIGINT, too, and its program catches only Exception: it ends
    # by the signal with a traceback, which the CLI shows.
    # https://github.com/pulumi/pulumi/blob/master/sdk/python/cmd/pulumi-language-python-exec
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Terminal and host both send one.
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
    except Exception as error:
        text = _own_traceback(error, program)
        pulumi.log.error(f"Program failed with an unhandled exception:\n{text}")
        status = FAILED_AND_SAID_SO
    finally:
        workers.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return status


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
