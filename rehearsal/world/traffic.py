"""Starts live traffic on a world's service."""

import sys

from rehearsal.system.processes import Process
from rehearsal.system.project import PROJECT_FOLDER
from rehearsal.world.checkout import SERVICE
from rehearsal.world.settings import RehearsalSettings
from rehearsal.world.world import World

LOAD = "load"
"""The name of the process and of its log."""


def start_load(world: World, settings: RehearsalSettings) -> Process:
    """Start the load generator. On SIGTERM it finishes its open requests, then ends."""
    return world.start(
        LOAD,
        [
            *(sys.executable, "-m", "rehearsal.load", "--url", world.endpoint_url, "--model", SERVICE),
            *("--rate", str(settings.requests_per_second), "--open-streams", str(settings.open_streams)),
            *("--patience", str(settings.patience_seconds)),
            *("--tenants", settings.tenants),
            *("--out", world.requests_log, "--gateway-log", world.gateway_log),
        ],
        folder=PROJECT_FOLDER,
    )
