"""EC2 launch templates. Every change of the settings makes a new version."""

from typing import Any

from rehearsal.providers.aws.resource import Call, Naming, ResourceType, from_api, tags_of, to_api
from rehearsal.providers.aws.schema import (
    Properties,
    array,
    block,
    boolean,
    integer,
    mapping,
    string,
    unordered,
)
from rehearsal.providers.aws.waiting import is_missing, missing_is_fine
from rehearsal.providers.values import Tree

_NUMBER_OF_DEVICES = 40

_SETTINGS: Properties = {
    "blockDeviceMappings": array(
        block(
            {
                "deviceName": string(),
                "ebs": block(
                    {
                        "deleteOnTermination": string(choices=("true", "false")),
                        "encrypted": string(choices=("true", "false")),
                        "iops": integer(1, computed=True),
                        "kmsKeyId": string(),
                        "snapshotId": string(),
                        "throughput": integer(125, 2000, computed=True),
                        "volumeSize": integer(1, 65_536, computed=True),
                        "volumeType": string(
                            computed=True, choices=("standard", "io1", "io2", "gp2", "sc1", "st1", "gp3")
                        ),
                    }
                ),
                "noDevice": string(),
                "virtualName": string(),
            }
        ),
        most=_NUMBER_OF_DEVICES,
    ),
    "capacityReservationSpecification": block(
        {
            "capacityReservationPreference": string(choices=("open", "none", "capacity-reservations-only")),
            "capacityReservationTarget": block(
                {"capacityReservationId": string(), "capacityReservationResourceGroupArn": string()}
            ),
        }
    ),
    "ebsOptimized": string(choices=("true", "false")),
    "iamInstanceProfile": block({"arn": string(), "name": string()}),
    "imageId": string(),
    "instanceMarketOptions": block({"marketType": string(choices=("spot", "capacity-block"))}),
    "instanceType": string(),
    "keyName": string(),
    "metadataOptions": block(
        {
            "httpEndpoint": string(computed=True, choices=("enabled", "disabled")),
            "httpProtocolIpv6": string(computed=True, choices=("enabled", "disabled")),
            "httpPutResponseHopLimit": integer(1, 64, computed=True),
            "httpTokens": string(computed=True, choices=("optional", "required")),
            "instanceMetadataTags": string(computed=True, choices=("enabled", "disabled")),
        },
        computed=True,
    ),
    "monitoring": block({"enabled": boolean()}),
    "networkInterfaces": array(
        block(
            {
                "associatePublicIpAddress": string(choices=("true", "false")),
                "deleteOnTermination": string(choices=("true", "false")),
                "description": string(),
                "deviceIndex": integer(0),
                "interfaceType": string(choices=("interface", "efa", "efa-only")),
                "networkCardIndex": integer(0),
                "securityGroups": unordered(string()),
                "subnetId": string(),
            }
        )
    ),
    "placement": block(
        {
            "availabilityZone": string(),
            "groupId": string(),
            "groupName": string(),
            "tenancy": string(choices=("default", "dedicated", "host")),
        }
    ),
    "tagSpecifications": array(block({"resourceType": string(), "tags": mapping()})),
    "userData": string(),
    "vpcSecurityGroupIds": unordered(string()),
}

_RENAMED = {"vpcSecurityGroupIds": "SecurityGroupIds"}
_BOOLEANS = ("deleteOnTermination", "encrypted", "ebsOptimized", "associatePublicIpAddress")


