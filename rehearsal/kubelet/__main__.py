"""``python -m rehearsal.kubelet --kubeconfig FILE --settings FILE.json``: runs until SIGTERM or SIGINT."""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
from pathlib import Path

import aiohttp

from rehearsal.kube.client import AsyncKubeClient
from rehearsal.kubelet.settings import KubeletSettings
from rehearsal.system.garbage import collect_rarely


async def run(kubeconfig: Path | None, settings: KubeletSettings) -> None:
    """Run the kubelet stand-in until SIGTERM or SIGINT."""
    from rehearsal.kubelet.kubelet import Kubelet  # It imports boto3.

    connector = aiohttp.TCPConnector(limit=0, force_close=True)  # As in Kubernetes, each probe opens a connection.
    async with AsyncKubeClient.from_kubeconfig(kubeconfig) as kube, aiohttp.ClientSession(connector=connector) as http:
        kubelet = Kubelet(kube, settings, http)
        collect_rarely()
        running = asyncio.ensure_future(kubelet.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running


def main() -> None:
    gc.disable()  # until the kubelet runs: almost all that is imported stays
    parser = argparse.ArgumentParser(prog="python -m rehearsal.kubelet", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="default: KUBECONFIG")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file, see rehearsal/kubelet/settings.py")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(run(arguments.kubeconfig, KubeletSettings.model_validate_json(arguments.settings.read_text())))


if __name__ == "__main__":
    main()
