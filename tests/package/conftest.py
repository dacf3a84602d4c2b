"""Shared by the tests of the component package: its provider process, once per file."""

from collections.abc import Generator

import pytest

from tests.package.host import Package, running_package


@pytest.fixture(scope="module")
def package() -> Generator[Package]:
    with running_package() as running:
        yield running
