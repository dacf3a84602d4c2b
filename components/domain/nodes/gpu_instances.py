"""GPU instance types of EC2: what a node offers and costs.

Sizes are EC2's figures, as published by Karpenter (https://karpenter.sh/docs/reference/instance-types/). Prices are
On-Demand Linux in us-east-1 as of 2026-07-20, from Karpenter's ``pkg/providers/pricing/zz_generated.pricing_aws.go``
(https://github.com/aws/karpenter-provider-aws); ``None`` where that table has no price. Types with a fraction of a GPU
(g6f, gr6f) are left out on purpose: they advertise no whole GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# What a node reserves for itself. EKS reserves CPU per core and memory per pod. The hypervisor and the kernel take a
# share of the memory (Karpenter assumes 7.5 %), and the kubelet evicts pods below 100 MiB of free memory.
_HYPERVISOR_MEMORY_SHARE: Final = 0.075
_EVICTION_MIB: Final = 100
_KUBELET_BASE_MIB: Final = 255
_KUBELET_MIB_PER_POD: Final = 11


@dataclass(frozen=True)
class GpuInstance:
    """One instance type, as EC2 reports it.

    Args:
        name: such as ``g6e.2xlarge``.
        vcpus: vCPUs of a node.
        memory_gib: memory of a node.
        max_pods: pods to which the VPC CNI can give addresses, without prefix delegation.
        gpus: whole GPUs of a node.
        gpu_model: common name of the GPU.
        gpu_memory_mib: memory of each GPU.
        usd_per_hour: On-Demand price of a node; None when unknown.
        instance_store_gb: size of the node's own NVMe disks together, in GB of 1000**3 bytes.
        ebs_mbit_per_second: most that a node can move to and from its EBS volumes, which small types only reach for a
            while.
    """

    name: str
    vcpus: int
    memory_gib: int
    max_pods: int
    gpus: int
    gpu_model: str
    gpu_memory_mib: int
    usd_per_hour: float | None
    instance_store_gb: int
    ebs_mbit_per_second: int

    @property
    def instance_store_gib(self) -> int:
        """Size of the node's own NVMe disks together, in GiB."""
        return int(self.instance_store_gb * 1000**3 / 1024**3)

    @property
    def ebs_mib_per_second(self) -> int:
        """Most that a node can move to and from its EBS volumes, in MiB/s."""
        return int(self.ebs_mbit_per_second * 1000**2 / 8 / 1024**2)

    @property
    def allocatable_millicpus(self) -> int:
        """CPU that pods may request, in thousandths of a CPU.

        EKS reserves 6 % of the first core, 1 % of the second, 0.5 % of the next two and 0.25 % of all others.
        """
        cores = self.vcpus
        tenths = 600 + 100 * min(max(cores - 1, 0), 1) + 50 * min(max(cores - 2, 0), 2) + 25 * max(cores - 4, 0)
        return cores * 1000 - -(-tenths // 10)

    @property
    def allocatable_memory_mib(self) -> int:
        """Memory that pods may request; a node that allows more pods reserves more for itself."""
        usable = self.memory_gib * 1024 * (1 - _HYPERVISOR_MEMORY_SHARE)
        return int(usable - _KUBELET_BASE_MIB - _KUBELET_MIB_PER_POD * self.max_pods - _EVICTION_MIB)


INSTANCE_TYPES: Final[Mapping[str, GpuInstance]] = MappingProxyType(
    {
        instance.name: instance
        for instance in (
            GpuInstance("g5.xlarge", 4, 16, 58, 1, "A10G", 22888, 1.006, 250, 3500),
            GpuInstance("g5.2xlarge", 8, 32, 58, 1, "A10G", 22888, 1.212, 450, 3500),
            GpuInstance("g5.4xlarge", 16, 64, 234, 1, "A10G", 22888, 1.624, 600, 4750),
            GpuInstance("g5.8xlarge", 32, 128, 234, 1, "A10G", 22888, 2.448, 900, 16000),
            GpuInstance("g5.16xlarge", 64, 256, 234, 1, "A10G", 22888, 4.096, 1900, 16000),
            GpuInstance("g5.12xlarge", 48, 192, 737, 4, "A10G", 22888, 5.672, 3800, 16000),
            GpuInstance("g5.24xlarge", 96, 384, 737, 4, "A10G", 22888, 8.144, 3800, 19000),
            GpuInstance("g5.48xlarge", 192, 768, 345, 8, "A10G", 22888, 16.288, 7600, 19000),
            GpuInstance("g6.xlarge", 4, 16, 58, 1, "L4", 22888, 0.8048, 250, 5000),
            GpuInstance("g6.2xlarge", 8, 32, 58, 1, "L4", 22888, 0.9776, 450, 5000),
            GpuInstance("g6.4xlarge", 16, 64, 234, 1, "L4", 22888, 1.3232, 600, 8000),
            GpuInstance("g6.8xlarge", 32, 128, 234, 1, "L4", 22888, 2.0144, 900, 16000),
            GpuInstance("g6.16xlarge", 64, 256, 737, 1, "L4", 22888, 3.3968, 1880, 20000),
            GpuInstance("g6.12xlarge", 48, 192, 234, 4, "L4", 22888, 4.6016, 3760, 20000),
            GpuInstance("g6.24xlarge", 96, 384, 737, 4, "L4", 22888, 6.6752, 3760, 30000),
            GpuInstance("g6.48xlarge", 192, 768, 737, 8, "L4", 22888, 13.3504, 7520, 60000),
            GpuInstance("gr6.4xlarge", 16, 128, 234, 1, "L4", 22888, 1.5392, 600, 8000),
            GpuInstance("gr6.8xlarge", 32, 256, 234, 1, "L4", 22888, 2.4464, 900, 16000),
            GpuInstance("g6e.xlarge", 4, 32, 58, 1, "L40S", 45776, 1.861, 250, 5000),
            GpuInstance("g6e.2xlarge", 8, 64, 58, 1, "L40S", 45776, 2.24208, 450, 5000),
            GpuInstance("g6e.4xlarge", 16, 128, 234, 1, "L40S", 45776, 3.00424, 600, 8000),
            GpuInstance("g6e.8xlarge", 32, 256, 234, 1, "L40S", 45776, 4.52856, 900, 16000),
            GpuInstance("g6e.16xlarge", 64, 512, 737, 1, "L40S", 45776, 7.57719, 1900, 20000),
            GpuInstance("g6e.12xlarge", 48, 384, 292, 4, "L40S", 45776, 10.49264, 3800, 20000),
            GpuInstance("g6e.24xlarge", 96, 768, 492, 4, "L40S", 45776, 15.06559, 3800, 30000),
            GpuInstance("g6e.48xlarge", 192, 1536, 492, 8, "L40S", 45776, 30.13118, 7600, 60000),
            GpuInstance("g7.2xlarge", 8, 32, 254, 1, "RTX PRO 4500", 32768, 2.520, 440, 8000),
            GpuInstance("g7.4xlarge", 16, 64, 506, 1, "RTX PRO 4500", 32768, 3.04208, 875, 8000),
            GpuInstance("g7.8xlarge", 32, 128, 632, 1, "RTX PRO 4500", 32768, 4.08624, 930, 16000),
            GpuInstance("g7.12xlarge", 48, 192, 758, 2, "RTX PRO 4500", 32768, 7.12832, 1900, 20000),
            GpuInstance("g7.24xlarge", 96, 384, 1514, 4, "RTX PRO 4500", 32768, 14.25664, 3800, 40000),
            GpuInstance("g7.48xlarge", 192, 768, 758, 8, "RTX PRO 4500", 32768, 28.51328, 7600, 80000),
            GpuInstance("g7e.2xlarge", 8, 64, 254, 1, "RTX PRO 6000 Server", 98304, 3.36312, 1900, 5000),
            GpuInstance("g7e.4xlarge", 16, 128, 506, 1, "RTX PRO 6000 Server", 98304, 3.99816, 1900, 8000),
            GpuInstance("g7e.8xlarge", 32, 256, 506, 1, "RTX PRO 6000 Server", 98304, 5.26824, 1900, 16000),
            GpuInstance("g7e.12xlarge", 48, 512, 632, 2, "RTX PRO 6000 Server", 98304, 8.28608, 3800, 25000),
            GpuInstance("g7e.24xlarge", 96, 1024, 632, 4, "RTX PRO 6000 Server", 98304, 16.57216, 7600, 50000),
            GpuInstance("g7e.48xlarge", 192, 2048, 632, 8, "RTX PRO 6000 Server", 98304, 33.14432, 15200, 100000),
            GpuInstance("p4d.24xlarge", 96, 1152, 737, 8, "A100-40", 40960, 21.957642, 8000, 19000),
            GpuInstance("p4de.24xlarge", 96, 1152, 737, 8, "A100-80", 81920, 27.44705, 8000, 19000),
            GpuInstance("p5.4xlarge", 16, 256, 118, 1, "H100", 81920, 6.88, 3800, 10000),
            GpuInstance("p5.48xlarge", 192, 2048, 100, 8, "H100", 81920, 55.04, 30400, 80000),
            GpuInstance("p5e.48xlarge", 192, 2048, 100, 8, "H200", 144384, None, 30400, 80000),
            GpuInstance("p5en.48xlarge", 192, 2048, 198, 8, "H200", 144384, 63.296, 30400, 100000),
            GpuInstance("p6-b200.48xlarge", 192, 2048, 198, 8, "B200", 183359, 113.9328, 30400, 100000),
            GpuInstance("p6-b300.48xlarge", 192, 4096, 198, 8, "B300", 275040, 142.416, 30400, 100000),
        )
    }
)
