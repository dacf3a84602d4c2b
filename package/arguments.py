"""The inputs, written by ``python -m package.generate`` from the typed settings: do not edit."""

from enum import Enum
from typing import Any, NotRequired, TypedDict

import pulumi


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


class HeadroomMode(Enum):
    """One of: always, on_rollout, reserved."""

    always = "always"
    on_rollout = "on_rollout"
    reserved = "reserved"


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
    load_balancer_subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Subnets for the load balancer, in two zones at least."""
    internet_facing: NotRequired[bool]
    """True: the load balancer gets public addresses. Default: false."""
    certificate_arn: NotRequired[pulumi.Input[str]]
    """ACM certificate; with it the listener speaks HTTPS."""
    client_cidrs: NotRequired[list[str]]
    """Networks that may reach the load balancer. Default: 10.0.0.0/8."""
    vpc_cni_uses_node_role: NotRequired[bool]
    """True: the VPC CNI has no IAM role of its own and needs the nodes' one. Default: false."""
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
    node_volume_gib: NotRequired[int]
    """Root volume of a node: image, weights and caches. Default: 200."""
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
    endpoint_url: NotRequired[str]
    """How clients reach the service. Default: the load balancer's DNS name."""
    candidate_route_secret: pulumi.Input[str]
    """Secret part of the header that reaches a colour at any weight: 16 to 100 letters, digits, - or _."""
