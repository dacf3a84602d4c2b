"""Cases: capacity."""

from typing import Any

from tests.policies.case import Safe, Unsafe
from tests.policies.edits import GONE, UNKNOWN
from tests.policies.releases import BLUE_ID, GREEN_ID
from tests.policies.stacks import LATER, Declared

_WEIGHTS = "actions[0].forward.targetGroups"
_REQUESTS = "spec.template.spec.containers[0].resources.requests"
_LIMITS = "spec.template.spec.containers[0].resources.limits"
_GPU = '["nvidia.com/gpu"]'
_LABELS = "spec.template.metadata.labels"
_ENDS = 'tags["vllm-blue-green/reservation-ends"]'
_RELEASE = "vllm-blue-green/release"
_COLOR = "vllm-blue-green/color"
_BLUE = 'tags["vllm-blue-green/blue"]'
_GREEN = 'tags["vllm-blue-green/green"]'
_ACTIVE = 'tags["vllm-blue-green/active-color"]'
_KEEP_UNTIL = 'tags["vllm-blue-green/keep-until"]'
_ROLLING_OUT = 'tags["vllm-blue-green/rolling-out"]'


def _template(name: str, instance_type: str) -> Declared:
    """A hand-written launch template for green's nodes."""
    return Declared(
        type="aws:ec2/launchTemplate:LaunchTemplate",
        name=name,
        props={
            "instanceType": instance_type,
            "networkInterfaces": [{"deviceIndex": 0, "associatePublicIpAddress": "false"}],
            "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
            "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 200, "encrypted": "true"}}],
            "tags": {"vllm-blue-green/service": "chat", _COLOR: "green"},
        },
    )


def _in_zone_b(nodes: int, **props: Any) -> Declared:
    """A second, hand-written node group for green."""
    return Declared(
        type="aws:eks/nodeGroup:NodeGroup",
        name="green-zone-b",
        props={
            "launchTemplate": {"id": "lt-0a1b2c3d4e5f60718", "version": "1"},
            **(props or {"instanceTypes": ["g6e.2xlarge"]}),
            "scalingConfig": {"minSize": 0, "maxSize": nodes, "desiredSize": nodes},
            "labels": {_COLOR: "green"},
            "tags": {"vllm-blue-green/service": "chat"},
        },
        protect=True,
    )


_FITS = (
    Unsafe(
        policy="capacity-replica-fits-node",
        why="two GPUs a replica, on nodes with one",
        base="ramp",
        edits={"Deployment chat-green": {f"{_REQUESTS}{_GPU}": "2", f"{_LIMITS}{_GPU}": "2"}},
        says="chat-green: GPUs of a replica is 2, but must be at most 1, which a g6e.2xlarge node offers one replica.",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="a millicpu more than is left beside what every node runs",
        base="ramp",
        edits={"Deployment chat-blue": {f"{_REQUESTS}.cpu": "7611m"}},
        says="chat-blue: millicpus of a replica is 7611, but must be at most 7610",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="a mebibyte more than is left beside what every node runs",
        base="ramp",
        edits={"Deployment chat-blue": {f"{_REQUESTS}.memory": "59116Mi"}},
        says="chat-blue: MiB of memory of a replica is 59116, but must be at most 59115",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="without a request Kubernetes takes the limit for one",
        base="ramp",
        edits={"Deployment chat-blue": {f"{_REQUESTS}.memory": GONE, f"{_LIMITS}.memory": "64Gi"}},
        says="chat-blue: MiB of memory of a replica is 65536",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="a helper in the pod asks for CPU, too",
        base="ramp",
        edits={
            "Deployment chat-blue": {
                "spec.template.spec.containers[1]": {"name": "logs", "resources": {"requests": {"cpu": 5}}}
            }
        },
        also=(
            "isolation-restricted",
            "release-image-pinned",
        ),
        says="chat-blue: millicpus of a replica is 8000",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="one of the types that EKS may choose from is too small",
        base="ramp",
        edits={
            "NodeGroup chat-blue": {"instanceTypes": ["g6e.2xlarge", "g6.xlarge"]},
            "Deployment chat-blue": {f"{_REQUESTS}.cpu": "3700m"},
        },
        says="millicpus of a replica is 3700, but must be at most 3620, which a g6.xlarge node offers one replica",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="no instance type is set, so EKS uses a t3.medium",
        base="ramp",
        edits={"NodeGroup chat-blue": {"instanceTypes": GONE}},
        says="chat-blue: instanceTypes is t3.medium, but must be a known type with whole NVIDIA GPUs",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="no launch template either",
        base="ramp",
        edits={"NodeGroup chat-blue": {"instanceTypes": GONE, "launchTemplate": GONE}},
        also=("exposure-nodes-by-template",),
        says="chat-blue: instanceTypes is t3.medium",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="in a block the launch template says what a node is",
        base="block",
        edits={"LaunchTemplate chat-green": {"instanceType": "p5.4xlarge"}},
        says="chat-green: GPUs of a replica is 8, but must be at most 1, which a p5.4xlarge node offers one replica",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="fractions of a GPU are none",
        base="shared",
        edits={"NodeGroup chat": {"instanceTypes": ["g6f.large"]}},
        says="chat: instanceTypes is g6f.large, but must be a known type with whole NVIDIA GPUs",
    ),
)

