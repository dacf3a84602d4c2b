"""The policy pack's entry point for Pulumi: `pulumi preview --policy-pack policies`."""

import sys
from pathlib import Path

# Pulumi runs this folder as a program, but the pack imports modules from the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi_policy import PolicyPack

from components.domain.naming import PROJECT
from policies.catalogue import LEVEL, POLICIES

PolicyPack(PROJECT, list(POLICIES), enforcement_level=LEVEL)
