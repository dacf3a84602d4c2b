"""The doctor as a command line, before the first `pulumi up`: on an imitation of AWS and a real API server."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal.aws.seed import SeededAccount
from rehearsal.controlplane.run import ControlPlane
from scripts import console
from tests.rehearsal.aws.account import Account, running_account
from tests.scripts.test_scripts import PROJECT


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Generator[Account]:
    """An account with a network and a cluster."""
    with running_account(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture
def variables(tmp_path: Path, account: Account, control_plane: ControlPlane) -> Mapping[str, str]:
    """The environment of a person with an account, a cluster, and no Pulumi."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))},
        "PATH": str(tmp_path / "bin"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": account.endpoint_url,
        "KUBECONFIG": str(control_plane.kubeconfig),
        "PROMETHEUS_URL": "http://127.0.0.1:9",
    }


def write_project(folder: Path, seeded: SeededAccount, namespace: str) -> None:
    values: dict[str, Any] = {
        "cluster_name": seeded.cluster_name,
        "cluster_security_group_id": seeded.cluster_security_group_id,
        "vpc_id": seeded.vpc_id,
        "node_subnet_ids": seeded.private_subnet_ids,
        "load_balancer_subnet_ids": seeded.public_subnet_ids,
        "candidate_route_secret": {"secure": "v1:a:b"},
        "instance_type": "g6e.2xlarge",
        "namespace": namespace,
        "blue": {
            "replicas": 2,
            "release": {
                "model": "org/model",
                "model_revision": "c0ffee0",
                "image": f"vllm/vllm-openai@sha256:{'a' * 64}",
            },
        },
        "green": {"replicas": 2},
    }
    (folder / "Pulumi.yaml").write_text("name: vllm-blue-green\nruntime: python\n")
    config = {f"vllm-blue-green:{key}": value for key, value in values.items()}
    (folder / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config}))


def doctor(folder: Path, variables: Mapping[str, str], *more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "scripts.doctor", "--stack", "acme/prod", "--work-dir", str(folder), *more]
    return subprocess.run(
        command, cwd=PROJECT, env=dict(variables), capture_output=True, text=True, timeout=120, check=False
    )


def test_a_new_stack_is_examined_and_nothing_is_left_behind(
    tmp_path: Path, variables: Mapping[str, str], account: Account, namespace: str
) -> None:
    write_project(tmp_path, account.seeded, namespace)
    before = sorted(path.name for path in tmp_path.iterdir())
    done = doctor(tmp_path, variables, "--json")
    assert done.returncode == console.EXIT_REFUSED, done.stderr
    found = json.loads(done.stdout)
    assert found["deployed"] is False
    status = {one["name"]: one["status"] for one in found["checks"]}
    for name in ("credentials", "places", "addresses", "zones", "quota", "volume key", "VPC CNI", "resource types"):
        assert status[name] == "ok", found
    texts = {one["name"]: [*one["missing"], *one["unanswered"]] for one in found["checks"]}
    assert texts["load balancer controller"][0].startswith("the cluster runs no AWS Load Balancer Controller")
    assert texts["device plugin"][0].startswith("the cluster has no NVIDIA device plugin")
    assert texts["stack"] == ["there is no `pulumi` on PATH; install the Pulumi CLI"]
    assert "Prometheus at http://127.0.0.1:9 does not answer" in texts["Prometheus"][0]
    assert status["permissions"] == "unchecked"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_person_gets_a_line_for_each(
    tmp_path: Path, variables: Mapping[str, str], account: Account, namespace: str
) -> None:
    write_project(
        tmp_path, replace(account.seeded, public_subnet_ids=["subnet-0a1b2c3d", "subnet-0a1b2c3e"]), namespace
    )
    done = doctor(tmp_path, variables)
    assert done.returncode == console.EXIT_REFUSED, done.stderr
    lines = done.stdout.splitlines()
    assert "missing   device plugin: the cluster has no NVIDIA device plugin" in done.stdout
    assert [line for line in lines if line.startswith("unchecked zones: could not be checked: AWS DescribeSubnets")]
    assert lines[-1].startswith("once it is deployed: traffic, drill, preview")