_TEMPLATES = (
    Unsafe(
        policy="capacity-replica-fits-node",
        why="a launch template that the node group does not use",
        base="block",
        edits={"NodeGroup chat-green": {"launchTemplate": GONE}},
        also=("exposure-nodes-by-template",),
        says="chat-green: instanceTypes is t3.medium",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="of two launch templates of green's, the one that is called as its group is",
        base="ramp",
        added=(_in_zone_b(1, launchTemplate={"id": UNKNOWN}), _template("green-zone-b", "g6f.large")),
        says="green-zone-b: instanceTypes is g6f.large",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="green's only launch template, whatever it is called",
        base="ramp",
        edits={"NodeGroup chat-green": {"instanceTypes": GONE}, "LaunchTemplate chat-green": GONE},
        added=(_template("nodes-of-green", "g6f.large"),),
        says="chat-green: instanceTypes is g6f.large",
    ),
)

_MAXIMUM = (
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="a colour that was never used will need a node as the other one does",
        base="first",
        edits={"NodeGroup chat-green": {"scalingConfig.maxSize": 0}},
        says="chat-green: scalingConfig.maxSize is 0, but must be at least 1: room for 1 replicas of green",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="no maximum that anybody can read",
        base="ramp",
        edits={"NodeGroup chat-green": {"scalingConfig.maxSize": "four"}},
        says="chat-green: scalingConfig.maxSize is 0, but must be at least 4",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="a full green does not fit any more: three nodes for four replicas",
        base="ramp",
        edits={"NodeGroup chat-green": {"scalingConfig.maxSize": 3, "scalingConfig.desiredSize": 3}},
        also=("capacity-desired-holds-running-colors",),
        says="chat-green: scalingConfig.maxSize is 3, but must be at least 4: room for 4 replicas of green",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="the maximum was lowered, the nodes are still there",
        base="promoted",
        edits={"NodeGroup chat-blue": {"scalingConfig.maxSize": 3}},
        says="chat-blue: scalingConfig.maxSize is 3, but must be at least 4",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="a shared group needs room for both, not for one",
        base="shared",
        edits={"NodeGroup chat": {"scalingConfig.maxSize": 7}},
        says="chat: scalingConfig.maxSize is 7, but must be at least 8: room for 8 replicas of blue and green",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="a parked colour cannot come back to no node at all",
        base="reaped",
        edits={"NodeGroup chat-blue": {"scalingConfig.maxSize": 0}},
        says="chat-blue: scalingConfig.maxSize is 0, but must be at least 1: room for 1 replicas of blue",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="the platform team wants a node to spare",
        base="ramp",
        config={"capacity-maximum-holds-both-colors": {"spare_nodes": 1}},
        says="scalingConfig.maxSize is 4, but must be at least 5: room for 4 replicas of blue, spare nodes: 1",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="four replicas need two nodes when a node takes three",
        base="ramp",
        edits={
            "NodeGroup chat-green": {"instanceTypes": ["g6e.12xlarge"], "scalingConfig.maxSize": 1},
            "Deployment chat-green": {f"{_REQUESTS}.cpu": "12"},
        },
        says="chat-green: scalingConfig.maxSize is 1, but must be at least 2: room for 4 replicas of green",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="of several types the smallest one counts",
        base="ramp",
        edits={
            "NodeGroup chat-green": {
                "instanceTypes": ["g6e.12xlarge", "g6e.2xlarge"],
                "scalingConfig.maxSize": 3,
                "scalingConfig.desiredSize": 4,
            }
        },
        says="chat-green: scalingConfig.maxSize is 3, but must be at least 4",
    ),
)

