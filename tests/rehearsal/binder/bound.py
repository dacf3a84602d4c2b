"""A target group bound to the Service of a namespace, with pods whose state a test controls at every moment.

The pods are bare API objects on a node without a kubelet. At the address of each, a small HTTP server answers the load
balancer's health checks.
"""

from collections.abc import Mapping
from typing import Any

from rehearsal.kube.client import STRATEGIC_MERGE_PATCH, Json, KubeClient, KubeError
from tests.rehearsal.aws.account import Account
from tests.rehearsal.aws.farm import PORT, Farm, Target
from tests.rehearsal.world_parts import condition, server_pod, wait_for

API_VERSION = "elbv2.k8s.aws/v1beta1"
KIND = "TargetGroupBinding"
GATE = "target-health.elbv2.k8s.aws/chat"


class Node:
    """A ready Node object and its instance in AWS."""

    def __init__(self, kube: KubeClient, account: Account, name: str) -> None:
        self._kube = kube
        self._ec2 = account.ec2
        self.name = name
        seeded = account.seeded
        instance = self._ec2.run_instances(
            ImageId="ami-0123456789abcdef0",
            InstanceType="g6e.xlarge",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": seeded.private_subnet_ids[0],
                    "Groups": [seeded.cluster_security_group_id],
                }
            ],
        )["Instances"][0]
        self._identity = str(instance.get("InstanceId"))
        self._interface = str(instance.get("NetworkInterfaces", [])[0].get("NetworkInterfaceId"))
        kube.create(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name},
                "spec": {"providerID": f"aws:///us-east-1a/{self._identity}"},
                "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]},
            }
        )

    def add_address(self, address: str) -> None:
        self._ec2.assign_private_ip_addresses(NetworkInterfaceId=self._interface, PrivateIpAddresses=[address])

    def delete(self) -> None:
        self._kube.delete("v1", "Node", None, self.name)
        self._ec2.terminate_instances(InstanceIds=[self._identity])


class Bound:
    """A Service, its TargetGroupBinding, and their pods."""

    def __init__(self, kube: KubeClient, account: Account, farm: Farm, node: Node, namespace: str, arn: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.arn = arn
        self._account = account
        self._farm = farm
        self._node = node
        self.targets_of: dict[str, Target] = {}

    def create_service(self) -> None:
        ports = [{"name": "http", "port": 80, "targetPort": "http"}]
        self._create("v1", "Service", {"selector": {"app": "chat"}, "ports": ports})

    def create_binding(self, **spec: Any) -> None:
        """Bind the target group to the Service. ``spec`` extends or changes the binding."""
        usual = {"targetGroupARN": self.arn, "targetType": "ip", "serviceRef": {"name": "chat", "port": "http"}}
        self._create(API_VERSION, KIND, usual | spec)

    def start_pod(self, name: str, *, known_to_aws: bool = True) -> str:
        """Create a pod whose containers are not ready yet, and return its address."""
        target = self.targets_of[name] = self._farm.start(name)
        if known_to_aws:
            self._node.add_address(target.address)
        pod = server_pod(name, self.namespace, nodeName=self._node.name, readinessGates=[{"conditionType": GATE}])
        pod["metadata"]["labels"] = {"app": "chat"}
        self.kube.create(pod)
        self._set_status(name, {"phase": "Running", "podIP": target.address, "podIPs": [{"ip": target.address}]})
        return target.address

    def set_containers_ready(self, name: str, ready: bool = True) -> None:
        status = "True" if ready else "False"
        self._set_status(name, {"conditions": [{"type": "ContainersReady", "status": status}]})

    def gate(self, name: str) -> tuple[str | None, str | None, str | None]:
        """Return the status, reason and message of a pod's readiness gate."""
        found = condition(self.kube.get("v1", "Pod", self.namespace, name), GATE)
        return found.get("status"), found.get("reason"), found.get("message")

    def binding(self) -> Json:
        return self.kube.get(API_VERSION, KIND, self.namespace, "chat")

    def checkpoint(self) -> str:
        """Return the checkpoint that the controller wrote after its last successful reconciliation."""
        return self.binding()["metadata"].get("annotations", {}).get("elbv2.k8s.aws/checkpoint", "")

    def events(self) -> set[tuple[str, str, str]]:
        """Return the severity, reason and message of all events about the binding."""
        events = self.kube.list("v1", "Event", self.namespace)["items"]
        return {(one["type"], one["reason"], one["message"]) for one in events if one["involvedObject"]["kind"] == KIND}

    def states(self, arn: str | None = None) -> Mapping[str, str]:
        """Return the state of every target by its address."""
        answer = self._account.elbv2.describe_target_health(TargetGroupArn=arn or self.arn)
        found = {}
        for one in answer["TargetHealthDescriptions"]:
            target = one.get("Target", {"Id": ""})
            assert target.get("Port") == PORT
            found[target["Id"]] = one.get("TargetHealth", {}).get("State", "")
        return found

    def registered(self) -> set[str]:
        """Return the addresses of the targets that do not drain."""
        return {address for address, state in self.states().items() if state != "draining"}

    def ingress(self) -> set[tuple[str, int, int, str, str]]:
        """Return the ingress of the pods' security group: protocol, first and last port, source group, description."""
        group = self._account.seeded.cluster_security_group_id
        found = self._account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        return {
            (
                entry.get("IpProtocol", ""),
                entry.get("FromPort", 0),
                entry.get("ToPort", 0),
                pair.get("GroupId", ""),
                pair.get("Description", ""),
            )
            for entry in found.get("IpPermissions", [])
            for pair in entry.get("UserIdGroupPairs", [])
        }

    def delete_binding(self) -> None:
        """Delete the binding and wait until the controller releases it."""
        try:
            self.kube.delete(API_VERSION, KIND, self.namespace, "chat")
        except KubeError as error:
            if error.status != 404:
                raise
        wait_for(self._is_unbound, "the binding is gone")

    def _is_unbound(self) -> bool:
        try:
            self.binding()
        except KubeError as error:
            return error.status == 404
        return False

    def _create(self, api_version: str, kind: str, spec: Json) -> None:
        metadata = {"name": "chat", "namespace": self.namespace}
        self.kube.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})

    def _set_status(self, name: str, status: Json) -> None:
        self.kube.patch(
            "v1",
            "Pod",
            self.namespace,
            name,
            {"status": status},
            subresource="status",
            content_type=STRATEGIC_MERGE_PATCH,
        )
