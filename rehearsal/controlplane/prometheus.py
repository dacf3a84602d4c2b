"""Runs the real Prometheus on 127.0.0.1. The kubelet stand-in writes files that list its targets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from rehearsal.system.processes import Process, free_port

_READY_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """A running Prometheus."""

    url: str
    process: Process

    def stop(self) -> None:
        self.process.stop()


def start_prometheus(
    folder: Path,
    binary: Path,
    *,
    targets_folder: Path,
    scrape_interval_seconds: float = 1.0,
    port: int | None = None,
    rules_file: Path | None = None,
) -> Prometheus:
    """Start Prometheus on the targets in ``targets_folder/*.json``; data, configuration and log go to ``folder``.

    The rules in ``rules_file`` are evaluated as often as the targets are scraped.

    Raises ProcessError when it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    interval = f"{round(scrape_interval_seconds * 1000)}ms"
    configuration: dict[str, Any] = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": [] if rules_file is None else [str(rules_file)],
        "scrape_configs": [
            {
                "job_name": "vllm",
                # File changes are noticed at once; the interval is for changes that the kernel did not report.
                "file_sd_configs": [{"files": [f"{targets_folder}/*.json"], "refresh_interval": "5s"}],
            }
        ],
    }
    configuration_file = folder / "prometheus.yaml"
    configuration_file.write_text(yaml.safe_dump(configuration, sort_keys=False))
    address = f"127.0.0.1:{port or free_port()}"
    flags: dict[str, Any] = {
        "config.file": configuration_file,
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": "6h",
        "web.listen-address": address,
        "log.level": "warn",
    }
    command = [binary, *(f"--{flag}={value}" for flag, value in flags.items())]
    process = Process.start("prometheus", command, log=folder / "prometheus.log")
    url = f"http://{address}"
    with httpx.Client(trust_env=False, timeout=2.0) as http:
        try:
            process.wait_until(lambda: _is_ready(http, url), timeout_seconds=_READY_TIMEOUT_SECONDS)
        except BaseException:
            process.kill()
            raise
    return Prometheus(url=url, process=process)


def _is_ready(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(f"{url}/-/ready").is_success
    except httpx.HTTPError:
        return False
