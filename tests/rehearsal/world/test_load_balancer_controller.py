"""The real AWS Load Balancer Controller takes the stand-in's place when it is on PATH."""

import re
import stat
from pathlib import Path

import pytest

from rehearsal.world.load_balancer_controller import Cluster, load_balancer_controller

CLUSTER = Cluster(
    name="chat",
    kubeconfig=Path("/somewhere/kubeconfig"),
    aws_url="http://127.0.0.1:5000",
    region="us-east-1",
    vpc_id="vpc-0123456789abcdef0",
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.usefixtures("path")
def test_without_the_real_controller_the_stand_in_runs(tmp_path: Path) -> None:
    chosen = load_balancer_controller(tmp_path / "needs", CLUSTER)
    assert chosen.name == "stand-in"
    assert "rehearsal.binder" in chosen.command


def test_the_real_controller_on_path_takes_its_place_and_stays_local(path: Path, tmp_path: Path) -> None:
    executable = path / "aws-load-balancer-controller"
    executable.touch(mode=0o755)

    chosen = load_balancer_controller(tmp_path / "needs", CLUSTER)

    assert chosen.name == "aws-load-balancer-controller"
    assert chosen.command[0] == executable
    flags = dict(str(word).removeprefix("--").split("=", 1) for word in chosen.command[1:])
    assert flags["cluster-name"] == CLUSTER.name
    assert flags["aws-vpc-id"] == CLUSTER.vpc_id
    assert f"Elastic Load Balancing v2={CLUSTER.aws_url}" in flags["aws-api-endpoints"].split(",")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", flags["health-probe-bind-addr"])
    certificate = Path(flags["webhook-cert-dir"]) / "tls.crt"
    assert stat.S_ISFIFO(certificate.stat().st_mode), "its webhook server waits for ever"
    assert not chosen.ready(), "it does not run"
