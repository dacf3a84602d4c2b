"""A stack config for tests: one service with release A on blue and nothing on green, plus changes."""

import json
import runpy
from pathlib import Path
from typing import Any

from components.config.service_settings import ServiceSettings
from components.config.settings import Settings
from tests.components.registrations import Registrations, register

ROOT = Path(__file__).parents[2]
IMAGE = f"vllm/vllm-openai@sha256:{'a' * 64}"
SECRET = "s3cret-part-of-the-route"

OTHERS_PODS: dict[str, Any] = {
    "service_account_name": "models",
    "image_pull_secrets": ["registry"],
    "priority_class_name": "serving",
    "memory_limit_mib": 16384,
    "volumes": [
        {"claim": "adapters", "mount_path": "/adapters"},
        {"config_map": "tools", "mount_path": "/tools"},
        {"secret": "certificates", "mount_path": "/certificates"},
    ],
}
"""What some users' pods need: an account, a registry's secret, a priority, a memory limit and volumes."""


def release(**changes: Any) -> dict[str, Any]:
    return {"model": "org/model", "model_revision": "c0ffee0", "image": IMAGE, **changes}


def config(**changes: Any) -> dict[str, str]:
    """Stack config as Pulumi passes it; a change to None removes a key."""
    values: dict[str, Any] = {
        "cluster_name": "main",
        "cluster_security_group_id": "sg-0c",
        "vpc_id": "vpc-0a",
        "node_subnet_ids": ["subnet-1", "subnet-2"],
        "load_balancer_subnet_ids": ["subnet-3", "subnet-4"],
        "candidate_route_secret": SECRET,
        "instance_type": "g6e.2xlarge",
        "blue": {"replicas": 2, "release": release()},
        "green": {"replicas": 2},
        **changes,
    }
    return {
        f"vllm-blue-green:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }


def settings(**changes: Any) -> Settings:
    return Settings.from_config(config(**changes))


def service_settings(**changes: Any) -> ServiceSettings:
    return settings(**changes).service()[1]


def run_program(**changes: Any) -> Registrations:
    """Run the real program, `__main__.py`, on this config."""
    return run_program_on(config(**changes))


def run_program_on(values: dict[str, str], *, encrypted: bool = True) -> Registrations:
    """Run the real program on a whole config; ``encrypted`` says how the secret is kept."""
    secret_keys = ["vllm-blue-green:candidate_route_secret"] if encrypted else []
    return register(lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__"), values, secret_keys)
