"""An engineer's checkout of the product inside the world: the very program and scripts, with a stack of its own."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from rehearsal.aws.seed import SeededAccount
from rehearsal.settings import PROJECT_FOLDER

STACK = "rehearsal"
SERVICE = "chat"
CLUSTER = "rehearsal"

_PRODUCT = ("Pulumi.yaml", "__main__.py", "components", "policies", "rollout", "scripts")
_IMAGE = "vllm/vllm-openai@sha256:" + "5f" * 32
_REPLICAS = 2


def write_checkout(folder: Path, account: SeededAccount, region: str, endpoint_url: str) -> None:
    """Copy the product and write the stack's config: release A on blue, green not used yet."""
    folder.mkdir(parents=True)
    for name in _PRODUCT:
        source = PROJECT_FOLDER / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, folder / name)
    config = {
        "aws:region": region,
        **{f"vllm-blue-green:{key}": value for key, value in _stack_config(account, endpoint_url).items()},
    }
    (folder / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))
    releases = folder / "releases"
    releases.mkdir()
    for letter in "abc":
        release_file(folder, letter).write_text(yaml.safe_dump(_release(letter), sort_keys=False))


def release_file(folder: Path, letter: str) -> Path:
    """Where the checkout keeps a release: ``a`` and ``b`` are good, ``c`` fails and is slow."""
    return folder / "releases" / f"{letter}.yaml"


def _release(letter: str) -> dict[str, Any]:
    return {
        "model": "acme/assistant-8b",
        "model_revision": letter,
        "image": _IMAGE,
        "engine_args": ["--max-model-len=8192"],
        "prompts": {"system.txt": f"You are Acme's assistant. Answer briefly. (prompt set {letter})"},
        "sampling": {"temperature": 0.2},
    }


def _stack_config(account: SeededAccount, endpoint_url: str) -> dict[str, Any]:
    return {
        "cluster_name": CLUSTER,
        "cluster_security_group_id": account.cluster_security_group_id,
        "vpc_id": account.vpc_id,
        "node_subnet_ids": list(account.private_subnet_ids),
        "load_balancer_subnet_ids": list(account.public_subnet_ids),
        "service_name": SERVICE,
        "endpoint_url": endpoint_url,
        "active_color": "blue",
        "green_weight": 0,
        "blue": {"release": _release("a"), "replicas": _REPLICAS},
        "green": {"replicas": _REPLICAS},
        "headroom_mode": "on_rollout",
        "instance_type": "g6e.xlarge",
        # Seconds where production has minutes; the chain between them is derived as ever.
        "max_stream_seconds": 8,
        "deregistration_propagation_seconds": 2,
        "node_start_seconds": 30,
        "cold_start_seconds": 30,
        "probe_period_seconds": 2,
        "health_check_interval_seconds": 5,
        "rollout": {
            "steps": [
                {"candidate_percent": 1, "hold_seconds": 6},
                {"candidate_percent": 25, "hold_seconds": 6},
                {"candidate_percent": 75, "hold_seconds": 6},
                {"candidate_percent": 100, "hold_seconds": 5},
            ],
            "soak_seconds": 6,
            "keep_warm_seconds": 12,
            "settle_seconds": 1,
            "poll_seconds": 0.5,
            "ready_timeout_seconds": 60,
            "cloudwatch_period_seconds": 1,
            "gates": {
                "minimum_requests": 5,
                "max_hold_extension_seconds": 30,
                "error_rate_limit_percent": 2,
                "ttft_p95_limit_seconds": 1.5,
                "ttft_p95_ratio_limit": 2.5,
            },
            "smoke": {"requests": 4, "timeout_seconds": 10},
        },
    }
