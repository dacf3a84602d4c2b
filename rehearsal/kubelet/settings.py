"""What one can choose about the kubelet stand-in."""

import sys
from ipaddress import IPv4Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class KubeletSettings(BaseModel):
    """Read from a JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster_name: str = Field(description="EKS cluster whose node groups become nodes.")
    pod_network: IPv4Network = Field(description="Where pods get their addresses from; see claim_pod_network.")
    folder: Path = Field(description="Folder of the world: pod logs go to logs/pods, volumes to pods and nodes.")
    targets_file: Path = Field(description="Prometheus file_sd document that lists the running vLLM pods.")
    pod_command: str = Field(
        default=f"{sys.executable} -m rehearsal.vllm",
        description="Shell words that take the place of `vllm serve`; the container's arguments follow.",
    )
    pod_environment: dict[str, str] = Field(
        default_factory=dict, description="Variables that every container gets besides its own."
    )
    node_start_seconds: float = Field(default=1.0, ge=0, description="From a node's launch until it registers.")
    node_poll_seconds: float = Field(default=1.0, gt=0, description="How often the node groups are read.")
    node_drain_seconds: float = Field(
        default=900.0, gt=0, description="How long a node that is taken away waits for its pods to end."
    )
    node_lost_seconds: float = Field(
        default=8.0, ge=0, description="From the loss of a node until the API no longer has it and its pods."
    )
    restart_backoff_seconds: float = Field(
        default=10.0, gt=0, description="First wait of a container that keeps failing; doubles each time."
    )
