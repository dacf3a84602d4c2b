"""The settings of one service: its two colours, its traffic, its sizes and its times."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from components.capacity import (
    CapacityError,
    ColorDemand,
    HeadroomMode,
    PoolSize,
    ReplicaShape,
    instance_type,
    pool_sizes,
)
from components.drain_chain import DrainChain, DrainChainError, drain_chain
from components.gpu_instances import GpuInstance
from components.naming import COLORS, Color, other_color
from components.release import Release
from components.rollout_settings import RolloutSettings


class ColorSettings(BaseModel):
    """One colour: what it serves, at which size, and whether it is up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: Annotated[Release | None, Field(description="What this colour serves; none: it has never been used.")] = (
        None
    )
    replicas: Annotated[int, Field(ge=1, le=1000, description="Replicas at full size.")] = 1
    parked: Annotated[bool, Field(description="True: no replicas run, the release is kept for reference.")] = False
    provisioned: Annotated[
        bool | None,
        Field(description="Whether its nodes are up (modes on_rollout and reserved). Default: when it has a release."),
    ] = None

    @property
    def serves(self) -> bool:
        """Whether replicas of this colour should be running."""
        return self.release is not None and not self.parked

    @property
    def nodes_wanted(self) -> bool:
        """Whether this colour's nodes must be up, whatever the headroom mode."""
        return self.provisioned if self.provisioned is not None else self.release is not None

    @model_validator(mode="after")
    def _need_nodes_to_serve(self) -> Self:
        if self.serves and not self.nodes_wanted:
            raise ValueError("replicas run but provisioned is false; park the colour first (parked: true)")
        return self


class ServiceSettings(BaseModel):
    """One model service: its colours, its traffic and its sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    active_color: Annotated[Color, Field(description="The promoted colour.")] = "blue"
    green_weight: Annotated[
        int,
        Field(ge=0, le=100, strict=True, description="Percent of new requests that go to green; blue gets the rest."),
    ] = 0
    rollout_serial: Annotated[int, Field(ge=0, description="Counts the scripts' writes; a lower one is stale.")] = 0
    keep_until: Annotated[
        str, Field(description="RFC 3339 time until which the idle colour stays warm; empty: no such promise.")
    ] = ""
    announced: Annotated[
        str, Field(description='Permission for one unusual change: "<serial> <reason>"; void once the serial moves on.')
    ] = ""
    blue: Annotated[ColorSettings, Field(description="The blue pool.")] = ColorSettings()
    green: Annotated[ColorSettings, Field(description="The green pool.")] = ColorSettings()

    namespace: Annotated[str | None, Field(description="Kubernetes namespace. Default: the service's name.")] = None
    served_model_name: Annotated[
        str | None,
        Field(description="Model name that clients ask for, the same in both colours. Default: the service's."),
    ] = None
    instance_type: Annotated[str, Field(description="EC2 instance type of the GPU nodes.")]
    gpus_per_replica: Annotated[int, Field(ge=1, le=8, description="GPUs of one replica (tensor parallel size).")] = 1
    replica_millicpus: Annotated[int, Field(ge=100, description="CPU request of one replica, in thousandths.")] = 3000
    replica_memory_mib: Annotated[int, Field(ge=256, description="Memory request of one replica.")] = 12288
    spare_nodes: Annotated[
        int, Field(ge=0, le=100, description="Nodes beyond full size that each pool may grow by.")
    ] = 0
    headroom_mode: Annotated[
        HeadroomMode, Field(description="When the second pool's nodes are up: always, on_rollout or reserved.")
    ] = "on_rollout"
    node_volume_gib: Annotated[
        int, Field(ge=30, le=16384, description="Root volume of a node: image, weights and caches.")
    ] = 200
    shared_memory_gib: Annotated[int, Field(ge=1, description="Size of /dev/shm in each replica.")] = 8

    max_stream_seconds: Annotated[int, Field(ge=1, description="Longest request to protect, queueing included.")] = 120
    deregistration_propagation_seconds: Annotated[
        int, Field(ge=1, description="How long requests still arrive after a target is deregistered.")
    ] = 30
    cold_start_seconds: Annotated[
        int, Field(ge=1, description="Longest time from container start to the first answer.")
    ] = 600
    node_start_seconds: Annotated[
        int, Field(ge=1, description="Longest time until a new node has joined and pulled the image.")
    ] = 900
    readiness_threshold_seconds: Annotated[
        int, Field(ge=1, le=300, description="Longest that the synthetic inference of the readiness probe may take.")
    ] = 20
    probe_period_seconds: Annotated[int, Field(ge=1, le=300, description="Interval of the pods' probes.")] = 10
    health_check_interval_seconds: Annotated[
        int, Field(ge=5, le=300, description="Interval of the load balancer's health checks.")
    ] = 10

    endpoint_url: Annotated[
        str | None, Field(description="How clients reach the service. Default: the load balancer's DNS name.")
    ] = None
    rollout: Annotated[RolloutSettings, Field(description="How a rollout behaves.")] = RolloutSettings()

    @field_validator("keep_until")
    @classmethod
    def _be_a_time(cls, keep_until: str) -> str:
        if keep_until and datetime.fromisoformat(keep_until).tzinfo is None:
            raise ValueError("must carry a time zone, e.g. 2026-11-22T08:00:00Z")
        return keep_until

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        try:
            _ = self.pools, self.drain_chain
        except (CapacityError, DrainChainError) as error:
            raise ValueError(str(error)) from error
        for color in COLORS:
            # A new stack has weight on a colour without a release: nothing to lose yet.
            if self.weight(color) and self.color(color).parked:
                raise ValueError(
                    f"{color} is parked but has weight {self.weight(color)}: move green_weight off it before parking it"
                )
            if self.weight(color) and self.color(color).release is None and self.color(other_color(color)).serves:
                raise ValueError(
                    f"{color} has weight {self.weight(color)} but no release: set green_weight to "
                    f"{0 if color == 'green' else 100} until it has one"
                )
        return self

    def color(self, color: Color) -> ColorSettings:
        """Return one colour's settings."""
        return self.blue if color == "blue" else self.green

    def weight(self, color: Color) -> int:
        """Return one colour's share of new requests, in percent."""
        return self.green_weight if color == "green" else 100 - self.green_weight

    def namespace_of(self, service: str) -> str:
        """Return the Kubernetes namespace of the service."""
        return self.namespace or service

    def model_name(self, service: str) -> str:
        """Return the model name that clients ask the service for."""
        return self.served_model_name or service

    @property
    def idle_color(self) -> Color:
        """The colour that is not promoted."""
        return other_color(self.active_color)

    @property
    def instance(self) -> GpuInstance:
        """What a node of this service offers."""
        return instance_type(self.instance_type)

    @property
    def shape(self) -> ReplicaShape:
        """What one replica asks of its node."""
        return ReplicaShape(
            gpus=self.gpus_per_replica, millicpus=self.replica_millicpus, memory_mib=self.replica_memory_mib
        )

    @property
    def pools(self) -> dict[Color, PoolSize]:
        """Node counts per colour."""
        return pool_sizes(
            {
                color: ColorDemand(replicas=self.color(color).replicas, provisioned=self.color(color).nodes_wanted)
                for color in COLORS
            },
            instance=self.instance,
            shape=self.shape,
            spare_nodes=self.spare_nodes,
            mode=self.headroom_mode,
        )

    @property
    def drain_chain(self) -> DrainChain:
        """Every timeout that keeps a running request alive."""
        return drain_chain(self.max_stream_seconds, self.deregistration_propagation_seconds)
