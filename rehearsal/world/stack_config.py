"""The config of the world's stack: seconds instead of production's minutes, plus a person's overrides."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from components.config.settings import Settings, SettingsError
from rehearsal.aws.seed import SeededAccount
from rehearsal.world.releases import own_releases

Config = dict[str, Any]

SERVICE = "chat"
CLUSTER = "rehearsal"
GATEWAY_LOG = "gateway.jsonl"
"""Name of the file, beside the checkout, to which users' requests are written."""

_REPLICAS = 2
_NO_ACCOUNT = SeededAccount("vpc-0", ["subnet-0"], ["subnet-1", "subnet-2"], CLUSTER, "sg-0")

# Set by the world or its scenarios. Releases are set by their files.
_NOT_TO_CHOOSE = (
    "cluster_name",
    "cluster_security_group_id",
    "vpc_id",
    "node_subnet_ids",
    "load_balancer_subnet_ids",
    "service_name",
    "services",
    "served_model_name",
    "endpoint_url",
    "active_color",
    "green_weight",
    "rollout_serial",
    "keep_until",
    "announced",
    "certificate_arn",
    "blue.release",
    "green.release",
)


def stack_config(
    account: SeededAccount,
    endpoint_url: str,
    release: Mapping[str, Any],
    chosen: Config,
    *,
    suite: str = "evals/sums.jsonl",
    prometheus_url: str = "http://127.0.0.1",
) -> Config:
    """Return the stack's keys: a release on blue, green unused, and ``chosen`` on top.

    ``suite`` is the evaluation's question file; not every server can do sums.
    """
    scaled = "autoscaling" in chosen
    size = {} if scaled else {"replicas": _REPLICAS}
    own = {
        **({"autoscaling": {"prometheus_url": prometheus_url}} if scaled else {}),
        "cluster_name": CLUSTER,
        "cluster_security_group_id": account.cluster_security_group_id,
        "vpc_id": account.vpc_id,
        "node_subnet_ids": list(account.private_subnet_ids),
        "load_balancer_subnet_ids": list(account.public_subnet_ids),
        "service_name": SERVICE,
        "endpoint_url": endpoint_url,
        "active_color": "blue",
        "green_weight": 0,
        "blue": {"release": dict(release), **size},
        "green": size,
        "headroom_mode": "on_rollout",
        "instance_type": "g6e.xlarge",
        # Seconds instead of production's minutes; the drain chain is derived as usual.
        "max_stream_seconds": 8,
        "deregistration_propagation_seconds": 2,
        "node_start_seconds": 30,
        "cold_start_seconds": 30,
        "probe_period_seconds": 3,
        "pods": {"pod_monitor": True},
        "health_check_interval_seconds": 5,
        "rollout": {
            "steps": [
                {"candidate_percent": 1, "hold_seconds": 6},
                {"candidate_percent": 25, "hold_seconds": 6},
                {"candidate_percent": 75, "hold_seconds": 6},
                {"candidate_percent": 100, "hold_seconds": 5},
            ],
            "soak_seconds": 6,
            "keep_warm_seconds": 12,  # long enough for a look by scripts.watch
            "settle_seconds": 0,
            "attestation": {"error_percent": 5, "timeout_seconds": 60},
            "poll_seconds": 0.5,
            "ready_timeout_seconds": 60,
            "cloudwatch_period_seconds": 1,
            "gates": {
                "minimum_requests": 3,
                "max_hold_extension_seconds": 30,
                "error_rate": {"limit_percent": 2, "increase_limit_points": 2},
                "ttft_p95": {"limit_seconds": 1.5, "ratio_limit": 2.5},
                "inter_token_p95": {"ratio_limit": 2.5},
                # Holds here are shorter than streams, so the window in which more streams end looks slower.
                "end_to_end_p95": {"limit_seconds": 30, "ratio_limit": 1000},
                "target_group_errors": {"limit_percent": 2, "increase_limit_points": 2},
                "target_group_latency": {"limit_seconds": 10, "ratio_limit": 4},
                "recorded_prompts": f"../{GATEWAY_LOG}",
                "smoke": {"requests": 4, "timeout_seconds": 10},
                "eval": {"suite": suite, "max_tokens": 16, "request_timeout_seconds": 20},
                "warm_up": {"prefixes": 4, "max_seconds": 4, "level_points": 20},
                # As few prompts as a verdict needs. The limits let release C, which is slow and answers only some
                # prompts, pass to the ramp, because the rehearsal is about the metric gates that catch it there.
                "shadow": {
                    "samples": 12,
                    "minimum_samples": 9,
                    "max_tokens": 2,
                    "max_difference_points": 60,
                    "latency_ratio_limit": 100,
                    "concurrency": 2,
                },
            },
        },
    }
    return _merged(own, chosen)


def read_config(path: Path) -> Config:
    """Read a person's keys and check them as the program does.

    Raises:
        ValueError: the file does not exist, or a key is reserved or invalid. The message names it.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(error.strerror) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("must contain keys of the stack's config, e.g. cold_start_seconds: 300")
    chosen = cast(Config, content)
    for key in _NOT_TO_CHOOSE:
        if _has(chosen, key.split(".")):
            raise ValueError(f"{key} is set by the rehearsal; remove it")
    config = stack_config(_NO_ACCOUNT, "http://127.0.0.1", own_releases()["a"], chosen)
    try:
        Settings.from_config(as_pulumi_gives_it(config))
    except SettingsError as error:
        raise ValueError(str(error)) from error
    return chosen


def as_pulumi_gives_it(config: Config) -> dict[str, str]:
    """Return every value as text, with structured ones as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def _merged(under: Config, over: Config) -> Config:
    """Return ``under`` with the values of ``over``. Objects are merged, lists are replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = under.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merged(cast(Config, below), cast(Config, value))
        merged[key] = value
    return merged


def _has(config: Config, path: Sequence[str]) -> bool:
    value: Any = config
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = cast(Config, value)[key]
    return True
