"""``python -m rehearsal.keda --kubeconfig FILE``: runs until SIGTERM or SIGINT."""

import argparse
import logging
import signal
import threading
from pathlib import Path

import httpx

from rehearsal.keda.controller import Controller
from rehearsal.kube.client import KubeClient, KubeError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.keda", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="default: KUBECONFIG")
    parser.add_argument("--poll-seconds", type=float, default=1.0, help="interval (Kubernetes: 15)")
    parser.add_argument(
        "--stabilization-seconds",
        type=float,
        default=20.0,
        help="how long fewer replicas must be enough before any is ended (Kubernetes: 300)",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopped.set())
    with KubeClient.from_kubeconfig(arguments.kubeconfig) as kube:
        controller = Controller(kube, stabilization_seconds=arguments.stabilization_seconds)
        while not stopped.wait(arguments.poll_seconds):
            try:
                controller.look()
            except (KubeError, httpx.HTTPError) as error:
                logging.warning("the API server: %s", error)


if __name__ == "__main__":
    main()
