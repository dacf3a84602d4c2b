"""One AWS account for all tests of this folder, and each of the two load balancer controllers."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from rehearsal.controlplane.run import ControlPlane
from rehearsal.kube.client import KubeClient
from rehearsal.system.processes import Process
from rehearsal.world.executables import find_real
from rehearsal.world.load_balancer_controller import (
    REAL_NAME,
    STAND_IN_NAME,
    Cluster,
    LoadBalancerController,
    real,
    stand_in,
)
from tests.rehearsal.aws.account import CLUSTER, REGION, Account, Service, running_account
from tests.rehearsal.aws.farm import Farm
from tests.rehearsal.binder.bound import Bound, Node

REAL_VARIABLE = "REHEARSAL_REAL_LOAD_BALANCER_CONTROLLER"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Generator[Account]:
    with running_account(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(scope="module", params=[STAND_IN_NAME, REAL_NAME])
def controller(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    account: Account,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[Process]:
    """Runs one of the controllers."""
    cluster = Cluster(
        name=CLUSTER,
        kubeconfig=control_plane.kubeconfig,
        aws_url=account.endpoint_url,
        region=REGION,
        vpc_id=account.seeded.vpc_id,
    )
    folder = tmp_path_factory.mktemp("controller")
    chosen = _chosen(request.param, folder / "needs", cluster)
    access = {"AWS_ENDPOINT_URL": account.endpoint_url, "AWS_REGION": REGION}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    process = Process.start(chosen.name, chosen.command, log=folder / "log", env={**os.environ, **access, **keys})
    try:
        process.wait_until(chosen.ready, timeout_seconds=60)
        yield process
    finally:
        process.kill()


def _chosen(name: str, folder: Path, cluster: Cluster) -> LoadBalancerController:
    if name == STAND_IN_NAME:
        return stand_in(cluster)
    executable = os.environ.get(REAL_VARIABLE) or find_real(REAL_NAME)
    if executable is None:
        pytest.skip(f"no {REAL_NAME} on PATH, and {REAL_VARIABLE} names none")
    return real(Path(executable), folder, cluster)


@pytest.fixture
def node(kube: KubeClient, account: Account, namespace: str) -> Generator[Node]:
    node = Node(kube, account, f"node-{namespace}")
    yield node
    node.delete()


@pytest.fixture
def service(account: Account) -> Generator[Service]:
    """A load balancer with a rule on the blue target group."""
    service = Service(account, {"blue": 1, "green": 0}, deregistration_delay_seconds=3600)
    yield service
    service.delete()


@pytest.fixture
def bound(
    kube: KubeClient, account: Account, service: Service, node: Node, namespace: str, controller: Process
) -> Generator[Bound]:
    """A Service without pods, with its target group but no binding yet."""
    assert controller.running
    farm = Farm()
    bound = Bound(kube, account, farm, node, namespace, service.groups["blue"])
    bound.create_service()
    yield bound
    bound.delete_binding()
    farm.close()
