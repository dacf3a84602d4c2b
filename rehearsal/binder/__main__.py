"""``python -m rehearsal.binder --kubeconfig FILE``: runs until SIGTERM or SIGINT."""

import argparse
import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from rehearsal.binder.binder import Binder
from rehearsal.kube.client import AsyncKubeClient


async def run(kubeconfig: Path | None, *, health_poll_seconds: float) -> None:
    """Run the binder until SIGTERM or SIGINT."""
    async with AsyncKubeClient.from_kubeconfig(kubeconfig) as kube:
        binder = Binder(kube, health_poll_seconds=health_poll_seconds)
        running = asyncio.ensure_future(binder.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.binder", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="default: KUBECONFIG")
    parser.add_argument(
        "--health-poll-seconds", type=float, default=0.5, help="poll interval while targets are not healthy"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(run(arguments.kubeconfig, health_poll_seconds=arguments.health_poll_seconds))


if __name__ == "__main__":
    main()
