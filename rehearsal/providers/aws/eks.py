"""EKS managed node groups."""

from rehearsal.providers.aws.resource import Call, Naming, ResourceType, without_marks
from rehearsal.providers.aws.schema import array, block, boolean, integer, mapping, string, unordered
from rehearsal.providers.aws.waiting import is_missing, missing_is_fine, wait_until
from rehearsal.providers.provider import ProviderError
from rehearsal.providers.values import Tree

_WAIT_SECONDS = 3600.0
_ON_CREATE = {
    "amiType": "amiType",
    "capacityType": "capacityType",
    "diskSize": "diskSize",
    "instanceTypes": "instanceTypes",
    "labels": "labels",
    "launchTemplate": "launchTemplate",
    "nodeRepairConfig": "nodeRepairConfig",
    "releaseVersion": "releaseVersion",
    "scalingConfig": "scalingConfig",
    "subnetIds": "subnets",
    "tags": "tags",
    "taints": "taints",
    "updateConfig": "updateConfig",
    "version": "version",
}
_VERSION = frozenset({"launchTemplate", "releaseVersion", "version"})


def _parts(call: Call) -> dict[str, str]:
    cluster, _, name = call.id.partition(":")
    return {"clusterName": cluster, "nodegroupName": name}


def _create(call: Call) -> str:
    inputs = call.inputs
    call.client("eks").create_nodegroup(
        clusterName=inputs["clusterName"],
        nodegroupName=inputs["nodeGroupName"],
        nodeRole=inputs["nodeRoleArn"],
        **{api: without_marks(inputs[name]) for name, api in _ON_CREATE.items() if name in inputs},
    )
    return f"{inputs['clusterName']}:{inputs['nodeGroupName']}"


def _wait_active(call: Call) -> None:
    """Wait for the end of a creation. An error contains the issues that EKS reports."""

    def active() -> bool:
        group = call.client("eks").describe_nodegroup(**_parts(call))["nodegroup"]
        status = group["status"]
        if status.endswith("FAILED") or status == "DEGRADED":
            issues = [f"{issue['code']}: {issue['message']}" for issue in group["health"]["issues"]]
            raise ProviderError(f"node group {call.id} is {status}: {'; '.join(issues) or 'no reason given'}")
        return status == "ACTIVE"

    wait_until(active, f"node group {call.id} to become ACTIVE", call.timeout_seconds or _WAIT_SECONDS)


def _wait_updated(call: Call) -> None:
    """Wait for the end of an update. The group may be unhealthy afterwards, because the update itself has succeeded."""

    def updated() -> bool:
        return call.client("eks").describe_nodegroup(**_parts(call))["nodegroup"]["status"] != "UPDATING"

    wait_until(updated, f"the update of node group {call.id} to end", call.timeout_seconds or _WAIT_SECONDS)


def _read(call: Call) -> Tree | None:
    try:
        group = call.client("eks").describe_nodegroup(**_parts(call))["nodegroup"]
    except Exception as error:
        if is_missing(error):
            return None
        raise
    reported = {name: group.get(api) for name, api in _ON_CREATE.items() if group.get(api) is not None}
    groups = [{"name": entry["name"]} for entry in group.get("resources", {}).get("autoScalingGroups", [])]
    live: Tree = {
        **reported,
        "arn": group["nodegroupArn"],
        "clusterName": group["clusterName"],
        "nodeGroupName": group["nodegroupName"],
        "nodeRoleArn": group["nodeRole"],
        "resources": [{"autoscalingGroups": groups, "remoteAccessSecurityGroupId": ""}],
        "status": group["status"],
        "tags": group.get("tags", {}),
        "region": call.aws.region,
    }
    if "launchTemplate" in live and "launchTemplate" in call.inputs:
        # AWS reports both id and name; the inputs have only one of them.
        named = call.inputs["launchTemplate"]
        live["launchTemplate"] = {key: item for key, item in live["launchTemplate"].items() if key in named}
    return live


