"""Settings of one service: its two colours, traffic, sizes and times."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.forms import (
    AMI_RELEASE,
    ANNOUNCEMENT,
    BASE_URL,
    MODEL_NAME,
    NAMESPACE,
    PATH,
    SUBNET,
    TIME_OR_EMPTY,
    Form,
    all_different,
)
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import UNSET, Violation, wrong
from components.config.release.release import Release
from components.config.sections.autoscaling_settings import AutoscalingSettings
from components.config.sections.cohort_settings import COHORT, cohort_rule_violations
from components.config.sections.existing_nodes import ZONE_LABEL, ExistingNodes, KarpenterNodePool
from components.config.sections.node_settings import NodeSettings
from components.config.sections.pod_settings import PodSettings
from components.config.sections.reservation import Reservation
from components.config.sections.rollout_settings import RolloutSettings
from components.config.sections.router_settings import AlarmSettings, ListenerSettings
from components.domain.balancer.balancer_dashboard import DashboardLimits
from components.domain.balancer.listener_rules import OWN_PRIORITIES, RulePriorities
from components.domain.balancer.traffic import ColorState, Traffic
from components.domain.capacity.capacity import (
    ColorDemand,
    HeadroomMode,
    NodeResource,
    PoolSize,
    ReplicaShape,
    gpu_types_like,
    headroom_usd_per_hour,
    instance_type,
    memory_share_mib,
    misfit_fix,
    misfits,
    nodes_for,
    pool_sizes,
    replicas_per_node,
    shared_pool_size,
    smallest_of,
    usd_per_hour,
)
from components.domain.capacity.ladder import Ladder, LadderError, SharedCapacity, make_ladder, smallest_surge, way_back
from components.domain.moments import format_rfc3339
from components.domain.naming import COLORS, Color, other_color, pool_labels
from components.domain.nodes.gpu_instances import INSTANCE_TYPES, GpuInstance
from components.domain.nodes.host_memory import OBJECT_STORES, HostMemory, host_memory
from components.domain.nodes.root_volume import load_warnings, root_volume_gib
from components.domain.nodes.tolerations import GPU_TOLERATION, Toleration
from components.domain.pods.drain_chain import EXIT_MARGIN_SECONDS, DrainChain, drain_chain, longest_stream_seconds
from components.domain.pods.pod_times import PodTimes, pod_times
from components.domain.vllm.serve_options import last_value, serve_options

MAX_SERIAL: Final = 1_000_000_000
MAX_START_SECONDS: Final = 86_400

# What a rollout or a person changes to move traffic.
_MOVING: Final = (
    "active_color",
    "green_weight",
    "rollout_serial",
    "keep_until",
    "rolling_out",
    "cohorts_on_candidate",
    "announced",
    "evidence",
)

# What only node groups of the program's own can follow: settings of a service, and those of a colour.
_OF_NODE_GROUPS: Final = ("node_groups", "spare_nodes", "nodes")
_OF_COLORED_NODE_GROUPS: Final = ("provisioned", "reservation", "node_release_version", "node_subnet_ids")

INSTANCE_TYPE: Final = Form(
    "an EC2 instance type with whole NVIDIA GPUs",
    "g6e.2xlarge",
    lambda name: None if name in INSTANCE_TYPES else gpu_types_like(name),
)

_TOPOLOGY: Final = (ZONE_LABEL, "kubernetes.io/hostname")

_SIZES: Final[dict[NodeResource, str]] = {
    "GPUs": "gpus_per_replica",
    "millicpus": "replica_millicpus",
    "MiB of memory": "replica_memory_mib",
}


def _are_alike(one: GpuInstance, other: GpuInstance) -> bool:
    """Return whether a replica finds the same GPUs on both types."""
    return (one.gpus, one.gpu_memory_mib) == (other.gpus, other.gpu_memory_mib)


class ColorSettings(BaseModel):
    """One colour: its release, its size, and whether it is up."""

    model_config = STRICT

    release: Annotated[
        Release | None, Field(description="What this colour serves. Not set: the colour has never been used.")
    ] = None
    replicas: Annotated[
        int,
        Field(ge=1, le=1000, description="Replicas at full size. With `autoscaling`, leave it out: max_replicas."),
    ] = 1
    parked: Annotated[bool, Field(description="True: no replicas run; the release is kept for reference.")] = False
    provisioned: Annotated[
        bool | None,
        Field(
            description="Whether its nodes are up (modes on_rollout and reserved). Default: true if it has a release."
        ),
    ] = None
    running_replicas: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Replicas that run now, if not all (mode surge); the scripts write it. 0: all of `replicas`.",
        ),
    ] = 0
    floor_replicas: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Fewest replicas while a rollout needs them (`autoscaling`); the scripts write it. 0: "
            "min_replicas.",
        ),
    ] = 0
    reservation: Annotated[
        Reservation | None,
        Field(description="Reservation that its nodes run in (mode reserved). Default: plain On-Demand capacity."),
    ] = None
    node_release_version: Annotated[
        str | None,
        AMI_RELEASE,
        Field(
            description="AMI release of its nodes. Default: the newest at creation and at each launch template change."
        ),
    ] = None
    node_subnet_ids: Annotated[
        Items[Annotated[str, SUBNET]],
        Field(
            description="Subnets for its nodes. With one, Auto Scaling ends no node to balance zones. Default: the "
            "stack's node_subnet_ids."
        ),
    ] = ()

    @field_validator("node_subnet_ids")
    @classmethod
    def _be_different(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(items)

    @property
    def state(self) -> Literal["serving", "parked", "unused"]:
        """``serving``: replicas run; ``parked``: none run, but the release is kept; ``unused``: there is no release."""
        if self.release is None:
            return "unused"
        return "parked" if self.parked else "serving"

    @property
    def serves(self) -> bool:
        """Whether replicas of this colour should be running."""
        return self.release is not None and not self.parked

    @property
    def as_tagged(self) -> ColorState:
        """What the weighted rule's tag says about this colour."""
        return ColorState(
            release_id=self.release and self.release.release_id,
            replicas=self.wanted_replicas if self.serves else 0,
            starting=self.last_replicas_start,
        )

    @property
    def last_replicas_start(self) -> bool:
        """Whether a rollback has begun to start the last replicas (mode surge). 0 says that all have been ready."""
        return self.serves and self.running_replicas >= self.replicas

    @property
    def wanted_replicas(self) -> int:
        """The replicas that run unless the colour is parked.

        All, or fewer while the other colour has their places; with an autoscaler, the fewest that may run.
        """
        return self.floor_replicas or self.running_replicas or self.replicas

    @property
    def nodes_wanted(self) -> bool:
        """Whether this colour's nodes must be up in every headroom mode."""
        return self.provisioned if self.provisioned is not None else self.release is not None

    @model_validator(mode="after")
    def _need_nodes_to_serve(self) -> Self:
        if self.serves and not self.nodes_wanted:
            violation = Violation(
                ("provisioned",), "must be true while replicas run", "Park the colour first: parked: true.", False
            )
            raise wrong(violation)
        return self


