"""The settings of the kubelet stand-in."""

import sys
from ipaddress import IPv4Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class KubeletSettings(BaseModel):
    """The settings, read from a JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster_name: str = Field(description="The EKS cluster whose node groups become nodes.")
    pod_network: IPv4Network = Field(description="The network of the pods' addresses; see claim_pod_network.")
    folder: Path = Field(description="Folder of the world: pod logs go to logs/pods, volumes to pods and nodes.")
    targets_file: Path = Field(description="Prometheus file_sd document that lists the running vLLM pods.")
    pod_command: str = Field(
        default=f"{sys.executable} -m rehearsal.vllm",
        description="Shell words that replace `vllm serve`; the container's arguments follow.",
    )
    pod_environment: dict[str, str] = Field(
        default_factory=dict, description="Additional variables of every container."
    )
    node_start_seconds: float = Field(default=1.0, ge=0, description="Time from a node's launch until it registers.")
    node_poll_seconds: float = Field(default=1.0, gt=0, description="How often the node groups are read.")
    node_drain_seconds: float = Field(
        default=900.0, gt=0, description="How long the removal of a node waits for its pods to end."
    )
    node_lost_seconds: float = Field(
        default=8.0, ge=0, description="Time from the loss of a node until it and its pods leave the API."
    )
    restart_backoff_seconds: float = Field(
        default=10.0, gt=0, description="First restart delay of a container that keeps failing; doubles each time."
    )
