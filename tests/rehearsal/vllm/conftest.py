"""A running stand-in for tests that need no server of their own."""

from collections.abc import Generator

import pytest

from tests.rehearsal.vllm.server_process import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServerProcess]:
    """A fast server of blue with an adapter, shared by tests that change nothing but counters."""
    flags = [
        *("--served-model-name", "acme/tiny", "tiny-alias"),
        *("--fingerprint-mode", "custom", "--fingerprint-value", "blue-0123456789ab"),
        *("--max-model-len", "400", "--enable-prompt-tokens-details", "--enable-request-id-headers"),
        *("--enable-lora", "--lora-modules", "haiku=/adapters/haiku"),
    ]
    environment = {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "1"}
    with ServerProcess(tmp_path_factory.mktemp("vllm"), *flags, environment=environment) as running:
        yield running.wait_until_ready()
