"""Settings of a service's GPU nodes: their image, disks, user data, access and networks."""

import tomllib
from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from components.config.reading.forms import SECURITY_GROUP, Form, all_different, matching
from components.config.reading.model import STRICT, Items
from components.config.reading.violations import Violation, wrong

AmiType = Literal["AL2023_x86_64_NVIDIA", "BOTTLEROCKET_x86_64_NVIDIA"]

# The limits of a gp3 volume: IOPS, MiB/s, and MiB/s for each of its IOPS.
# https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
MIN_IOPS: Final = 3000
MAX_IOPS: Final = 80_000
MIN_MIB_PER_SECOND: Final = 125
MAX_MIB_PER_SECOND: Final = 2000
IOPS_PER_MIB_PER_SECOND: Final = 4
# EC2 takes 16 KiB before base64; EKS adds its own part.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
_MAX_USER_DATA: Final = 12_000
# A network interface's security groups, without a raised quota. The cluster's own group is one of them.
# https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
_MAX_SECURITY_GROUPS: Final = 4

KMS_KEY: Final = Form(
    "the ARN of a KMS key",
    "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    matching(r"arn:aws(-[a-z]+)*:kms:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}:key/(mrk-)?[0-9a-f-]{32,36}"),
)

SCRIPT: Final = "#!"
NODE_CONFIG: Final = "apiVersion: node.eks.aws/"


class NodeSettings(BaseModel):
    """The nodes of both colours. A change replaces nodes that run, one after the other."""

    model_config = STRICT

    ami_type: Annotated[
        AmiType, Field(description="Image family of the nodes, with NVIDIA's driver. It replaces the node groups.")
    ] = "AL2023_x86_64_NVIDIA"
    user_data: Annotated[
        str | None,
        Field(
            max_length=_MAX_USER_DATA,
            description="What a node does at its start. AL2023: a NodeConfig or a shell script; Bottlerocket: settings "
            "in TOML. No secrets.",
            examples=["#!/bin/bash"],
        ),
    ] = None
    volume_iops: Annotated[
        int, Field(ge=MIN_IOPS, le=MAX_IOPS, description="I/O operations per second of a node's volume (gp3).")
    ] = MIN_IOPS
    volume_mib_per_second: Annotated[
        int,
        Field(
            ge=MIN_MIB_PER_SECOND,
            le=MAX_MIB_PER_SECOND,
            description="Throughput of a node's volume (gp3), in MiB/s. The default is the most that 3000 IOPS allow.",
        ),
    ] = MIN_IOPS // IOPS_PER_MIB_PER_SECOND
    volume_kms_key_arn: Annotated[
        str | None,
        KMS_KEY,
        Field(
            description="KMS key of the nodes' volumes, which Auto Scaling must be allowed to use. Default: the "
            "account's key for EBS."
        ),
    ] = None
    instance_store: Annotated[
        bool,
        Field(description="True: images and pods' files are on the node's own NVMe disks, as one RAID 0 (AL2023)."),
    ] = False
    ssm_access: Annotated[
        bool, Field(description="True: nodes can be reached with AWS Systems Manager's Session Manager.")
    ] = False
    security_group_ids: Annotated[
        Items[Annotated[str, SECURITY_GROUP]],
        Field(
            max_length=_MAX_SECURITY_GROUPS,
            description="Security groups of nodes and pods, in addition to the cluster's own.",
        ),
    ] = ()

    @field_validator("security_group_ids")
    @classmethod
    def _be_different(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return all_different(items)

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if violations := tuple(self._violations()):
            raise wrong(*violations)
        return self

    def _violations(self) -> Iterator[Violation]:
        most = self.volume_iops // IOPS_PER_MIB_PER_SECOND
        if self.volume_mib_per_second > most:
            what = f"must be at most {most} with volume_iops {self.volume_iops}"
            fix = f"Set volume_iops to at least {self.volume_mib_per_second * IOPS_PER_MIB_PER_SECOND}, or lower it."
            yield Violation(("volume_mib_per_second",), what, fix, self.volume_mib_per_second)
        if self.instance_store and self.is_bottlerocket:
            what = f"must be false with ami_type {self.ami_type}: the program sets up the disks with a NodeConfig"
            yield Violation(("instance_store",), what, "Set the disks up in user_data, or use AL2023.", True)
        if self.user_data is not None and not self._is_usable(self.user_data):
            expected = "settings in TOML" if self.is_bottlerocket else f"begin with {SCRIPT} or {NODE_CONFIG}"
            what = f"must {'be ' if self.is_bottlerocket else ''}{expected} for ami_type {self.ami_type}"
            yield Violation(("user_data",), what, "", self.user_data)

    def _is_usable(self, user_data: str) -> bool:
        if not self.is_bottlerocket:
            return user_data.startswith((SCRIPT, NODE_CONFIG))
        try:
            return "settings" in tomllib.loads(user_data)
        except tomllib.TOMLDecodeError:
            return False

    @property
    def is_bottlerocket(self) -> bool:
        """Whether the nodes run Bottlerocket."""
        return self.ami_type.startswith("BOTTLEROCKET")