class ServiceSettings(BaseModel):
    """One model service: its colours, traffic and sizes."""

    model_config = STRICT

    active_color: Annotated[Color, Field(description="The promoted colour.")] = "blue"
    green_weight: Annotated[
        int,
        Field(ge=0, le=100, description="Percent of new requests that go to green; blue gets the rest.", examples=[25]),
    ] = 0
    rollout_serial: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_SERIAL,
            description="Number of writes by the scripts. A config with a lower number than the live rule is stale.",
        ),
    ] = 0
    keep_until: Annotated[
        datetime | None,
        TIME_OR_EMPTY,
        Field(description="RFC 3339 time until which the idle colour stays warm; empty: no keep-warm window."),
    ] = None
    announced: Annotated[
        str,
        ANNOUNCEMENT,
        Field(
            description='Permission for one unusual change: "<serial> <reason>"; it expires when the serial increases.'
        ),
    ] = ""
    rolling_out: Annotated[
        bool, Field(description="True while a rollout moves traffic to the idle colour; the scripts write it.")
    ] = False
    cohorts_on_candidate: Annotated[
        Items[Annotated[str, COHORT]],
        Field(
            description="Cohorts (`rollout.cohorts`) whose requests go to the idle colour; those of all others "
            "go to the active one.",
            examples=[["friends"]],
        ),
    ] = ()
    max_step_points: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="Most percentage points by which a plain `pulumi up` may raise the idle colour's weight.",
        ),
    ] = 50
    evidence: Annotated[
        str | None,
        PATH,
        Field(
            description="Evidence bundle (the JSON of a rollout's report) behind a weight that a plain `pulumi up` "
            "sets; its digest goes into a tag of the rule."
        ),
    ] = None
    blue: Annotated[ColorSettings, Field(description="The blue pool.")] = ColorSettings()
    green: Annotated[ColorSettings, Field(description="The green pool.")] = ColorSettings()

    namespace: Annotated[
        str | None, NAMESPACE, Field(description="Kubernetes namespace. Default: the service's name.")
    ] = None
    create_namespace: Annotated[
        bool,
        Field(
            description="False: the namespace exists already, with what pods need before they start, such as Secrets. "
            "Choose before the first `pulumi up`: a namespace that is no longer created would be deleted."
        ),
    ] = True
    served_model_name: Annotated[
        str | None,
        MODEL_NAME,
        Field(description="Model name that clients request, the same for both colours. Default: the service's name."),
    ] = None
    instance_type: Annotated[str, INSTANCE_TYPE, Field(description="EC2 instance type of the GPU nodes.")]
    fallback_instance_types: Annotated[
        Items[Annotated[str, INSTANCE_TYPE]],
        Field(
            description="Types that EC2 may take in this order where it has no capacity of instance_type, with as many "
            "GPUs and as much GPU memory. Default: none."
        ),
    ] = ()
    node_usd_per_hour: Annotated[
        float | None,
        Field(
            gt=0,
            le=100_000,
            description="What a node costs you, in US dollars per hour. Default: its On-Demand price in us-east-1.",
            examples=[4.2],
        ),
    ] = None
    gpus_per_replica: Annotated[int, Field(ge=1, description="GPUs of one replica (tensor parallel size).")] = 1
    replica_millicpus: Annotated[
        int, Field(ge=100, description="CPU request of one replica, in thousandths of a CPU.")
    ] = 3000
    replica_memory_mib: Annotated[
        int | None,
        Field(
            ge=256,
            description="Memory request of one replica, in MiB. Default: what its processes, its loader, what it "
            "offloads and /dev/shm need.",
            examples=[12288],
        ),
    ] = None
    spare_nodes: Annotated[
        int, Field(ge=0, le=100, description="Nodes that each pool may have beyond its full size.")
    ] = 0
    headroom_mode: Annotated[
        HeadroomMode,
        Field(
            description="When the second pool's nodes are up: always, on_rollout or reserved. surge: there is no "
            "second pool, only `surge_replicas` more places (docs/headroom.md)."
        ),
    ] = "on_rollout"
    surge_replicas: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Replicas beyond one colour's for which there are nodes (mode surge)."),
    ] = None
    max_utilization_percent: Annotated[
        int,
        Field(
            ge=100,
            le=200,
            description="How much a replica may carry while both colours share the nodes (mode surge), in percent of "
            "its share at full size.",
        ),
    ] = 105
    max_rollback_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_START_SECONDS,
            description="Longest time that a rollback may take until the old colour carries all requests (mode surge).",
        ),
    ] = 3600
    keep_warm_replicas: Annotated[
        int | None,
        Field(
            ge=1,
            le=1000,
            description="Replicas of the old colour that stay in the keep-warm window (mode surge). Default: "
            "`surge_replicas`.",
        ),
    ] = None
    autoscaling: Annotated[
        AutoscalingSettings | None,
        Field(description="How KEDA resizes each colour (docs/autoscaling.md). Default: a colour runs all `replicas`."),
    ] = None
    node_groups: Annotated[
        Literal["per_color", "shared"],
        Field(
            description="One node group per colour, or one for both (modes always and surge). It cannot be changed "
            "later."
        ),
    ] = "per_color"
    node_volume_gib: Annotated[
        int | None,
        Field(
            ge=30,
            le=16384,
            description="Size of a node's root volume, in GiB. Default: room for two images, and for weights that fill "
            "the GPUs.",
        ),
    ] = None
    nodes: Annotated[
        NodeSettings, Field(description="The nodes' image, disks, user data, access and security groups.")
    ] = NodeSettings()
    existing_nodes: Annotated[
        ExistingNodes | None,
        Field(
            description="Nodes that others bring, such as Karpenter or a platform team (docs/existing-nodes.md). "
            "Default: the program declares node groups."
        ),
    ] = None
    shared_memory_gib: Annotated[int, Field(ge=1, le=2048, description="Size of /dev/shm in each replica, in GiB.")] = 8

    max_stream_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_START_SECONDS,
            description="Duration of the longest request that a drain must let finish, queueing included.",
        ),
    ] = 120
    deregistration_propagation_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_START_SECONDS,
            description="How long requests may still arrive after a target is deregistered.",
        ),
    ] = 30
    cold_start_seconds: Annotated[
        int, Field(ge=1, le=MAX_START_SECONDS, description="Longest time from container start to the first answer.")
    ] = 600
    node_start_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_START_SECONDS,
            description="Longest time that a new node takes to join the cluster and pull the image.",
        ),
    ] = 900
    readiness_threshold_seconds: Annotated[
        int, Field(ge=1, le=300, description="Longest time that the readiness probe's test inference may take.")
    ] = 20
    probe_period_seconds: Annotated[int, Field(ge=1, le=300, description="Interval of the pods' probes.")] = 10
    health_check_interval_seconds: Annotated[
        int, Field(ge=5, le=300, description="Interval of the load balancer's health checks.")
    ] = 10

    pods: Annotated[
        PodSettings, Field(description="What pods need besides a release: secrets, caches, networks, monitoring.")
    ] = PodSettings()
    endpoint_url: Annotated[
        str | None, BASE_URL, Field(description="URL of the service. Default: the load balancer's DNS name.")
    ] = None
    listener: Annotated[
        ListenerSettings | None,
        Field(description="Existing listener to join. Default: the service gets its own load balancer."),
    ] = None
    alarms: Annotated[AlarmSettings, Field(description="Limits of the alarms, and whom they notify.")] = AlarmSettings()
    dashboard: Annotated[
        bool,
        Field(description="True: a dashboard in CloudWatch shows what the load balancer counts of both colours."),
    ] = False
    rollout: Annotated[RolloutSettings, Field(description="How a rollout behaves.")] = RolloutSettings()

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if violations := (
            *self._type_violations(),
            *self._size_violations(),
            *self._node_violations(),
            *(self._headroom_violations() if self.existing_nodes is None else self._existing_node_violations()),
            *self._surge_violations(),
            *self._autoscaling_violations(),
            *self._drain_violations(),
            *self._traffic_violations(),
            *self._cohort_violations(),
            *self._listener_violations(),
        ):
            raise wrong(*violations)
        # Needs all of these: the waves of a rollback last as long as a drain and a cold start.
        if violation := self._way_back_violation():
            raise wrong(violation)
        return self

    def _type_violations(self) -> Iterator[Violation]:
        """Yield the fallback types that cannot take the place of instance_type."""
        first = instance_type(self.instance_type)
        for position, name in enumerate(self.fallback_instance_types):
            one, path = instance_type(name), ("fallback_instance_types", position)
            if name in self.instance_types[: position + 1]:
                yield Violation(path, "must not name a type twice, nor instance_type", "Remove it.", name)
            elif not _are_alike(one, first):
                must = f"must have the GPUs of {first.name}, {first.gpus} of {first.gpu_memory_mib} MiB"
                what = f"{must}: it has {one.gpus} of {one.gpu_memory_mib} MiB"
                alike = [other.name for other in INSTANCE_TYPES.values() if other != first and _are_alike(other, first)]
                fix = f"Such are {', '.join(alike)}." if alike else "No other type has them: remove it."
                yield Violation(path, what, fix, name)
        reserved = () if self.node_pool is None else self.node_pool.capacity_reservation_ids
        if 0 < len(reserved) < len(self.instance_types):
            where = "existing_nodes.karpenter_node_pool.capacity_reservation_ids"
            what = f"must not be more than the {len(reserved)} of {where} allow: a reservation is for one type"
            fix = "Remove one, or name a reservation for each type."
            yield Violation(("fallback_instance_types",), what, fix, self.fallback_instance_types)
        if self.fallback_instance_types and self.headroom_mode == "reserved":
            what = "must not be set with headroom_mode reserved: a reservation is for one type"
            yield Violation(("fallback_instance_types",), what, "Remove it.", self.fallback_instance_types)

    def _size_violations(self) -> Iterator[Violation]:
        if too_many_gpus := self.gpus_per_replica > self.instance.gpus:
            # What memory they would need does not matter.
            shape = replace(self._shape_of(None, gpus=1), gpus=self.gpus_per_replica)
        else:
            shape = self.largest_shape
        for resource, offered in misfits(self.instance, shape).items():
            fix = misfit_fix(self.instance, shape)
            what = f"must be at most {offered}: a {self._node} node has no more {resource} for one replica"
            if (value := getattr(self, _SIZES[resource])) is not None:
                yield Violation((_SIZES[resource],), what, fix, value)
            elif not too_many_gpus:
                yield self._too_much_memory(offered, fix)
        for color in COLORS:
            yield from () if too_many_gpus else self._memory_violations(color)
            yield from self._context_parallel_violations(color)

    @property
    def _node(self) -> str:
        return " or ".join(self.instance_types)

    def _too_much_memory(self, offered: int, fix: str) -> Violation:
        """Return the violation when a replica needs more, by our own computation, than a node offers."""
        color = max(COLORS, key=lambda color: self.shape(color).memory_mib)
        path = ("shared_memory_gib",) if self.color(color).release is None else (color, "release")
        needed = self.host_memory(color).arithmetic(shared_memory=True)
        what = f"needs more memory than the {offered} MiB of a {self._node} node: {needed}"
        release = self.color(color).release
        if release is not None and release.weights_gib is None and self._loads_less(release):
            fix += " Or declare weights_gib: without it, the loader counts as if the weights filled the GPUs."
        return Violation(path, what, f"{fix} Or set replica_memory_mib to what you measured.")

    def _loads_less(self, release: Release) -> bool:
        """Return whether a replica could need less memory if the size of its weights were known."""
        small = release.model_copy(update={"weights_gib": 0.001})
        return self._host_memory_of(small, self.gpus_per_replica).most_mib < self.largest_shape.memory_mib

    def _memory_violations(self, color: Color) -> Iterator[Violation]:
        """Yield a violation where a request or a limit is less than what a replica needs."""
        if self.color(color).release is None:
            return
        needed, given, limit = self.host_memory(color), self.replica_memory_mib, self.pods.memory_limit_mib
        if given is not None and given < needed.least_mib:
            what = f"must be at least {needed.least_mib} for {color}: {needed.arithmetic(shared_memory=False)}"
            yield Violation(("replica_memory_mib",), what, "Leave it out, and the program sets it.", given)
        at_most = max(needed.most_mib, self.shape(color).memory_mib)
        if limit is not None and limit < at_most:
            sum_ = needed.arithmetic(shared_memory=True) if at_most == needed.most_mib else "replica_memory_mib"
            what = f"must be at least {at_most} for {color}: {sum_}"
            fix = "Lower shared_memory_gib, or leave it out: pods then get their share of the node."
            yield Violation(("pods", "memory_limit_mib"), what, fix, limit)

    def _context_parallel_violations(self, color: Color) -> Iterator[Violation]:
        """Yield a violation if vLLM cannot divide a replica's GPUs into groups for decoding."""
        # https://github.com/vllm-project/vllm/blob/main/vllm/config/parallel.py
        release = self.color(color).release
        options = [] if release is None else serve_options(release.engine_args)
        groups = last_value(options, "--decode-context-parallel-size") or "1"
        if self.gpus_per_replica % int(groups):
            position = max(one.position for one in options if one.name == "--decode-context-parallel-size")
            what = f"--decode-context-parallel-size must divide gpus_per_replica {self.gpus_per_replica}"
            yield Violation((color, "release", "engine_args", position), what, "", groups)

    def _node_violations(self) -> Iterator[Violation]:
        fit = self.gpus_per_replica <= self.instance.gpus and not misfits(self.instance, self.largest_shape)
        if self.nodes.instance_store and fit:
            has, needed = self.instance.instance_store_gib, self.root_volume_gib
            if has < needed:
                what = f"must be false: {self.instance_type} has {has} GiB of its own disks, but images and weights "
                what += f"need {needed} GiB"
                fix = "Choose a larger instance_type, or set node_volume_gib to what your images and weights need."
                yield Violation(("nodes", "instance_store"), what, fix, True)
        for color in COLORS:
            if self.nodes.is_bottlerocket and self.color(color).node_release_version is not None:
                what = f"must be left out with nodes.ami_type {self.nodes.ami_type}: it names a release of AL2023"
                yield Violation((color, "node_release_version"), what, "", self.color(color).node_release_version)

    def _headroom_violations(self) -> Iterator[Violation]:
        mode = self.headroom_mode
        if self.shares_nodes and not self.nodes_stay_up:
            what = f"must be per_color with headroom_mode {mode}: shrinking a shared group may end serving nodes"
            yield Violation(("node_groups",), what, "Or set headroom_mode to always.", self.node_groups)
        if mode == "surge" and not self.shares_nodes:
            what = "must be shared with headroom_mode surge: each colour takes the other's places"
            yield Violation(("node_groups",), what, "Or set headroom_mode to on_rollout.", self.node_groups)
        if self.shares_nodes and self.blue.node_release_version != self.green.node_release_version:
            what = f"must be {self.blue.node_release_version or 'left out'}, as for blue: both colours share the nodes"
            yield Violation(("green", "node_release_version"), what, "", self.green.node_release_version)
        if self.shares_nodes and self.blue.node_subnet_ids != self.green.node_subnet_ids:
            what = "must be the same as for blue: both colours share the nodes"
            yield Violation(("green", "node_subnet_ids"), what, "", self.green.node_subnet_ids)
        if mode == "reserved" and not any(self.color(color).reservation for color in COLORS):
            what = "must not be reserved while neither colour has a reservation"
            yield Violation(("headroom_mode",), what, "Set green.reservation or blue.reservation.", mode)
        for color in COLORS:
            if (reservation := self.color(color).reservation) is None:
                continue
            if mode != "reserved":
                what = f"must not be set with headroom_mode {mode}"
                yield Violation((color, "reservation"), what, "Remove it, or set headroom_mode to reserved.")
            elif reservation.kind == "capacity_block" and not self.instance_type.startswith("p"):
                what = f"must be on_demand with instance_type {self.instance_type}: blocks exist only for P types"
                yield Violation((color, "reservation", "kind"), what, "", reservation.kind)
            elif self.keep_until and self.color(color).nodes_wanted and not reservation.outlasts(self.keep_until):
                until = format_rfc3339(self.keep_until)
                what = f"must be at least 40 minutes after keep_until {until}: EKS ends the nodes that early"
                yield Violation((color, "reservation", "ends"), what, "", format_rfc3339(reservation.ends))

    def _existing_node_violations(self) -> Iterator[Violation]:
        """Yield the settings that only node groups of the program's own can follow."""
        mode = self.headroom_mode
        if mode in ("always", "reserved"):
            what = f"must not be {mode} with existing_nodes: whoever brings the nodes keeps or reserves them"
            yield Violation(("headroom_mode",), what, "Set it to on_rollout or surge, or remove existing_nodes.", mode)
        plain, colored = type(self).model_fields, ColorSettings.model_fields
        given = {(name,): getattr(self, name) for name in _OF_NODE_GROUPS if getattr(self, name) != plain[name].default}
        for color in COLORS:
            values = {name: getattr(self.color(color), name) for name in _OF_COLORED_NODE_GROUPS}
            given |= {(color, name): value for name, value in values.items() if value != colored[name].default}
        for path, value in given.items():
            what = "must not be set with existing_nodes: the program declares no node group"
            shown = UNSET if isinstance(value, BaseModel) else value
            yield Violation(path, what, "Remove it, or remove existing_nodes.", shown)

    def _surge_violations(self) -> Iterator[Violation]:
        surge, kept, full = self.surge_replicas, self.keep_warm_replicas, self.blue.replicas
        if self.headroom_mode != "surge":
            running = {(color, "running_replicas"): self.color(color).running_replicas or None for color in COLORS}
            for path, value in {("surge_replicas",): surge, ("keep_warm_replicas",): kept, **running}.items():
                if value is not None:
                    what = f"must not be set with headroom_mode {self.headroom_mode}"
                    yield Violation(path, what, "Remove it, or set headroom_mode to surge.", value)
        elif surge is None:
            what = "is required with headroom_mode surge but not set"
            yield Violation(("surge_replicas",), what, "Set it to the replicas that fit besides one colour's, e.g. 1.")
        elif self.green.replicas != full:
            what = f"must be {full}, as for blue, with headroom_mode surge: each colour takes the other's places"
            yield Violation(("green", "replicas"), what, "", self.green.replicas)
        elif surge > full:
            what = f"must be at most replicas {full}: more places are never used"
            yield Violation(("surge_replicas",), what, "", surge)
        elif kept is not None and kept > surge:
            what = f"must be at most surge_replicas {surge}: there are no more places besides the new colour's"
            yield Violation(("keep_warm_replicas",), what, "", kept)
        else:
            yield from self._place_violations(full, surge)

    def _place_violations(self, full: int, surge: int) -> Iterator[Violation]:
        """Yield a violation if both colours run more replicas than there are places, or no ladder fits these."""
        running = {color: colored.wanted_replicas for color in COLORS if (colored := self.color(color)).serves}
        for color in COLORS:
            if self.color(color).running_replicas > full:
                what = f"must be at most replicas {full}"
                yield Violation((color, "running_replicas"), what, "", self.color(color).running_replicas)
        if sum(running.values()) > full + surge:
            idle, active = self.idle_color, self.active_color
            most = full + surge - running[active]
            what = f"must be 1 to {most} while {active} runs {running[active]}: there are {full + surge} places"
            fix = f"Or park {idle}; scripts.ramp deploys onto it."
            yield Violation((idle, "running_replicas"), what, fix, self.color(idle).running_replicas)
        try:
            self._make_ladder()
        except LadderError as error:
            capacity, percents = self._capacity(surge), self._percents
            needed = smallest_surge(capacity, percents, kept_replicas=self.keep_warm_replicas)
            must = "must let each step follow the one before" if needed is None else f"must be at least {needed}"
            what = f"{must} with max_utilization_percent {self.max_utilization_percent}: {error}"
            yield Violation(("surge_replicas",), what, "Or raise max_utilization_percent.", surge)

    def _way_back_violation(self) -> Violation | None:
        """Return a violation if the slowest way back takes longer than it may."""
        ladder = self.ladder
        if ladder is None:
            return None
        waves, seconds, most = ladder.most_waves_back, self.wave_seconds(), self.max_rollback_seconds
        if waves * seconds <= most:
            return None
        what = (
            f"must be at least {waves * seconds:.0f}: the way back from the last step takes {way_back(waves, seconds)}"
        )
        needed = smallest_surge(
            ladder.capacity, self._percents, kept_replicas=self.keep_warm_replicas, most_waves=int(most / seconds)
        )
        fix = "" if needed is None else f"Or set surge_replicas to {needed}."
        return Violation(("max_rollback_seconds",), what, fix, most)

    def _autoscaling_violations(self) -> Iterator[Violation]:
        scaling = self.autoscaling
        given = {"blue": self.blue, "green": self.green}
        if scaling is None:
            for color, colored in given.items():
                if colored.floor_replicas:
                    what = "must not be set without autoscaling"
                    yield Violation((color, "floor_replicas"), what, "Remove it.", colored.floor_replicas)
            return
        if self.headroom_mode == "surge":
            what = "must not be set with headroom_mode surge: both would decide how many replicas run"
            yield Violation(("autoscaling",), what, "Remove it, or set headroom_mode to on_rollout.")
            return
        for color, colored in given.items():
            if "replicas" in colored.model_fields_set and colored.replicas != scaling.max_replicas:
                what = f"must be max_replicas {scaling.max_replicas}, or left out, with autoscaling"
                yield Violation((color, "replicas"), what, "", colored.replicas)
            if colored.floor_replicas > scaling.max_replicas:
                what = f"must be at most max_replicas {scaling.max_replicas}"
                yield Violation((color, "floor_replicas"), what, "", colored.floor_replicas)

    def _drain_violations(self) -> Iterator[Violation]:
        longest = longest_stream_seconds(self.deregistration_propagation_seconds)
        if longest < 1:
            most = longest_stream_seconds(1)
            what = f"must be at most {most}: EKS ends a node 15 minutes after its drain begins"
            yield Violation(("deregistration_propagation_seconds",), what, "", self.deregistration_propagation_seconds)
        elif self.max_stream_seconds > longest:
            what = (
                f"must be at most {longest} with deregistration_propagation_seconds "
                f"{self.deregistration_propagation_seconds}: EKS ends a node 15 minutes after its drain begins"
            )
            yield Violation(("max_stream_seconds",), what, "", self.max_stream_seconds)

    def _traffic_violations(self) -> Iterator[Violation]:
        for color in COLORS:
            share, without_color = self.weight(color), 0 if color == "green" else 100
            # On a new stack, no colour has a release yet, so no request can be lost.
            if share and self.color(color).parked:
                what = f"must be false while green_weight {self.green_weight} sends {share} % of requests to {color}"
                yield Violation((color, "parked"), what, f"Set green_weight to {without_color} first.", True)
            elif share and self.color(color).release is None and self.color(other_color(color)).serves:
                what = f"must be {without_color} while {color} has no release: it would get {share} % of requests"
                fix = f"Give {color} a release, or send all traffic to the other colour."
                yield Violation(("green_weight",), what, fix, self.green_weight)

    def _cohort_violations(self) -> Iterator[Violation]:
        cohorts, idle = self.rollout.cohorts, self.idle_color
        mode = "headroom_mode surge" if self.headroom_mode == "surge" else "autoscaling" if self.autoscaling else None
        if cohorts and mode is not None:
            what = f"must not be set with {mode}: how much of the load a cohort brings is not known before it moves"
            yield Violation(("rollout", "cohorts"), what, "Remove the cohorts and their steps.")
        has_host = self.listener is not None and self.listener.host is not None
        for found in cohort_rule_violations(cohorts, self.rule_priorities, has_host=has_host):
            yield replace(found, path=("rollout", "cohorts", *found.path))
        for place, name in enumerate(self.cohorts_on_candidate):
            if name not in self.cohort_names or name in self.cohorts_on_candidate[:place]:
                known = ", ".join(sorted(self.cohort_names)) or "none"
                what = f"must name cohorts of rollout.cohorts ({known}), each once"
                yield Violation(("cohorts_on_candidate", place), what, "", name)
        if self.cohorts_on_candidate and not self.color(idle).serves:
            what = f"must be empty while {idle} runs no replicas: it would get the requests of these cohorts"
            yield Violation(("cohorts_on_candidate",), what, "", self.cohorts_on_candidate)
        active, staying = self.active_color, self.cohort_names - set(self.cohorts_on_candidate)
        if staying and self.color(active).parked and self.color(idle).serves:
            what = f"must be false while {', '.join(sorted(staying))} are on {active}, the active colour"
            yield Violation(
                (active, "parked"), what, f"Add them to cohorts_on_candidate, or set active_color to {idle}."
            )

    def _listener_violations(self) -> Iterator[Violation]:
        if self.listener is None:
            return
        if self.endpoint_url is None:
            what = "is required with listener but not set: the load balancer's name may lead to other services"
            yield Violation(("endpoint_url",), what, f"Set it to {BASE_URL.expected}.")
        elif self.listener.host not in (None, urlsplit(self.endpoint_url).hostname):
            what = f"must be the host of endpoint_url {self.endpoint_url}: the rules ignore requests for other hosts"
            yield Violation(("listener", "host"), what, "", self.listener.host)
        needed, given = self.max_stream_seconds + EXIT_MARGIN_SECONDS, self.listener.idle_timeout_seconds
        if given < needed:
            what = f"must be at least {needed}, or requests of max_stream_seconds {self.max_stream_seconds} are cut off"
            fix = "Ask the load balancer's owner to raise it, or lower max_stream_seconds."
            yield Violation(("listener", "idle_timeout_seconds"), what, fix, given)

    def color(self, color: Color) -> ColorSettings:
        """Return one colour's settings. With an autoscaler, its full size is the ceiling, and its floor is known."""
        colored, scaling = self.blue if color == "blue" else self.green, self.autoscaling
        if scaling is None:
            return colored
        floor = max(colored.floor_replicas, scaling.min_replicas)
        return colored.model_copy(update={"replicas": scaling.max_replicas, "floor_replicas": floor})

    def weight(self, color: Color) -> int:
        """Return one colour's share of new requests, in percent."""
        return self.green_weight if color == "green" else 100 - self.green_weight

    @property
    def traffic(self) -> Traffic:
        """The weights and tags of the weighted rule."""
        return Traffic(
            weights={color: self.weight(color) for color in COLORS},
            active_color=self.active_color,
            keep_until=self.keep_until,
            rollout_serial=self.rollout_serial,
            rolling_out=self.rolling_out,
            announced_serial=self._announced_serial,
            colors={color: self.color(color).as_tagged for color in COLORS},
            capacity=self.capacity,
            cohorts=self.cohort_colors,
        )

    @property
    def cohort_names(self) -> frozenset[str]:
        """The names of all cohorts."""
        return frozenset(one.name for one in self.rollout.cohorts)

    @property
    def cohort_colors(self) -> dict[str, Color]:
        """The colour that each cohort's requests go to."""
        on = self.cohorts_on_candidate
        return {one.name: self.idle_color if one.name in on else self.active_color for one in self.rollout.cohorts}

    @property
    def rule_priorities(self) -> RulePriorities:
        """The priorities of the service's rules, without those of cohorts."""
        return OWN_PRIORITIES if self.listener is None else self.listener.priorities

    @property
    def capacity(self) -> SharedCapacity | None:
        """The places that both colours share (mode surge). None when each has places for all of its replicas."""
        return None if self.surge_replicas is None else self._capacity(self.surge_replicas)

    def _capacity(self, surge: int) -> SharedCapacity:
        percent = self.max_utilization_percent
        return SharedCapacity(replicas=self.blue.replicas, surge=surge, max_utilization_percent=percent)

    @property
    def ladder(self) -> Ladder | None:
        """The ladder of a rollout (mode surge). None when each colour has places for all of its replicas."""
        return None if self.surge_replicas is None else self._make_ladder()

    def _make_ladder(self) -> Ladder:
        return make_ladder(
            self._capacity(self.surge_replicas or 1), self._percents, kept_replicas=self.keep_warm_replicas
        )

    @property
    def _percents(self) -> list[int]:
        return self.rollout.percents

    def wave_seconds(self, start_seconds: float | None = None) -> float:
        """Return how long one wave of a rollback takes: replicas drain, and others start in their places.

        Args:
            start_seconds: how long a start took, if that was measured.
        """
        starts = self.cold_start_seconds if start_seconds is None else start_seconds
        return self.drain_chain.grace_period_seconds + starts

    @property
    def first_replicas(self) -> int:
        """The replicas with which a rollout deploys the idle colour: all, or as many as there are surge places."""
        full = self.color(self.idle_color).replicas
        return full if self.surge_replicas is None else min(self.surge_replicas, full)

    @property
    def _announced_serial(self) -> str:
        serial = self.announced.partition(" ")[0]
        return serial if serial and int(serial) == self.rollout_serial else ""

    @property
    def lasting(self) -> dict[str, Any]:
        """The settings that no script writes, as JSON: those by which a rollout is done and judged."""
        written = {"release", "parked", "provisioned"}
        return self.model_dump(mode="json", exclude={**dict.fromkeys(_MOVING, True), **dict.fromkeys(COLORS, written)})

    def namespace_of(self, service: str) -> str:
        """Return the Kubernetes namespace of the service."""
        return self.namespace or service

    def model_name(self, service: str) -> str:
        """Return the model name that clients request."""
        return self.served_model_name or service

    @property
    def idle_color(self) -> Color:
        """The colour that is not promoted."""
        return other_color(self.active_color)

    @property
    def instance(self) -> GpuInstance:
        """The instance type of the service's nodes. Of several types, the least that each of them offers."""
        first, *others = map(instance_type, self.instance_types)
        alike = [one for one in others if _are_alike(one, first)]
        found = smallest_of([first, *alike]) if alike else first
        return found if self.node_usd_per_hour is None else replace(found, usd_per_hour=self.node_usd_per_hour)

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The instance types of the nodes, in order of preference."""
        return (self.instance_type, *self.fallback_instance_types)

    @property
    def most_vcpus(self) -> int:
        """The vCPUs of the largest of the instance types."""
        return max(instance_type(name).vcpus for name in self.instance_types)

    def host_memory(self, color: Color) -> HostMemory:
        """Return what a replica of a colour needs of its node's memory."""
        return self._host_memory_of(self.color(color).release, self.gpus_per_replica)

    def _host_memory_of(self, release: Release | None, gpus: int) -> HostMemory:
        return host_memory(
            release,
            gpus=gpus,
            gpu_memory_mib=self.instance.gpu_memory_mib,
            shared_memory_gib=self.shared_memory_gib,
        )

    def shape(self, color: Color) -> ReplicaShape:
        """Return what one replica of a colour requests from its node. The other colour's release does not affect it."""
        return self._shape_of(self.color(color).release)

    def _shape_of(self, release: Release | None, gpus: int | None = None) -> ReplicaShape:
        gpus = gpus or self.gpus_per_replica
        memory_mib = self.replica_memory_mib or self._host_memory_of(release, gpus).most_mib
        return ReplicaShape(gpus=gpus, millicpus=self.replica_millicpus, memory_mib=memory_mib)

    @property
    def largest_shape(self) -> ReplicaShape:
        """What the larger colour's replica requests. Where it fits, a replica of either colour does."""
        return max((self.shape(color) for color in COLORS), key=lambda shape: shape.memory_mib)

    def memory_limit_mib(self, color: Color) -> int:
        """Return a pod's memory limit. Without a setting, it is the pod's share of the node, so that none hurts others.

        Files that are mapped count as memory, too, so a limit as low as the request would slow the loading down.
        """
        if self.pods.memory_limit_mib is not None:
            return self.pods.memory_limit_mib
        return memory_share_mib(self.instance, self.shape(color))

    @property
    def pools(self) -> dict[Color, PoolSize]:
        """Node counts per colour."""
        return pool_sizes(
            {
                color: ColorDemand(
                    replicas=self.color(color).replicas,
                    provisioned=self.color(color).nodes_wanted,
                    shape=self.shape(color),
                )
                for color in COLORS
            },
            instance=self.instance,
            spare_nodes=self.spare_nodes,
            mode=self.headroom_mode,
        )

    @property
    def declares_nodes(self) -> bool:
        """Whether the program declares the nodes. Otherwise others bring them."""
        return self.existing_nodes is None

    @property
    def shares_nodes(self) -> bool:
        """Whether both colours run on the same nodes."""
        if self.existing_nodes is not None:
            return self.node_pool is None or self.headroom_mode == "surge"
        return self.node_groups == "shared"

    @property
    def node_pool(self) -> KarpenterNodePool | None:
        """What the program declares of Karpenter's node pools. None when it declares none."""
        return None if self.existing_nodes is None else self.existing_nodes.karpenter_node_pool

    @property
    def nodes_follow_pods(self) -> bool:
        """Whether nodes come when pods need them, and go with them. Otherwise they are there, or the program's own."""
        return self.existing_nodes is not None and (self.existing_nodes.autoscaled or self.node_pool is not None)

    def node_pool_gpus(self, color: Color) -> int:
        """Return how many GPUs the nodes of a colour's node pool may have: enough for the colour at full size."""
        nodes = self.shared_pool.desired_nodes if self.shares_nodes else self.pools[color].max_nodes
        return nodes * self.instance.gpus

    @property
    def nodes_stay_up(self) -> bool:
        """Whether the nodes of the idle colour are up although no replicas run on them."""
        return self.headroom_mode in ("always", "surge")

    def gives_back_nodes(self, color: Color) -> bool:
        """Return whether a colour that is parked still has nodes of the program's own to give back."""
        return self.declares_nodes and not self.nodes_stay_up and self.color(color).nodes_wanted

    def node_selector(self, service: str, color: Color) -> dict[str, str]:
        """Return the labels of the nodes on which a colour's pods run."""
        if self.existing_nodes is not None and self.node_pool is None:
            return dict(self.existing_nodes.node_selector)
        return pool_labels(service, None if self.shares_nodes else color)

    @property
    def tolerations(self) -> tuple[Toleration, ...]:
        """The taints that the pods tolerate."""
        return (GPU_TOLERATION, *(() if self.existing_nodes is None else self.existing_nodes.as_tolerations))

    @property
    def topology(self) -> tuple[str, ...]:
        """The labels of nodes over whose values a colour's pods are spread, if possible."""
        return _TOPOLOGY if self.existing_nodes is None else self.existing_nodes.topology

    @property
    def shared_pool(self) -> PoolSize:
        """Node count of the group that both colours share."""
        active = self.color(self.active_color).replicas
        return shared_pool_size(
            {self.active_color: active, self.idle_color: self.first_replicas},
            instance=self.instance,
            shape=self.largest_shape,
            spare_nodes=self.spare_nodes,
        )

    @property
    def root_volume_gib(self) -> int:
        """Size of a node's root volume, in GiB. A replica's weights are assumed to fill its GPUs.

        It does not depend on a release: a candidate must not change the nodes that serve.
        """
        weights_gib = self.gpus_per_replica * self.instance.gpu_memory_mib / 1024
        return self.node_volume_gib or root_volume_gib(
            weights_gib, replicas_per_node(self.instance, self._shape_of(None))
        )

    def replicas_per_node(self, color: Color) -> int:
        """Return how many replicas of a colour fit one node."""
        return replicas_per_node(self.instance, self.shape(color))

    def _loads_from_elsewhere(self, release: Release) -> bool:
        """Return whether the weights are not on the node's disk: on a claim, a mounted volume or in an object store."""
        return self.pods.model_cache_claim is not None or release.model.startswith(("/", *OBJECT_STORES))

    def load_warnings(self, color: Color) -> Iterator[str]:
        """Yield what a colour's nodes cannot load in time from their disks, with the fix."""
        release = self.color(color).release
        if release is None or self.nodes.instance_store or not self.declares_nodes:
            return
        yield from load_warnings(
            model=release.model,
            weights_gib=None if self._loads_from_elsewhere(release) else release.weights_gib,
            replicas=self.replicas_per_node(color),
            mib_per_second=min(self.nodes.volume_mib_per_second, self.instance.ebs_mib_per_second),
            cold_start_seconds=self.cold_start_seconds,
            node_start_seconds=self.node_start_seconds,
        )

    def price_of_replicas(self, color: Color, replicas: int) -> float | None:
        """Return what so many replicas of a colour cost, in US dollars per hour. None when it is unknown.

        A colour pays for whole nodes of its own, and for its part of nodes that both colours share.
        """
        kinds = {one.reservation.kind for one in map(self.color, COLORS) if one.reservation is not None}
        if self.node_usd_per_hour is None and "capacity_block" in kinds:
            return None  # a block has a price of its own
        instance, shape = self.instance, self.shape(color)
        whole = not self.shares_nodes
        nodes = nodes_for(replicas, instance, shape) if whole else replicas / replicas_per_node(instance, shape)
        return usd_per_hour(instance, nodes)

    @property
    def headroom_usd_per_hour(self) -> float | None:
        """Cost of the nodes beyond those of the active colour, in US dollars per hour; None when unknown.

        Where others bring nodes for the replicas that an autoscaler starts, each colour has at least its floor's.
        """
        active = self.color(self.active_color)
        at_floor = self.autoscaling is not None and not self.declares_nodes
        replicas = active.wanted_replicas if at_floor else active.replicas
        return headroom_usd_per_hour(
            self._nodes_up,
            active_replicas=0 if active.release is None else replicas,
            instance=self.instance,
            shape=self.shape(self.active_color),
        )

    @property
    def _nodes_up(self) -> int:
        if not self.declares_nodes:
            running: dict[Color, int] = {
                color: self.color(color).wanted_replicas for color in COLORS if self.color(color).serves
            }
            if self.shares_nodes:
                return nodes_for(sum(running.values()), self.instance, self.largest_shape)
            return sum(nodes_for(count, self.instance, self.shape(color)) for color, count in running.items())
        pools = [self.shared_pool] if self.shares_nodes else self.pools.values()
        return sum(pool.desired_nodes for pool in pools)

    @property
    def drain_chain(self) -> DrainChain:
        """Every timeout that keeps a running request alive."""
        chain = drain_chain(self.max_stream_seconds, self.deregistration_propagation_seconds)
        return chain if self.listener is None else chain.behind(self.listener.idle_timeout_seconds)

    @property
    def dashboard_limits(self) -> DashboardLimits | None:
        """The limits that the dashboard shows. None without a dashboard."""
        gates = self.rollout.gates
        limits = DashboardLimits(
            error_percent=gates.target_group_errors.limit_percent,
            p95_seconds=gates.target_group_latency.limit_seconds,
        )
        return limits if self.dashboard else None

    @property
    def required_idle_timeout_seconds(self) -> int:
        """The shortest load balancer idle timeout that lets the longest request finish, in seconds."""
        return drain_chain(self.max_stream_seconds, self.deregistration_propagation_seconds).idle_timeout_seconds

    @property
    def pod_times(self) -> PodTimes:
        """The times of a pod's life and its probe thresholds."""
        return pod_times(
            cold_start_seconds=self.cold_start_seconds,
            node_start_seconds=self.node_start_seconds,
            probe_period_seconds=self.probe_period_seconds,
            readiness_threshold_seconds=self.readiness_threshold_seconds,
            health_check_interval_seconds=self.health_check_interval_seconds,
            drain_chain=self.drain_chain,
        )
