"""A fork server for the embedded engine's processes, which otherwise spend most of their time on imports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.engine import warm
from tests.engine.conftest import PASSPHRASE
from tests.engine.fork_server import running_fork_server


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("warm") / "warm.sock"
    with running_fork_server(path, "pulumi", "grpc.aio", "yaml"):
        yield path


@pytest.fixture
def fork_server(_server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the embedded engine and its children run in forks."""
    monkeypatch.setenv(warm.VARIABLE, str(_server))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)  # for the comparison, which decrypts
