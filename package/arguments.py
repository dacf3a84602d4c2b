"""The inputs, written by ``python -m package.generate`` from the typed settings: do not edit."""

from enum import Enum
from typing import Any, NotRequired, TypedDict

import pulumi


class AccessLogs(TypedDict):
    """Where the load balancer writes its access logs; the bucket's policy must let it."""

    bucket: str
    """S3 bucket in the load balancer's region."""
    prefix: NotRequired[str]
    """Key prefix in the bucket; empty: none."""


class ActiveColor(Enum):
    """One of: blue, green."""

    blue = "blue"
    green = "green"


class Release(TypedDict):
    """One version of the model service. Its digest is the release id."""

    model: str
    """Model repository or s3:// path that vLLM serves."""
    model_revision: str
    """Pinned revision of the model (a commit, never a branch)."""
    image: str
    """vLLM image, pinned by digest (name@sha256:…)."""
    engine_args: NotRequired[list[str]]
    """Further `vllm serve` arguments, e.g. --max-model-len=8192."""
    prompts: NotRequired[dict[str, str]]
    """Prompt files by name, mounted at /etc/vllm/prompts; chat_template.jinja is the chat template."""
    sampling: NotRequired[dict[str, Any]]
    """Sampling defaults (vLLM generation config), e.g. temperature."""
    lora_adapters: NotRequired[dict[str, str]]
    """LoRA adapters: name to repository or path."""
    weights_gib: NotRequired[float]
    """Weights as loaded, over all GPUs of a replica; a model that does not fit is then warned of."""
    kv_cache_kib_per_token: NotRequired[float]
    """KV cache of one token, over all layers and GPUs of a replica, in its --kv-cache-dtype."""


class ReservationKind(Enum):
    """One of: on_demand, capacity_block."""

    on_demand = "on_demand"
    capacity_block = "capacity_block"


class Reservation(TypedDict):
    """What a colour's nodes run in, and until when; its end is required so that nobody forgets it."""

    kind: ReservationKind
    """An On-Demand Capacity Reservation, or a Capacity Block for ML."""
    id: NotRequired[str]
    """The reservation."""
    resource_group_arn: NotRequired[str]
    """A resource group of such reservations, instead of an id."""
    subnet_id: NotRequired[str]
    """The subnet in the reservation's zone; required with an id."""
    ends: str
    """RFC 3339 time at which it ends."""


class ColorSettings(TypedDict):
    """One colour: what it serves, at which size, and whether it is up."""

    release: NotRequired[Release]
    """What this colour serves; none: it has never been used."""
    replicas: NotRequired[int]
    """Replicas at full size. Default: 1."""
    parked: NotRequired[bool]
    """True: no replicas run, the release is kept for reference. Default: false."""
    provisioned: NotRequired[bool]
    """Whether its nodes are up (modes on_rollout and reserved). Default: when it has a release."""
    reservation: NotRequired[Reservation]
    """What its nodes run in (mode reserved); none: plain On-Demand."""
    node_release_version: NotRequired[str]
    """AMI release of its nodes. Default: the newest, anew whenever the launch template changes."""


class HeadroomMode(Enum):
    """One of: always, on_rollout, reserved."""

    always = "always"
    on_rollout = "on_rollout"
    reserved = "reserved"


class NodeGroups(Enum):
    """One of: per_color, shared."""

    per_color = "per_color"
    shared = "shared"


class SecretReference(TypedDict):
    """Where a secret value is: never the value itself."""

    name: str
    """An existing Secret in the service's namespace."""
    key: str
    """The key in that Secret that holds the value."""


class PodSettings(TypedDict):
    """The same for both colours, so that a release is all that tells them apart."""

    api_key_secret: NotRequired[SecretReference]
    """Where vLLM's API key is; clients then need it. A new value needs new pods."""
    hub_token_secret: NotRequired[SecretReference]
    """Where the model hub's token is (HF_TOKEN), for gated models."""
    model_cache_claim: NotRequired[str]
    """An existing PersistentVolumeClaim (ReadWriteMany) for the weights that all pods share. Default: each pod fetches its own."""
    compile_cache_claim: NotRequired[str]
    """An existing PersistentVolumeClaim (ReadWriteMany) for compiled kernels, in a folder for each image. Default: each pod compiles its own."""
    ingress_cidrs: NotRequired[list[str]]
    """Networks from which requests reach the pods: narrow them to the load balancer's subnets. Default: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10."""
    monitoring_namespace: NotRequired[str]
    """Namespace whose pods may reach the pods too: Prometheus's. Default: monitoring."""
    pod_monitor: NotRequired[bool]
    """True: declare a PodMonitor, which the Prometheus Operator's CRD must be there for. Default: false."""
    pod_monitor_labels: NotRequired[dict[str, str]]
    """Labels of the PodMonitors that your Prometheus selects them by, e.g. release: prometheus."""
    scrape_interval_seconds: NotRequired[int]
    """How often a PodMonitor has the pods' metrics read. Default: 15."""


class ListenerSettings(TypedDict):
    """An existing listener that a service joins, in place of a load balancer of its own."""

    arn: str
    """The listener; only rules are added to it."""
    security_group_id: str
    """Security group of its load balancer, which the pods let in."""
    idle_timeout_seconds: int
    """Idle timeout of its load balancer: the pods must keep connections open for longer."""
    rule_priority: int
    """Priority of the weighted rule; the candidate routes take the two numbers before it."""
    host: NotRequired[str]
    """Only requests for this host; several services need one each."""


