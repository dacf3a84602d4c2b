"""The policy pack as Pulumi runs it: `pulumi preview --policy-pack policies`."""

import sys
from pathlib import Path

# Pulumi runs this folder as a program; the pack shares the pure modules of the project around it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi_policy import PolicyPack

from policies.catalogue import LEVEL, POLICIES
from policies.conversion import convert_once

convert_once()
PolicyPack("vllm-blue-green", list(POLICIES), enforcement_level=LEVEL)
