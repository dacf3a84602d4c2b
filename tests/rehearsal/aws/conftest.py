"""One AWS account for all tests of this folder, and a service of its own for each test."""

import json
import sys
from collections.abc import Callable, Generator

import pytest

from rehearsal.aws.client import AwsAdmin
from rehearsal.aws.seed import SeedSettings, seed
from rehearsal.processes import Process, free_port
from tests.rehearsal.aws.account import Account, Service
from tests.rehearsal.aws.farm import Farm

WEIGHT_LAG_SECONDS = 0.02


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Generator[Account]:
    """A seeded account with short lags, intervals and metric periods."""
    folder = tmp_path_factory.mktemp("aws")
    api_port, alb_port, admin_port = free_port(), free_port(), free_port()
    settings = folder / "settings.json"
    settings.write_text(
        json.dumps(
            {
                "api_port": api_port,
                "alb_port": alb_port,
                "admin_port": admin_port,
                "access_log": str(folder / "access.jsonl"),
                "weight_lag_seconds": WEIGHT_LAG_SECONDS,
                "deregistration_propagation_seconds": 0.1,
                "health_check_interval_scale": 0.06,
                "cloudwatch_period_seconds": 1,
            }
        )
    )
    command = [sys.executable, "-m", "rehearsal.aws", "--settings", settings]
    process = Process.start("aws", command, log=folder / "aws.log")
    with AwsAdmin(admin_port) as admin:
        running = Account(api_port, alb_port, admin, folder / "access.jsonl")
        try:
            process.wait_until(admin.healthy, timeout_seconds=30)
            running.seeded = seed(SeedSettings(running.endpoint_url, "test"))
            yield running
        finally:
            process.stop()


@pytest.fixture
def farm() -> Generator[Farm]:
    farm = Farm()
    yield farm
    farm.close()


@pytest.fixture
def new_service(account: Account) -> Generator[Callable[..., Service]]:
    """Creates services, and deletes them after the test; faults are off again then."""
    created: list[Service] = []

    def create(blue: int, green: int, deregistration_delay_seconds: int = 1) -> Service:
        service = Service(account, {"blue": blue, "green": green}, deregistration_delay_seconds)
        created.append(service)
        return service

    before = account.admin.faults()
    yield create
    account.admin.set_faults(**before)
    for service in created:
        service.delete()