class AlarmSettings(TypedDict):
    """When an alarm rings, and who hears it."""

    topic_arns: NotRequired[list[str]]
    """SNS topics that hear of an alarm and of its end; none: it is only shown."""
    window_minutes: NotRequired[int]
    """An alarm rings when most of the last so many minutes are over its limit. Default: 5."""
    error_rate_limit_percent: NotRequired[float]
    """Highest share of 5xx answers of a colour's targets. Default: 1."""
    response_time_p95_limit_seconds: NotRequired[float]
    """Highest 95th percentile of the time until a target's answer begins. Default: half of max_stream_seconds."""
    load_balancer_errors_limit_per_minute: NotRequired[int]
    """Most 5xx answers of a load balancer of our own making. Default: 0."""


class BlueGreenServiceArgs(TypedDict):
    """What exists already, the service on it, and the secret part of its candidate routes."""

    cluster_name: pulumi.Input[str]
    """Existing EKS cluster."""
    cluster_security_group_id: pulumi.Input[str]
    """Security group that EKS gave the cluster's nodes and pods."""
    vpc_id: pulumi.Input[str]
    """VPC of the cluster."""
    node_subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Private subnets for the GPU nodes."""
    load_balancer_subnet_ids: NotRequired[pulumi.Input[list[pulumi.Input[str]]]]
    """Subnets for the load balancer, in two zones at least; needed where no listener is joined."""
    internet_facing: NotRequired[bool]
    """True: the load balancer gets public addresses. Default: false."""
    certificate_arn: NotRequired[pulumi.Input[str]]
    """ACM certificate; with it the listener speaks HTTPS."""
    client_cidrs: NotRequired[list[str]]
    """Networks that may reach the load balancer. Default: 10.0.0.0/8."""
    access_logs: NotRequired[AccessLogs]
    """Where load balancers write their access logs. Default: nowhere."""
    vpc_cni_uses_node_role: NotRequired[bool]
    """True: the VPC CNI has no IAM role of its own and needs the nodes' one. Default: false."""
    node_permissions_boundary_arn: NotRequired[str]
    """IAM policy that bounds the nodes' roles, where the account demands one."""
    protect: NotRequired[bool]
    """Refuse to delete what requests pass through; set it to false before a teardown. Default: true."""
    active_color: NotRequired[ActiveColor]
    """The promoted colour. Default: blue."""
    green_weight: NotRequired[int]
    """Percent of new requests that go to green; blue gets the rest. Default: 0."""
    rollout_serial: NotRequired[int]
    """Counts the scripts' writes; a lower one is stale. Default: 0."""
    keep_until: NotRequired[str]
    """RFC 3339 time until which the idle colour stays warm; empty: no such promise."""
    announced: NotRequired[str]
    """Permission for one unusual change: '<serial> <reason>'; void once the serial moves on."""
    rolling_out: NotRequired[bool]
    """True while a rollout moves the weights to the idle colour; the scripts write it. Default: false."""
    max_step_points: NotRequired[int]
    """Most that a plain `pulumi up` may raise the idle colour's weight by, in percent. Default: 50."""
    blue: NotRequired[ColorSettings]
    """The blue pool."""
    green: NotRequired[ColorSettings]
    """The green pool."""
    namespace: NotRequired[str]
    """Kubernetes namespace. Default: the service's name."""
    served_model_name: NotRequired[str]
    """Model name that clients ask for, the same in both colours. Default: the service's."""
    instance_type: str
    """EC2 instance type of the GPU nodes."""
    gpus_per_replica: NotRequired[int]
    """GPUs of one replica (tensor parallel size). Default: 1."""
    replica_millicpus: NotRequired[int]
    """CPU request of one replica, in thousandths. Default: 3000."""
    replica_memory_mib: NotRequired[int]
    """Memory request of one replica. Default: 12288."""
    spare_nodes: NotRequired[int]
    """Nodes beyond full size that each pool may grow by. Default: 0."""
    headroom_mode: NotRequired[HeadroomMode]
    """When the second pool's nodes are up: always, on_rollout or reserved. Default: on_rollout."""
    node_groups: NotRequired[NodeGroups]
    """A node group for each colour, or one for both (mode always); set once, for good. Default: per_color."""
    node_volume_gib: NotRequired[int]
    """Root volume of a node. Default: room for two images, and weights that fill the GPUs."""
    shared_memory_gib: NotRequired[int]
    """Size of /dev/shm in each replica. Default: 8."""
    max_stream_seconds: NotRequired[int]
    """Longest request to protect, queueing included. Default: 120."""
    deregistration_propagation_seconds: NotRequired[int]
    """How long requests still arrive after a target is deregistered. Default: 30."""
    cold_start_seconds: NotRequired[int]
    """Longest time from container start to the first answer. Default: 600."""
    node_start_seconds: NotRequired[int]
    """Longest time until a new node has joined and pulled the image. Default: 900."""
    readiness_threshold_seconds: NotRequired[int]
    """Longest that the synthetic inference of the readiness probe may take. Default: 20."""
    probe_period_seconds: NotRequired[int]
    """Interval of the pods' probes. Default: 10."""
    health_check_interval_seconds: NotRequired[int]
    """Interval of the load balancer's health checks. Default: 10."""
    pods: NotRequired[PodSettings]
    """What the pods need besides a release: secrets, caches, who may reach them."""
    endpoint_url: NotRequired[str]
    """How clients reach the service. Default: the load balancer's DNS name."""
    listener: NotRequired[ListenerSettings]
    """Existing listener to join. Default: a load balancer of the service's own."""
    alarms: NotRequired[AlarmSettings]
    """When an alarm rings, and who hears it."""
    candidate_route_secret: pulumi.Input[str]
    """Secret part of the header that reaches a colour at any weight: 16 to 100 letters, digits, - or _."""
