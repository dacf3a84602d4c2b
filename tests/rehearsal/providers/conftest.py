"""An AWS (moto over HTTP) and an engine for the provider tests."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import boto3
import pytest
from moto.server import ThreadedMotoServer

from rehearsal.providers.aws.provider import AwsProvider
from tests.rehearsal.providers.harness import Engine, engine_for

_CLUSTER = "provider-tests"
"""moto keeps its state for the whole process: other tests have clusters of their own."""


@dataclass(frozen=True)
class FakeAws:
    """A moto server with a VPC, two subnets and an EKS cluster in it."""

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


@pytest.fixture(scope="session")
def aws() -> Iterator[FakeAws]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        ec2 = _client(url, "ec2")
        vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet_ids = [
            ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
                "SubnetId"
            ]
            for i, zone in enumerate("ab")
        ]
        _client(url, "eks").create_cluster(
            name=_CLUSTER,
            roleArn="arn:aws:iam::123456789012:role/cluster",
            resourcesVpcConfig={"subnetIds": subnet_ids},
        )
        yield FakeAws(url, vpc_id, subnet_ids, _CLUSTER)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def configured_engine(aws: FakeAws) -> Iterator[Engine]:
    """One for all tests: AWS clients are slow to make."""
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
    """An engine with an empty state, and names of its own for what it creates."""
    return Engine(configured_engine.stub, seed=request.node.name.encode())
