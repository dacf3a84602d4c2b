"""For the provider tests: an AWS (moto over HTTP), both Kubernetes providers (ours and the real one), and engines."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import boto3
import pytest

from rehearsal.controlplane.run import ControlPlane
from rehearsal.providers.aws.provider import AwsProvider
from rehearsal.providers.kubernetes.provider import KubernetesProvider
from tests.moto_server import moto_server
from tests.rehearsal.providers.harness import Engine, engine_for
from tests.rehearsal.providers.plugin_process import plugin_process

_REAL_KUBERNETES = "REHEARSAL_REAL_KUBERNETES_PROVIDER"


@dataclass(frozen=True)
class FakeAws:
    """A moto server with a VPC, two subnets and an EKS cluster."""

    url: str
    vpc_id: str
    subnet_ids: list[str]
    cluster_name: str

    def client(self, service: str) -> Any:
        return _client(self.url, service)


def _client(url: str, service: str) -> Any:
    return cast("Any", boto3).client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.fixture(scope="module")
def aws() -> Iterator[FakeAws]:
    """A new AWS for each test file."""
    cluster = f"provider-tests-{uuid.uuid4().hex[:8]}"
    with moto_server() as url:
        ec2 = _client(url, "ec2")
        vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet_ids = [
            ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
                "SubnetId"
            ]
            for i, zone in enumerate("ab")
        ]
        _client(url, "eks").create_cluster(
            name=cluster,
            roleArn="arn:aws:iam::123456789012:role/cluster",
            resourcesVpcConfig={"subnetIds": subnet_ids},
        )
        yield FakeAws(url, vpc_id, subnet_ids, cluster)


@pytest.fixture(scope="module")
def configured_engine(aws: FakeAws) -> Iterator[Engine]:
    """One engine per test file, because AWS clients are slow to create."""
    with engine_for(AwsProvider()) as engine:
        endpoints = dict.fromkeys(("cloudwatch", "ec2", "eks", "elbv2", "iam", "sts"), aws.url)
        engine.configure(
            region="us-east-1",
            accessKey="testing",
            secretKey="testing",
            skipMetadataApiCheck=True,
            endpoints=json.dumps([endpoints]),
        )
        yield engine


@pytest.fixture
def aws_engine(configured_engine: Engine, request: pytest.FixtureRequest) -> Engine:
    """An engine with an empty state and its own names for what it creates."""
    return Engine(configured_engine.stub, seed=request.node.name.encode())


@pytest.fixture(scope="session")
def our_kubernetes(control_plane: ControlPlane) -> Iterator[Engine]:
    """The rehearsal's Kubernetes provider."""
    with engine_for(KubernetesProvider()) as engine:
        engine.configure(kubeconfig=str(control_plane.kubeconfig), enableServerSideApply="true")
        yield engine


@pytest.fixture(scope="session")
def real_kubernetes(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The real provider, if its executable is installed."""
    executable = os.environ.get(_REAL_KUBERNETES) or shutil.which("pulumi-resource-kubernetes")
    if executable is None:
        pytest.skip(f"no pulumi-resource-kubernetes on PATH, and {_REAL_KUBERNETES} does not name one")
    log = tmp_path_factory.mktemp("real-kubernetes") / "log"
    with plugin_process([executable], log, "kubernetes") as engine:
        engine.configure(kubeconfig=str(control_plane.kubeconfig), enableServerSideApply="true")
        yield engine


@pytest.fixture(params=["our_kubernetes", "real_kubernetes"])
def kubernetes(request: pytest.FixtureRequest) -> Engine:
    """Each of the two with an empty state: the tests apply to both."""
    engine: Engine = request.getfixturevalue(request.param)
    return engine.afresh(request.node.name.encode())
