"""A vLLM with an API key: its probe and the smoke test have the key, and requests without it are refused."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from components.config.release.release import Release
from components.config.sections.check_settings import SmokeSettings
from components.domain.naming import fingerprint
from components.resources import readiness_probe
from rollout.adapters.candidate_route import CandidateRoute
from rollout.checks.smoke import Smoke
from rollout.model.errors import RolloutError
from rollout.model.verdict import Verdict
from tests.components.example import IMAGE
from tests.rehearsal.vllm.server_process import MODEL, ServerProcess

KEY = "sesame-and-more"
RELEASE = Release(model=MODEL, model_revision="c0ffee0", image=IMAGE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServerProcess]:
    """The stand-in as the pod's environment makes it."""
    flags = [
        *("--served-model-name", "chat", "--fingerprint-mode", "custom"),
        *("--fingerprint-value", fingerprint("green", RELEASE.release_id)),
    ]
    with ServerProcess(tmp_path_factory.mktemp("vllm"), *flags, environment={"VLLM_API_KEY": KEY}) as running:
        yield running.wait_until_ready()


def _probe(server: ServerProcess, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the probe as the kubelet does: in the environment of the container."""
    options = ["--served-model-name=chat", f"--model={MODEL}", f"--port={server.port}", "--threshold-seconds=10"]
    return subprocess.run(
        [sys.executable, "-I", readiness_probe.__file__, *options],
        env={"POD_IP": "127.0.0.1", **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _smoke(server: ServerProcess, api_key: str | None) -> Smoke:
    route = CandidateRoute(
        endpoint_url=lambda: str(server.http.base_url),
        route_secret=lambda: "s3cret",
        api_key=lambda: api_key,
        served_model_name="chat",
        transport=httpx.HTTPTransport(),
    )
    return Smoke(route=route, served_model_name="chat", settings=SmokeSettings(requests=4))


def test_the_pods_own_probe_has_the_key_from_the_containers_environment(server: ServerProcess, tmp_path: Path) -> None:
    ready = _probe(server, tmp_path, VLLM_API_KEY=KEY)
    assert (ready.returncode, ready.stderr) == (0, "")
    assert _probe(server, tmp_path).stderr == "not ready: /v1/models answered 401\n"


def test_liveness_and_metrics_need_no_key(server: ServerProcess) -> None:
    assert [server.http.get(path).status_code for path in ("/health", "/metrics")] == [200, 200]


def test_the_smoke_test_passes_with_the_operators_key(server: ServerProcess) -> None:
    smoke = _smoke(server, KEY)
    smoke.prepare()
    assert smoke.run("green", RELEASE).verdict is Verdict.PASS


@pytest.mark.parametrize("api_key", [None, "another-key"])
def test_without_the_right_key_nothing_begins_and_nothing_is_shown(server: ServerProcess, api_key: str | None) -> None:
    smoke = _smoke(server, api_key)
    with pytest.raises(RolloutError, match="answers 401") as raised:
        smoke.prepare()
    verdict = smoke.run("green", RELEASE)
    assert verdict.verdict is Verdict.FAIL
    assert "another-key" not in f"{raised.value} {verdict}"