def _update(call: Call) -> None:
    client, inputs = call.client("eks"), call.inputs
    config: Tree = {
        name: without_marks(inputs[name])
        for name in ("nodeRepairConfig", "scalingConfig", "updateConfig")
        if name in call.changed and name in inputs
    }
    if "labels" in call.changed:
        config["labels"] = _label_changes(call.old.get("labels", {}), inputs.get("labels", {}))
    if "taints" in call.changed:
        config["taints"] = _taint_changes(call.old.get("taints", []), inputs.get("taints", []))
    if config:
        client.update_nodegroup_config(**_parts(call), **config)
        _wait_updated(call)
    if _VERSION & call.changed:
        version = {name: without_marks(inputs[name]) for name in sorted(_VERSION & call.changed) if name in inputs}
        client.update_nodegroup_version(**_parts(call), force=inputs.get("forceUpdateVersion", False), **version)
        _wait_updated(call)


def _label_changes(old: Tree, new: Tree) -> Tree:
    setting = {key: value for key, value in new.items() if old.get(key) != value}
    return {"addOrUpdateLabels": setting, "removeLabels": [key for key in old if key not in new]}


def _taint_changes(old: list[Tree], new: list[Tree]) -> Tree:
    kept = {(taint["key"], taint["effect"]) for taint in new}
    removed = [without_marks(taint) for taint in old if (taint["key"], taint["effect"]) not in kept]
    return {"addOrUpdateTaints": without_marks(new), "removeTaints": removed}


def _delete(call: Call) -> None:
    client = call.client("eks")
    missing_is_fine(lambda: client.delete_nodegroup(**_parts(call)))
    what = f"node group {call.id} to be deleted"
    wait_until(lambda: _read(call) is None, what, call.timeout_seconds or _WAIT_SECONDS)


TYPES = (
    ResourceType(
        token="aws:eks/nodeGroup:NodeGroup",
        properties={
            "amiType": string(computed=True, replaces=True),
            "capacityType": string(computed=True, replaces=True, choices=("ON_DEMAND", "SPOT", "CAPACITY_BLOCK")),
            "clusterName": string(required=True, replaces=True),
            "diskSize": integer(1, computed=True, replaces=True),
            "forceUpdateVersion": boolean(),
            "instanceTypes": array(string(), computed=True, replaces=True),
            "labels": mapping(),
            "launchTemplate": block(
                {
                    "id": string(replaces=True),
                    "name": string(replaces=True),
                    "version": string(required=True, longest=255),
                }
            ),
            "nodeGroupName": string(replaces=True, longest=63, pattern=r"[0-9A-Za-z][0-9A-Za-z_-]*"),
            "nodeGroupNamePrefix": string(replaces=True, longest=37),
            "nodeRepairConfig": block(
                {
                    "enabled": boolean(),
                    "maxParallelNodesRepairedCount": integer(1),
                    "maxParallelNodesRepairedPercentage": integer(1, 100),
                    "maxUnhealthyNodeThresholdCount": integer(1),
                    "maxUnhealthyNodeThresholdPercentage": integer(1, 100),
                },
                computed=True,
            ),
            "nodeRoleArn": string(required=True, replaces=True),
            "releaseVersion": string(computed=True),
            "scalingConfig": block(
                {
                    "desiredSize": integer(0, required=True),
                    "maxSize": integer(1, required=True),
                    "minSize": integer(0, required=True),
                },
                required=True,
            ),
            "subnetIds": unordered(string(), required=True, replaces=True),
            "tags": mapping(),
            "taints": unordered(
                block(
                    {
                        "key": string(required=True, longest=63),
                        "value": string(longest=63),
                        "effect": string(required=True, choices=("NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE")),
                    }
                ),
                most=50,
            ),
            "updateConfig": block(
                {
                    "maxUnavailable": integer(1, 100),
                    "maxUnavailablePercentage": integer(1, 100),
                    "updateStrategy": string(computed=True, choices=("DEFAULT", "MINIMAL")),
                },
                computed=True,
            ),
            "version": string(computed=True),
            "region": string(computed=True, replaces=True),
        },
        outputs=("arn", "resources", "status"),
        create=_create,
        settle=_wait_active,
        read=_read,
        update=_update,
        delete=_delete,
        naming=Naming("nodeGroupName", "nodeGroupNamePrefix", longest=63),
        tag_service="eks",
    ),
)