_DESIRED = (
    Unsafe(
        policy="capacity-desired-holds-running-colors",
        why="two groups of one colour, in two zones, have three nodes together",
        base="ramp",
        edits={"NodeGroup chat-green": {"scalingConfig.desiredSize": 1}},
        added=(_in_zone_b(2),),
        says="chat-green: scalingConfig.desiredSize is 1, but must be at least 2: room for 4 replicas of green",
    ),
    Unsafe(
        policy="capacity-desired-holds-running-colors",
        why="nodes were taken from green while all its replicas run",
        base="ramp",
        edits={"NodeGroup chat-green": {"scalingConfig.desiredSize": 3}},
        says="chat-green: scalingConfig.desiredSize is 3, but must be at least 4: room for 4 replicas of green",
    ),
    Unsafe(
        policy="capacity-desired-holds-running-colors",
        why="the way back has pods but no nodes",
        base="promoted",
        edits={"NodeGroup chat-blue": {"scalingConfig.desiredSize": 0}, "Deployment chat-blue": {}},
        says="chat-blue: scalingConfig.desiredSize is 0, but must be at least 4",
    ),
    Unsafe(
        policy="capacity-desired-holds-running-colors",
        why="a shared group shrank for a parked colour: EKS may end nodes of the one that serves",
        base="shared",
        edits={
            "NodeGroup chat": {"scalingConfig.desiredSize": 4},
            "Deployment chat-green": {"spec.replicas": 0},
            "ListenerRule chat": {_GREEN: f"{GREEN_ID} parked"},
        },
        says="chat: scalingConfig.desiredSize is 4, but must be at least 5: room for 5 replicas of blue and green",
    ),
    Unsafe(
        policy="capacity-desired-holds-running-colors",
        why="only the maximum is left to an autoscaler, not the desired size",
        base="ramp",
        edits={"NodeGroup chat-green": {"scalingConfig.desiredSize": 3, "#ignore_changes": ("scalingConfig.maxSize",)}},
        says="chat-green: scalingConfig.desiredSize is 3",
    ),
    Unsafe(
        policy="capacity-desired-holds-running-colors",
        why="without a word on replicas Kubernetes runs one",
        base="reaped",
        edits={
            "Deployment chat-blue": {"spec.replicas": GONE},
            "PodDisruptionBudget chat-blue": {"spec.maxUnavailable": 0},
        },
        says="chat-blue: scalingConfig.desiredSize is 0, but must be at least 1",
    ),
)

_GROUPS = (
    Unsafe(
        policy="capacity-node-group-per-color",
        why="a reservation for nodes of both colours: its end takes the way back along",
        base="shared",
        edits={
            "LaunchTemplate chat": {"capacityReservationSpecification.capacityReservationPreference": "open"},
            "NodeGroup chat": {_ENDS: LATER},
        },
        says="chat: the capacity of a group that both colours share is reserved, but must be plain On-Demand",
    ),
    Unsafe(
        policy="capacity-node-group-per-color",
        why="a reservation for both, named in the launch template alone",
        base="shared",
        edits={
            "LaunchTemplate chat": {
                "capacityReservationSpecification.capacityReservationTarget": {"capacityReservationId": UNKNOWN}
            }
        },
        also=("capacity-reservation-end-known",),
        says="must be plain On-Demand: the end of a reservation would remove both colours' nodes",
    ),
    Unsafe(
        policy="capacity-node-group-per-color",
        why="green's nodes are labelled as blue's: its pods find none",
        base="ramp",
        edits={"NodeGroup chat-green": {f'labels["{_COLOR}"]': "blue"}},
        says="chat: the node group of green is not set, but must be declared, with room for full size",
    ),
    Unsafe(
        policy="capacity-node-group-per-color",
        why="blue's nodes are gone",
        base="ramp",
        edits={"NodeGroup chat-blue": GONE},
        says="chat: the node group of blue is not set",
    ),
)

_RESERVATIONS = (
    Unsafe(
        policy="capacity-reservation-end-known",
        why="the tag was removed, so the end of the block is unknown",
        base="block",
        edits={"NodeGroup chat-green": {_ENDS: GONE}},
        says="chat-green: the end of its reservation is not set, but must be an RFC 3339 time with its zone",
    ),
    Unsafe(
        policy="capacity-reservation-end-known",
        why="a time without its zone",
        base="reserved",
        edits={"NodeGroup chat-green": {_ENDS: "2099-01-01T00:00:00"}},
        says="chat-green: the end of its reservation is 2099-01-01T00:00:00, but must be",
    ),
    Unsafe(
        policy="capacity-reservation-end-known",
        why="any reservation will do, but none other than one",
        base="reserved",
        edits={
            "LaunchTemplate chat-green": {"capacityReservationSpecification.capacityReservationTarget": GONE},
            "NodeGroup chat-green": {_ENDS: ""},
        },
        says="chat-green: the end of its reservation is not set",
    ),
    Unsafe(
        policy="capacity-reservation-end-known",
        why="a block that the node group does not speak of",
        base="ramp",
        edits={"LaunchTemplate chat-green": {"instanceMarketOptions.marketType": "capacity-block"}},
        says="chat-green: the end of its reservation is not set",
    ),
    Unsafe(
        policy="capacity-reservation-outlasts-promise",
        why="EKS removes the nodes 40 minutes before the block ends: one second too early",
        base="block",
        edits={"NodeGroup chat-green": {_ENDS: "2099-01-01T00:39:59Z"}},
        says="chat-green: the end of its reservation is 2099-01-01T00:39:59Z, but must be at least 40 minutes after",
    ),
    Unsafe(
        policy="capacity-reservation-outlasts-promise",
        why="the keep-warm window was extended beyond the block",
        base="block",
        edits={"ListenerRule chat": {_KEEP_UNTIL: "2099-01-02T01:00:00+01:00"}},
        says="but must be at least 40 minutes after keep_until 2099-01-02T01:00:00+01:00",
    ),
    Unsafe(
        policy="capacity-reservation-outlasts-promise",
        why="the way back itself is in a block that ends too soon",
        base="block",
        edits={"NodeGroup chat-blue": {"capacityType": "CAPACITY_BLOCK", _ENDS: "2030-01-01T00:00:00Z"}},
        says="chat-blue: the end of its reservation is 2030-01-01T00:00:00Z",
    ),
)

