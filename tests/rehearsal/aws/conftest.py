"""One AWS account for all tests of this folder, and a new service for each test."""

from collections.abc import Callable, Generator

import pytest

from tests.rehearsal.aws.account import Account, Service, running_account
from tests.rehearsal.aws.farm import Farm


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Generator[Account]:
    """A seeded account with short lags, intervals and metric periods."""
    with running_account(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture
def farm() -> Generator[Farm]:
    farm = Farm()
    yield farm
    farm.close()


@pytest.fixture
def new_service(account: Account) -> Generator[Callable[..., Service]]:
    """Creates services. After the test, deletes them and switches faults off."""
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