def _settings(inputs: Tree) -> Tree:
    """Return the settings as LaunchTemplateData."""
    data: Tree = {}
    for name in _SETTINGS:
        if name in inputs:
            data[_RENAMED.get(name, name[:1].upper() + name[1:])] = to_api(_with_booleans(inputs[name]))
    for interface in data.get("NetworkInterfaces", []):
        if "SecurityGroups" in interface:
            interface["Groups"] = interface.pop("SecurityGroups")
    for specification in data.get("TagSpecifications", []):
        # Tag keys come from the program and keep their spelling.
        original = inputs["tagSpecifications"][data["TagSpecifications"].index(specification)]
        tags = original.get("tags", {})
        specification["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    if "ebsOptimized" in inputs:
        data["EbsOptimized"] = inputs["ebsOptimized"] == "true"
    return data


def _with_booleans(value: Any) -> Any:
    if isinstance(value, dict):
        tree: Tree = value
        return {key: item == "true" if key in _BOOLEANS else _with_booleans(item) for key, item in tree.items()}
    return [_with_booleans(item) for item in value] if isinstance(value, list) else value


def _from_settings(data: dict[str, Any]) -> Tree:
    """Return LaunchTemplateData in the form of the inputs."""
    live: Tree = {}
    for name in _SETTINGS:
        api = _RENAMED.get(name, name[:1].upper() + name[1:])
        if api in data:
            live[name] = _with_strings(from_api(data[api]))
    for interface in live.get("networkInterfaces", []):
        if "groups" in interface:
            interface["securityGroups"] = interface.pop("groups")
    if "tagSpecifications" in live:
        # The template's own tags are not instance settings, though moto lists them here.
        live["tagSpecifications"] = [
            {**entry, "tags": {tag["key"]: tag["value"] for tag in entry["tags"]}}
            for entry in live["tagSpecifications"]
            if entry["resourceType"] != "launch-template"
        ]
    if "EbsOptimized" in data:
        live["ebsOptimized"] = str(data["EbsOptimized"]).lower()
    return live


def _with_strings(value: Any) -> Any:
    if isinstance(value, dict):
        tree: Tree = value
        return {key: str(item).lower() if key in _BOOLEANS else _with_strings(item) for key, item in tree.items()}
    return [_with_strings(item) for item in value] if isinstance(value, list) else value


def _create(call: Call) -> str:
    inputs = call.inputs
    tags = [{"ResourceType": "launch-template", "Tags": call.tag_list}]
    answer = call.client("ec2").create_launch_template(
        LaunchTemplateName=inputs["name"],
        LaunchTemplateData=_settings(inputs),
        **({"VersionDescription": inputs["description"]} if "description" in inputs else {}),
        **({"TagSpecifications": tags} if call.tag_list else {}),
    )
    return answer["LaunchTemplate"]["LaunchTemplateId"]


def _read(call: Call) -> Tree | None:
    client = call.client("ec2")
    try:
        template = client.describe_launch_templates(LaunchTemplateIds=[call.id])["LaunchTemplates"][0]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    latest = client.describe_launch_template_versions(LaunchTemplateId=call.id, Versions=["$Latest"])
    version = latest["LaunchTemplateVersions"][0]
    return {
        **_from_settings(version["LaunchTemplateData"]),
        "arn": call.arn("ec2", f"launch-template/{call.id}"),
        "name": template["LaunchTemplateName"],
        "latestVersion": template["LatestVersionNumber"],
        "defaultVersion": template["DefaultVersionNumber"],
        "description": version.get("VersionDescription"),
        "tags": tags_of(client.describe_tags(Filters=[{"Name": "resource-id", "Values": [call.id]}])["Tags"]),
        "region": call.aws.region,
    }


def _update(call: Call) -> None:
    client, inputs = call.client("ec2"), call.inputs
    default = inputs.get("defaultVersion") if "defaultVersion" in call.changed else None
    if call.changed & {*_SETTINGS, "description"}:
        answer = client.create_launch_template_version(
            LaunchTemplateId=call.id,
            LaunchTemplateData=_settings(inputs),
            **({"VersionDescription": inputs["description"]} if "description" in inputs else {}),
        )
        if inputs.get("updateDefaultVersion"):
            default = answer["LaunchTemplateVersion"]["VersionNumber"]
    if default is not None:
        client.modify_launch_template(LaunchTemplateId=call.id, DefaultVersion=str(default))


def _changing(changed: frozenset[str], inputs: Tree) -> tuple[str, ...]:
    if not changed & {*_SETTINGS, "description"}:
        return ()
    return ("latestVersion", "defaultVersion") if inputs.get("updateDefaultVersion") else ("latestVersion",)


TYPES = (
    ResourceType(
        token="aws:ec2/launchTemplate:LaunchTemplate",
        properties={
            **_SETTINGS,
            "defaultVersion": integer(1, computed=True),
            "description": string(longest=255),
            "name": string(replaces=True, longest=125, pattern=r"[0-9A-Za-z().\-/_]+"),
            "namePrefix": string(replaces=True, longest=99),
            "tags": mapping(),
            "updateDefaultVersion": boolean(),
            "region": string(computed=True, replaces=True),
        },
        outputs=("arn", "latestVersion"),
        create=_create,
        read=_read,
        update=_update,
        delete=lambda call: missing_is_fine(
            lambda: call.client("ec2").delete_launch_template(LaunchTemplateId=call.id)
        ),
        naming=Naming(longest=125),
        tag_service="ec2",
        tag_target="id",
        changing=_changing,
    ),
)