_NOT_MOVED = 'spec.template.metadata.annotations["karpenter.sh/do-not-disrupt"]'
_GPU_LIMIT = 'spec.limits["nvidia.com/gpu"]'
_TYPES = "spec.template.spec.requirements[0].values"
_ON_KARPENTER = (
    Unsafe(
        policy="capacity-serving-pods-stay",
        why="Karpenter may move the pods that serve",
        base="karpenter",
        edits={"Deployment chat-blue": {_NOT_MOVED: GONE}},
        says="chat-blue: the annotation karpenter.sh/do-not-disrupt of its pods is not set, but must be",
    ),
    Unsafe(
        policy="capacity-serving-pods-stay",
        why="the candidate's pods are protected only for their first half an hour",
        base="karpenter",
        edits={"Deployment chat-green": {_NOT_MOVED: "30m"}},
        says="chat-green: the annotation karpenter.sh/do-not-disrupt of its pods is 30m, but must be",
    ),
    Unsafe(
        policy="capacity-serving-pods-stay",
        why="Karpenter may replace a tenth of the nodes that serve",
        base="karpenter",
        edits={"NodePool chat-blue": {"spec.disruption.budgets": [{"nodes": "10%"}], "#protect": True}},
        says="chat-blue: spec.disruption.budgets is",
    ),
    Unsafe(
        policy="capacity-serving-pods-stay",
        why="the way back is on nodes that Karpenter may empty",
        base="karpenter",
        edits={
            "ListenerRule chat": {
                f"{_WEIGHTS}[0].weight": 100,
                f"{_WEIGHTS}[1].weight": 0,
                _KEEP_UNTIL: LATER,
                _ROLLING_OUT: "false",
            },
            "NodePool chat-green": {"spec.disruption.budgets": [{"nodes": "0", "reasons": ["Drifted"]}]},
        },
        says="chat-green: spec.disruption.budgets is",
    ),
    Unsafe(
        policy="capacity-node-pool-holds-its-colors",
        why="Karpenter starts three nodes for four replicas",
        base="karpenter",
        edits={"NodePool chat-green": {_GPU_LIMIT: "3"}},
        says="chat-green: spec.limits.nvidia.com/gpu is 3, but must be at least 4: nodes for 4 replicas of green",
    ),
    Unsafe(
        policy="capacity-node-pool-holds-its-colors",
        why="four replicas with one GPU each need a node with four, and the limit is less",
        base="karpenter",
        edits={"NodePool chat-blue": {_GPU_LIMIT: "4", _TYPES: ["g6e.2xlarge", "g6e.48xlarge"]}},
        says="chat-blue: spec.limits.nvidia.com/gpu is 4, but must be at least 8: nodes for 4 replicas of blue",
    ),
    Unsafe(
        policy="capacity-node-pool-holds-its-colors",
        why="the autoscaler may start six replicas, and Karpenter brings nodes for the four that run",
        base="scaled-karpenter",
        edits={"NodePool chat-green": {_GPU_LIMIT: "4"}},
        says="chat-green: spec.limits.nvidia.com/gpu is 4, but must be at least 6: nodes for 6 replicas of green",
    ),
    Unsafe(
        policy="capacity-replica-fits-node",
        why="two GPUs a replica, on a node pool whose nodes have one",
        base="karpenter",
        edits={"Deployment chat-green": {f"{_REQUESTS}{_GPU}": "2", f"{_LIMITS}{_GPU}": "2"}},
        says="chat-green: GPUs of a replica is 2, but must be at most 1",
    ),
)

_STAY = (
    Unsafe(
        policy="capacity-serving-nodes-stay",
        why="nodes that serve would end before there are new ones",
        base="ramp",
        edits={"NodeGroup chat-blue": {"updateConfig.updateStrategy": "MINIMAL"}},
        says="chat-blue: updateConfig.updateStrategy is MINIMAL, but must be DEFAULT while its pods get requests",
    ),
    Unsafe(
        policy="capacity-serving-nodes-stay",
        why="an update of nodes that passes over disruption budgets",
        base="ramp",
        edits={"NodeGroup chat-green": {"forceUpdateVersion": True}},
        says="chat-green: forceUpdateVersion is true, but must be false while its pods get requests",
    ),
    Unsafe(
        policy="capacity-serving-nodes-stay",
        why="a shared group always has somebody on it who serves",
        base="shared",
        edits={"NodeGroup chat": {"updateConfig.updateStrategy": "MINIMAL"}},
        says="chat: updateConfig.updateStrategy is MINIMAL",
    ),
)

