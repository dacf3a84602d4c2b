"""The package's process as a plugin: what it registers, returns, keeps secret and refuses."""

from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from tests.components.example import IMAGE, SECRET, run_program
from tests.package.host import SECRET_MARK, Constructed, Package, another_program, output
from tests.package.inputs import inputs, release

pytestmark = pytest.mark.slow

VPC_URN = "urn:pulumi:dev::elsewhere::aws:ec2/vpc:Vpc::main"


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


def test_another_resources_output_may_be_an_id_even_before_it_is_known(package: Package) -> None:
    with another_program(package) as program:
        program.construct(
            "llm",
            inputs(vpcId=output(None, VPC_URN), nodeSubnetIds=["subnet-1", output("subnet-2", VPC_URN)]),
            preview=True,
        )
        group = program.monitor.named("TargetGroup", "llm-blue")
        assert "vpcId" in json_format.MessageToDict(group.object)
        assert VPC_URN in group.propertyDependencies["vpcId"].urns


@pytest.mark.parametrize("subnets", [output(None, VPC_URN), ["subnet-3", output(None, VPC_URN)]])
@pytest.mark.parametrize("name", ["nodeSubnetIds", "loadBalancerSubnetIds"])
def test_a_list_of_ids_may_be_unknown_in_whole_or_in_part(package: Package, name: str, subnets: Any) -> None:
    with another_program(package) as program:
        program.construct("llm", inputs(**{name: subnets}), preview=True)
        assert program.monitor.named("ListenerRule", "llm")


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
    with pytest.raises(grpc.RpcError, match=r"- vpcId: is required but not set\. Set it to a VPC's id"):
        package.construct("llm", given)


def written(**changes: Any) -> dict[str, Any]:
    """What the scripts write, and their own settings."""
    blue = {"replicas": 2, "release": {"model": "org/model", "model_revision": "c0ffee0", "image": IMAGE}}
    rollout = {"steps": [{"candidate_percent": 100, "hold_seconds": 60}]}
    return {
        "green_weight": 0,
        "rollout_serial": 7,
        "blue": blue,
        "green": {"replicas": 2},
        "rollout": rollout,
        **changes,
    }


def with_settings(settings: Any, **changes: Any) -> dict[str, Any]:
    given = {key: value for key, value in inputs(**changes).items() if key not in ("blue", "green")}
    return {**given, "settings": settings}


def test_the_object_of_the_programs_config_gives_settings_too(package: Package) -> None:
    with another_program(package) as program:
        # `pulumi config set --path` writes texts, and an empty value means that a key is not set.
        made = program.construct("llm", with_settings(written(cold_start_seconds="900", keep_until="")))
        tags = program.monitor.inputs("ListenerRule", "llm")["tags"]
        assert tags["vllm-blue-green/rollout-serial"] == "7"
        assert made.state["releaseIds"].keys() == {"blue"}
        declared = made.state["declaredSettings"]
        assert declared["cluster_name"] == "main"
        assert declared["instance_type"] == "g6e.2xlarge"
        assert declared.keys().isdisjoint({*written(), "candidate_route_secret", "settings"})
        assert SECRET not in str(declared)


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        (written(green_weight=101), {}, "settings.green_weight: must be a whole number from 0 to 100"),
        (written(green_weigth=1), {}, "settings.green_weigth: is not a known key. Did you mean green_weight?"),
        (written(candidate_route_secret="x"), {}, "settings.candidate_route_secret: is a secret"),
        (written(), {"greenWeight": 0}, "greenWeight: is given twice, also as settings.green_weight."),
        (written(blue={"replica": 2}), {}, "settings.blue.replica: is not a known key. Did you mean replicas?"),
        (written(rollout={"step": []}), {}, "settings.rollout.step: is not a known key. Did you mean steps?"),
        (written(namespace=output("chat", VPC_URN)), {}, "settings: must be a plain value"),
        (written(vpc_id="vpc-0a"), {"vpcId": output(None, VPC_URN)}, "vpcId: is given twice"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(
    package: Package, settings: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        package.construct("llm", with_settings(settings, **changes))
    error: Any = raised.value
    _, *lines = error.details().strip().rstrip(":").splitlines()
    assert len(lines) == 1, lines
    assert message in lines[0]


def test_a_name_that_cannot_be_a_services_is_refused(package: Package) -> None:
    with pytest.raises(grpc.RpcError, match="name: must be a service's name"):
        package.construct("a-name-of-far-too-many-letters", inputs())
