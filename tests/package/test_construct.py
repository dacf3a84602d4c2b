"""The package's process as a plugin: what it registers, returns, keeps secret and refuses."""

from collections.abc import Generator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from tests.components.example import SECRET, run_program
from tests.package.host import SECRET_MARK, Constructed, Package, output, running_package
from tests.package.inputs import inputs, release

VPC_URN = "urn:pulumi:dev::elsewhere::aws:ec2/vpc:Vpc::main"


@pytest.fixture(scope="module")
def package() -> Generator[Package]:
    with running_package() as running:
        yield running


@pytest.fixture(scope="module")
def llm(package: Package) -> Constructed:
    return package.construct("llm", inputs(greenWeight=0))


def refusal(package: Package, **changes: Any) -> str:
    with pytest.raises(grpc.RpcError) as raised:
        package.construct("llm", inputs(**changes))
    error: Any = raised.value
    return error.details()


def test_it_registers_what_the_program_registers(package: Package, llm: Constructed) -> None:
    ours = {(one.type, one.name) for one in package.monitor.resources}
    assert ours == {(one.token, one.name) for one in run_program().resources.values()}
    assert llm.urn == "urn:pulumi:dev::elsewhere::vllm-blue-green:index:BlueGreenService::llm"
    assert package.monitor.named("BlueGreenService", "llm").parent.endswith("pulumi:pulumi:Stack::elsewhere-dev")


def test_its_outputs_are_those_of_the_schema_in_the_answer_and_in_the_state(package: Package, llm: Constructed) -> None:
    declared = set(package.schema()["resources"]["vllm-blue-green:index:BlueGreenService"]["properties"])
    assert set(llm.state) == declared
    plain = {
        key: value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in llm.state.items()
    }
    assert plain["endpoint"] == "http://llm.elb.example"
    assert plain["targetGroupArns"] == {"blue": "arn:TargetGroup:llm-blue", "green": "arn:TargetGroup:llm-green"}
    assert set(plain["releaseIds"]) == {"blue"}
    assert set(package.monitor.outputs[llm.urn]) == declared


def test_the_secret_stays_one(package: Package, llm: Constructed) -> None:
    for one in package.monitor.resources:
        if SECRET in str(one.object):
            assert one.type.endswith(":ListenerRule")
            assert one.name.endswith("-candidate")
            assert SECRET_MARK in str(one.object)
    assert SECRET not in str(llm.state)
    assert SECRET not in str(package.monitor.outputs)


def test_another_resources_output_may_be_an_id_even_before_it_is_known() -> None:
    with running_package() as package:
        package.construct(
            "llm",
            inputs(vpcId=output(None, VPC_URN), nodeSubnetIds=["subnet-1", output("subnet-2", VPC_URN)]),
            preview=True,
        )
        group = package.monitor.named("TargetGroup", "llm-blue")
        assert "vpcId" in json_format.MessageToDict(group.object)
        assert VPC_URN in group.propertyDependencies["vpcId"].urns


def test_an_output_is_checked_when_it_is_known(package: Package) -> None:
    message = refusal(package, vpcId=output("subnet-1", VPC_URN))
    assert 'vpcId: must be a VPC\'s id, e.g. vpc-0a1b2c3d4e5f60718 (got "subnet-1").' in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"greenWeight": 101}, "greenWeight: must be a whole number from 0 to 100, e.g. 25 (got 101)."),
        ({"greenWeight": 0.5}, "greenWeight: must be a whole number from 0 to 100, e.g. 25 (got 0.5)."),
        ({"instanceType": "g6e.2xlarg"}, "instanceType: must be an EC2 instance type with whole NVIDIA GPUs"),
        ({"blue": {"replicas": 0}}, "blue.replicas: must be a whole number from 1 to 1000"),
        (
            {"blue": {"release": release(modelRevision="main")}},
            "blue.release.modelRevision: must be a commit",
        ),
        ({"candidateRouteSecret": "short"}, "candidateRouteSecret: must be 16 to 100 letters"),
        ({"namespace": output("chat", VPC_URN)}, "namespace: must be a plain value"),
    ],
)
def test_a_bad_input_is_refused_in_one_line(package: Package, changes: dict[str, Any], message: str) -> None:
    first, *lines = refusal(package, **changes).strip().rstrip(":").splitlines()
    assert first.endswith("The inputs are invalid:")
    assert len(lines) == 1
    assert message in lines[0]


def test_every_violation_is_reported_at_once(package: Package) -> None:
    message = refusal(package, greenWeight=101, vpcId="vpc", protect="yes")
    assert len(message.strip().rstrip(":").splitlines()) == 4


def test_a_missing_input_is_reported_by_its_name(package: Package) -> None:
    given = inputs()
    del given["vpcId"]
    with pytest.raises(grpc.RpcError) as raised:
        package.construct("llm", given)
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert b"vpcId" in dict(error.trailing_metadata())["grpc-status-details-bin"]


def test_a_name_that_cannot_be_a_services_is_refused(package: Package) -> None:
    with pytest.raises(grpc.RpcError, match="name: must be a service's name"):
        package.construct("a-name-of-far-too-many-letters", inputs())