_WEIGHT = (
    Unsafe(
        policy="capacity-weight-needs-replicas",
        why="half of the requests for a quarter of the replicas",
        base="ramp",
        edits={
            "ListenerRule chat": {
                f"{_WEIGHTS}[0].weight": 50,
                f"{_WEIGHTS}[1].weight": 50,
                _GREEN: f"{GREEN_ID} x1",
            },
            "Deployment chat-green": {"spec.replicas": 1},
            "PodDisruptionBudget chat-green": {"spec.maxUnavailable": 0},
        },
        says="chat: the number of green replicas is 1, but must be at least 2 at weight 50, with 4 of blue",
    ),
    Unsafe(
        policy="capacity-weight-needs-replicas",
        why="one percent more than a replica's quarter",
        base="ramp",
        edits={
            "ListenerRule chat": {
                f"{_WEIGHTS}[0].weight": 74,
                f"{_WEIGHTS}[1].weight": 26,
                _GREEN: f"{GREEN_ID} x1",
            },
            "Deployment chat-green": {"spec.replicas": 1},
            "PodDisruptionBudget chat-green": {"spec.maxUnavailable": 0},
        },
        says="must be at least 2 at weight 26",
    ),
    Unsafe(
        policy="capacity-weight-needs-replicas",
        why="fewer than even the platform team's ratio asks for",
        base="ramp",
        edits={
            "ListenerRule chat": {
                f"{_WEIGHTS}[0].weight": 0,
                f"{_WEIGHTS}[1].weight": 100,
                _GREEN: f"{GREEN_ID} x2",
            },
            "Deployment chat-green": {"spec.replicas": 2},
        },
        config={"capacity-weight-needs-replicas": {"replicas_percent": 51}},
        says="must be at least 3 at weight 100, with 4 of blue",
    ),
    Unsafe(
        policy="capacity-weight-needs-replicas",
        why="more requests than two of four replicas carry, although the active colour has no more replicas",
        base="surge",
        edits={"ListenerRule chat": {f"{_WEIGHTS}[0].weight": 47, f"{_WEIGHTS}[1].weight": 53}},
        says="chat: the number of green replicas is 2, but must be at least 3 at weight 53, with 4 at full size",
    ),
    Unsafe(
        policy="capacity-weight-needs-replicas",
        why="the active colour has given up a replica that its share needs",
        base="surge",
        edits={
            "ListenerRule chat": {
                f"{_WEIGHTS}[0].weight": 53,
                f"{_WEIGHTS}[1].weight": 47,
                _BLUE: f"{BLUE_ID} x2",
            },
            "Deployment chat-blue": {"spec.replicas": 2},
        },
        says="chat: the number of blue replicas is 2, but must be at least 3 at weight 53, with 4 at full size",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="the autoscaler may start six replicas, and there is room for the four that run",
        base="scaled",
        edits={"NodeGroup chat-green": {"scalingConfig.maxSize": 5, "scalingConfig.desiredSize": 5}},
        also=("capacity-desired-holds-running-colors",),
        says="chat-green: scalingConfig.maxSize is 5, but must be at least 6: room for 6 replicas of green",
    ),
    Unsafe(
        policy="capacity-maximum-holds-both-colors",
        why="without a ceiling, KEDA starts up to 100",
        base="scaled",
        edits={"ScaledObject chat-green": {"spec.maxReplicaCount": GONE}},
        also=("capacity-desired-holds-running-colors",),
        says="chat-green: scalingConfig.maxSize is 6, but must be at least 100",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="the autoscaler may go below what the rule says",
        base="scaled",
        edits={"ScaledObject chat-green": {"spec.minReplicaCount": 2}},
        says=f"the tag of green is {GREEN_ID} x4, but must be {GREEN_ID} x2",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="a colour with half of the requests is paused at no replicas",
        base="scaled",
        edits={
            "ScaledObject chat-green": {"metadata.annotations": {"autoscaling.keda.sh/paused-replicas": "0"}},
        },
        says=f"the tag of green is {GREEN_ID} x4, but must be {GREEN_ID} parked",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="without a floor, KEDA may end all replicas",
        base="scaled",
        edits={"ScaledObject chat-green": {"spec.minReplicaCount": GONE}},
        says=f"the tag of green is {GREEN_ID} x4, but must be {GREEN_ID} parked",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="a ScaledObject of another Deployment: this one has Kubernetes' default, one replica",
        base="scaled",
        edits={"ScaledObject chat-green": {"spec.scaleTargetRef.name": "chat-blue-2"}},
        also=("serving-disruption-budget",),
        says=f"the tag of green is {GREEN_ID} x4, but must be {GREEN_ID} x1",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="a ScaledObject in another namespace scales nothing here",
        base="scaled",
        edits={"ScaledObject chat-green": {"metadata.namespace": "other"}},
        also=("serving-disruption-budget",),
        says=f"the tag of green is {GREEN_ID} x4, but must be {GREEN_ID} x1",
    ),
    Unsafe(
        policy="capacity-weight-needs-replicas",
        why="the candidate may fall to its minimum although it gets half of the requests",
        base="scaled",
        edits={
            "ListenerRule chat": {_GREEN: f"{GREEN_ID} x1"},
            "ScaledObject chat-green": {"spec.minReplicaCount": 1},
            "PodDisruptionBudget chat-green": {"spec.maxUnavailable": 0},
        },
        says="the number of green replicas is 1, but must be at least 2 at weight 50, with 4 of blue",
    ),
)

_RUNS = (
    Unsafe(
        policy="capacity-active-color-runs",
        why="at the last step, before promotion, the way back was parked",
        base="ramp",
        edits={
            "ListenerRule chat": {
                f"{_WEIGHTS}[0].weight": 0,
                f"{_WEIGHTS}[1].weight": 100,
                _BLUE: f"{BLUE_ID} parked",
            },
            "Deployment chat-blue": {"spec.replicas": 0},
        },
        says=f"chat: blue, the active colour, is {BLUE_ID} parked, but must be running while green has weight 100",
    ),
    Unsafe(
        policy="capacity-active-color-runs",
        why="the colour that is called active was never used",
        base="ramp",
        edits={
            "ListenerRule chat": {f"{_WEIGHTS}[0].weight": 0, f"{_WEIGHTS}[1].weight": 100, _BLUE: "unused"},
            "Deployment chat-blue": GONE,
        },
        says="chat: blue, the active colour, is unused, but must be running",
    ),
)

_TRUTH = (
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="the first percent of the requests rests on a wrong tag",
        base="public",
        edits={"Deployment chat-green": {"spec.replicas": 3}},
        says="the tag of green is",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="the tag names more replicas than the candidate has",
        base="ramp",
        edits={"Deployment chat-green": {"spec.replicas": 3}},
        says=f"chat: the tag of green is {GREEN_ID} x4, but must be {GREEN_ID} x3, as its Deployment",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="the tag names another release than the one that gets requests",
        base="ramp",
        edits={"ListenerRule chat": {_GREEN: f"{BLUE_ID} x4"}},
        says=f"but must be {GREEN_ID} x4, as its Deployment",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="while requests go to both, the active colour is what shares are measured by",
        base="ramp",
        edits={"ListenerRule chat": {_BLUE: f"{BLUE_ID} x3"}},
        says=f"the tag of blue is {BLUE_ID} x3, but must be {BLUE_ID} x4",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="the way back that the tag speaks of is parked",
        base="promoted",
        edits={"Deployment chat-blue": {"spec.replicas": 0}},
        says=f"the tag of blue is {BLUE_ID} x4, but must be {BLUE_ID} parked",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="the way back is there in the tag alone",
        base="promoted",
        edits={"Deployment chat-blue": GONE},
        says=f"the tag of blue is {BLUE_ID} x4, but must be unused",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="a Deployment of the way back that names no release",
        base="promoted",
        edits={"Deployment chat-blue": {f'{_LABELS}["{_RELEASE}"]': GONE}},
        also=("release-named",),
        says="must be unnamed x4, as its Deployment",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="the colour with all the requests has no replicas",
        base="reaped",
        edits={"Deployment chat-green": {"spec.replicas": 0}},
        says=f"the tag of green is {GREEN_ID} x4, but must be {GREEN_ID} parked",
    ),
    Unsafe(
        policy="capacity-tags-tell-the-truth",
        why="the colour with all the requests is said to be parked",
        base="first",
        edits={"ListenerRule chat": {_BLUE: f"{BLUE_ID} parked"}},
        also=("traffic-weight-needs-release",),
        says="the tag of blue is",
    ),
)

UNSAFE = (
    *_FITS,
    *_TEMPLATES,
    *_MAXIMUM,
    *_DESIRED,
    *_GROUPS,
    *_RESERVATIONS,
    *_ON_KARPENTER,
    *_STAY,
    *_WEIGHT,
    *_RUNS,
    *_TRUTH,
)

SAFE = (
    Safe(
        why="a replica that fills its node to the last millicpu and mebibyte",
        base="ramp",
        edits={"Deployment chat-blue": {f"{_REQUESTS}.cpu": "7610m", f"{_REQUESTS}.memory": "59115Mi"}},
    ),
    Safe(
        why="a pod that asks for no CPU and no memory fits by its GPU",
        base="ramp",
        edits={"Deployment chat-blue": {f"{_REQUESTS}.cpu": GONE, f"{_REQUESTS}.memory": GONE}},
    ),
    Safe(
        why="quantities written in other units",
        base="ramp",
        edits={"Deployment chat-blue": {f"{_REQUESTS}.cpu": 7.61, f"{_REQUESTS}.memory": "59G"}},
    ),
    Safe(
        why="the larger of two types holds more, the smaller one just enough",
        base="ramp",
        edits={"NodeGroup chat-blue": {"instanceTypes": ["g6e.2xlarge", "g6e.12xlarge"]}},
    ),
    Safe(
        why="a launch template of another stack says what the nodes are",
        base="ramp",
        edits={
            "NodeGroup chat-blue": {"instanceTypes": GONE, "scalingConfig.maxSize": 1, "scalingConfig.desiredSize": 1},
            "LaunchTemplate chat-blue": GONE,
        },
    ),
    Safe(
        why="nodes with four GPUs take four replicas each",
        base="ramp",
        edits={
            "NodeGroup chat-green": {
                "instanceTypes": ["g6e.12xlarge"],
                "scalingConfig.maxSize": 1,
                "scalingConfig.desiredSize": 1,
            }
        },
    ),
    Safe(
        why="a maximum with the spare node that the platform team wants",
        base="ramp",
        edits={
            "NodeGroup chat-blue": {"scalingConfig.maxSize": "5"},
            "NodeGroup chat-green": {"scalingConfig.maxSize": 5},
        },
        config={"capacity-maximum-holds-both-colors": {"spare_nodes": 1}},
    ),
    Safe(
        why="two groups of one colour, in two zones, have four nodes together",
        base="ramp",
        edits={"NodeGroup chat-green": {"scalingConfig.maxSize": 2, "scalingConfig.desiredSize": 2}},
        added=(_in_zone_b(2),),
    ),
    Safe(
        why="nodes of the service on which no colour runs: its gateway, say",
        base="ramp",
        added=(
            Declared(
                type="aws:eks/nodeGroup:NodeGroup",
                name="gateway",
                props={
                    "instanceTypes": ["m7i.large"],
                    "launchTemplate": {"id": "lt-0a1b2c3d4e5f60718", "version": "1"},
                    "scalingConfig": {"minSize": 0, "maxSize": 1, "desiredSize": 1},
                    "tags": {"vllm-blue-green/service": "chat"},
                },
                protect=True,
            ),
        ),
    ),
    Safe(
        why="an autoscaler owns the desired size",
        base="ramp",
        edits={
            "NodeGroup chat-green": {
                "scalingConfig.desiredSize": 0,
                "#ignore_changes": ('scalingConfig["desiredSize"]',),
            }
        },
    ),
    Safe(
        why="an autoscaler owns all sizes",
        base="ramp",
        edits={"NodeGroup chat-green": {"scalingConfig.desiredSize": 0, "#ignore_changes": ("scalingConfig",)}},
    ),
    Safe(
        why="no change of the group is made here at all",
        base="ramp",
        edits={"NodeGroup chat-green": {"scalingConfig.desiredSize": 0, "#ignore_changes": ("*",)}},
    ),
    Safe(
        why="a shared group with room for one replica of the parked colour, whose size is unknown",
        base="shared",
        edits={
            "NodeGroup chat": {"scalingConfig.maxSize": 5, "scalingConfig.desiredSize": 5},
            "Deployment chat-green": {"spec.replicas": 0},
            "ListenerRule chat": {_GREEN: f"{GREEN_ID} parked"},
        },
    ),
    Safe(
        why="node groups that say their colour by their nodes' labels alone",
        base="ramp",
        edits={"NodeGroup chat-green": {f'tags["{_COLOR}"]': GONE}},
    ),
    Safe(
        why="node groups of another stack, or nodes of another kind",
        base="ramp",
        edits={"NodeGroup chat-blue": GONE, "NodeGroup chat-green": GONE},
    ),
    Safe(
        why="a rule of another stack: this stack does not show whether green should exist",
        base="ramp",
        edits={"ListenerRule chat": GONE, "NodeGroup chat-green": GONE},
    ),
    Safe(
        why="a block that ends exactly 40 minutes after the keep-warm window",
        base="block",
        edits={"NodeGroup chat-green": {_ENDS: "2099-01-01T00:40:00Z"}},
    ),
    Safe(
        why="nodes outlive an On-Demand reservation as ordinary ones",
        base="reserved",
        edits={
            "NodeGroup chat-green": {_ENDS: "2030-01-01T00:00:00Z"},
            "ListenerRule chat": {_KEEP_UNTIL: LATER},
        },
    ),
    Safe(
        why="a block that ends before a keep-warm window that is over",
        base="block",
        edits={
            "ListenerRule chat": {_KEEP_UNTIL: "2020-01-01T00:00:00Z"},
            "NodeGroup chat-green": {_ENDS: "2019-01-01T00:00:00Z"},
        },
    ),
    Safe(
        why="a block without nodes has none to lose",
        base="block",
        edits={
            "NodeGroup chat-blue": {
                "capacityType": "CAPACITY_BLOCK",
                _ENDS: "2030-01-01T00:00:00Z",
                "scalingConfig.desiredSize": 0,
                "#ignore_changes": ("scalingConfig.desiredSize",),
            }
        },
    ),
    Safe(
        why="nodes without a reservation need no word about its end",
        base="reserved",
        edits={
            "LaunchTemplate chat-green": {
                "capacityReservationSpecification": {"capacityReservationPreference": "open"}
            },
            "NodeGroup chat-green": {_ENDS: GONE},
        },
    ),
    Safe(
        why="nodes of a colour without requests may be exchanged as one likes",
        base="promoted",
        edits={"NodeGroup chat-blue": {"updateConfig.updateStrategy": "MINIMAL", "forceUpdateVersion": True}},
    ),
    Safe(
        why="a replica for a quarter of the requests",
        base="ramp",
        edits={
            "ListenerRule chat": {_GREEN: f"{GREEN_ID} x1"},
            "Deployment chat-green": {"spec.replicas": 1},
            "PodDisruptionBudget chat-green": {"spec.maxUnavailable": 0},
        },
    ),
    Safe(
        why="a release that needs half the replicas, where the platform team says so",
        base="ramp",
        edits={
            "ListenerRule chat": {
                f"{_WEIGHTS}[0].weight": 0,
                f"{_WEIGHTS}[1].weight": 100,
                _GREEN: f"{GREEN_ID} x2",
            },
            "Deployment chat-green": {"spec.replicas": 2},
        },
        config={"capacity-weight-needs-replicas": {"replicas_percent": 50}},
    ),
    Safe(
        why="both colours carry a little more than their shares at full size, within max_utilization_percent",
        base="surge",
        edits={"ListenerRule chat": {f"{_WEIGHTS}[0].weight": 48, f"{_WEIGHTS}[1].weight": 52}},
    ),
    Safe(
        why="a number that was declared before the autoscaler came says nothing any more",
        base="scaled",
        edits={"Deployment chat-green": {"spec.replicas": 1}},
    ),
    Safe(
        why="a larger green may be ramped as well",
        base="ramp",
        edits={
            "ListenerRule chat": {_GREEN: f"{GREEN_ID} x6"},
            "Deployment chat-green": {"spec.replicas": 6},
            "NodeGroup chat-green": {"scalingConfig.maxSize": 6, "scalingConfig.desiredSize": 6},
        },
    ),
    Safe(
        why="a rollback in the middle of a deploy: the tag is ahead of a colour that is not needed",
        base="ramp",
        edits={
            "ListenerRule chat": {f"{_WEIGHTS}[0].weight": 100, f"{_WEIGHTS}[1].weight": 0, _ROLLING_OUT: "false"},
            "Deployment chat-green": {"spec.replicas": 0},
        },
    ),
    Safe(
        why="a rollback in the middle of a first deploy: the colour's pods are not there yet",
        base="ramp",
        edits={
            "ListenerRule chat": {f"{_WEIGHTS}[0].weight": 100, f"{_WEIGHTS}[1].weight": 0, _ROLLING_OUT: "false"},
            "Deployment chat-green": GONE,
        },
    ),
    Safe(
        why="a rollback while the config is ahead by a size that was never applied",
        base="reaped",
        edits={"ListenerRule chat": {_GREEN: f"{GREEN_ID} x6"}},
    ),
    Safe(
        why="on Karpenter's nodes, a candidate that is not needed yet may be moved",
        base="karpenter",
        edits={
            "ListenerRule chat": {f"{_WEIGHTS}[0].weight": 100, f"{_WEIGHTS}[1].weight": 0, _ROLLING_OUT: "false"},
            "Deployment chat-green": {_NOT_MOVED: GONE},
            "NodePool chat-green": {"spec.disruption.budgets": GONE},
        },
    ),
    Safe(
        why="a node pool without a limit, of types that are not listed",
        base="karpenter",
        edits={
            "NodePool chat-blue": {_GPU_LIMIT: GONE},
            "NodePool chat-green": {_GPU_LIMIT: "1", "spec.template.spec.requirements": []},
        },
    ),
    Safe(
        why="pods that another tool deploys",
        base="promoted",
        edits={"Deployment chat-blue": GONE, "Deployment chat-green": GONE},
    ),
    Safe(
        why="a new stack whose weight is on a colour that is not in use yet",
        base="first",
        edits={
            "ListenerRule chat": {_BLUE: "unused", _ACTIVE: "green"},
            "Deployment chat-blue": GONE,
        },
    ),
)
