"""Stacks for the cases: what the real program declares for a few configs, as engines show it to a policy pack."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from tests.components.example import release, run_program
from tests.components.registrations import STACK, Registrations


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One resource of a stack."""

    type: str
    name: str
    props: dict[str, Any]
    protect: bool = False
    ignore_changes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """How edits name it."""
        return f"{self.type.rpartition(':')[2]} {self.name}"

    @property
    def urn(self) -> str:
        return f"urn:pulumi:{STACK}::vllm-blue-green::{self.type}::{self.name}"


Stack = dict[str, Declared]

BOTH: Final[dict[str, Any]] = {
    "service_name": "chat",
    "blue": {"replicas": 4, "release": release()},
    "green": {"replicas": 4, "release": release(model_revision="beef123")},
}
LATER: Final = "2099-01-01T00:00:00Z"
SHARED: Final[dict[str, Any]] = {
    "arn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/shared/50dc6c495c0c9188/f2f7dc8efc522ab2",
    "security_group_id": "sg-0a1b2c3d4e5f60718",
    "idle_timeout_seconds": 300,
}
CERTIFICATE: Final = "arn:aws:acm:us-east-1:123456789012:certificate/6a0d3f5e-1111-2222-3333-444455556666"

CONFIGS: Final[dict[str, dict[str, Any]]] = {
    # A new stack: one release, the other colour never used.
    "first": {"service_name": "chat", "blue": {"replicas": 4, "release": release()}, "green": {"replicas": 4}},
    # A rollout onto green, a quarter of the way.
    "ramp": {**BOTH, "green_weight": 25, "rolling_out": True, "rollout_serial": 5},
    # A rollout onto green: one cohort of two is there, and no weight yet.
    "cohorts": {
        **BOTH,
        "rolling_out": True,
        "rollout_serial": 5,
        "cohorts_on_candidate": ["friends"],
        "rollout": {
            "cohorts": [
                {"name": "friends", "priority": 20, "header": "x-tenant", "values": ["acme", "umbrella-*"]},
                {"name": "partners", "priority": 21, "header": "x-tenant", "values": ["initech"]},
            ],
            "steps": [
                {"cohort": "friends", "hold_seconds": 600},
                {"cohort": "partners", "hold_seconds": 600},
                {"candidate_percent": 100, "hold_seconds": 600},
            ],
        },
    },
    # Green is promoted, and blue is kept warm.
    "promoted": {**BOTH, "green_weight": 100, "active_color": "green", "keep_until": LATER, "rollout_serial": 7},
    # Much later: blue is parked and its nodes are released.
    "reaped": {
        **BOTH,
        "green_weight": 100,
        "active_color": "green",
        "rollout_serial": 9,
        "blue": {"replicas": 4, "release": release(), "parked": True, "provisioned": False},
    },
    # One node group for both colours.
    "shared": {**BOTH, "headroom_mode": "always", "node_groups": "shared"},
    # No second pool: both colours share places for four replicas and one more, and green has half of the requests.
    "surge": {
        **BOTH,
        "headroom_mode": "surge",
        "node_groups": "shared",
        "surge_replicas": 1,
        "green_weight": 50,
        "rolling_out": True,
        "rollout_serial": 5,
        "blue": {**BOTH["blue"], "running_replicas": 3},
        "green": {**BOTH["green"], "running_replicas": 2},
    },
    # On nodes that others bring, a quarter of the way.
    "existing": {
        **BOTH,
        "existing_nodes": {"node_selector": {"team": "llm"}},
        "green_weight": 25,
        "rolling_out": True,
        "rollout_serial": 5,
    },
    # KEDA decides between two and six replicas; a rollout has raised both floors to four, and green has half of it all.
    "scaled": {
        **BOTH,
        "autoscaling": {
            "min_replicas": 2,
            "max_replicas": 6,
            "target": 5,
            "prometheus_url": "http://prometheus.monitoring:9090",
        },
        "green_weight": 50,
        "rolling_out": True,
        "rollout_serial": 5,
        "blue": {"release": release(), "floor_replicas": 4},
        "green": {"release": release(model_revision="beef123"), "floor_replicas": 4},
    },
    # On Karpenter's nodes, from a node pool of each colour, a quarter of the way.
    "karpenter": {
        **BOTH,
        "existing_nodes": {"karpenter_node_pool": {"node_class": "gpu"}},
        "green_weight": 25,
        "rolling_out": True,
        "rollout_serial": 5,
    },
    # KEDA decides between two and six replicas, and Karpenter brings their nodes.
    "scaled-karpenter": {
        **BOTH,
        "autoscaling": {
            "min_replicas": 2,
            "max_replicas": 6,
            "target": 5,
            "prometheus_url": "http://prometheus.monitoring:9090",
        },
        "existing_nodes": {"karpenter_node_pool": {"node_class": "gpu"}},
        "green_weight": 50,
        "rolling_out": True,
        "rollout_serial": 5,
        "blue": {"release": release(), "floor_replicas": 4},
        "green": {"release": release(model_revision="beef123"), "floor_replicas": 4},
    },
    # The second pool in a capacity reservation.
    "reserved": {
        **BOTH,
        "headroom_mode": "reserved",
        "green": {
            **BOTH["green"],
            "reservation": {"kind": "on_demand", "id": "cr-0a1b2c3d4e5f60718", "subnet_id": "subnet-1", "ends": LATER},
        },
    },
    # Green is promoted and runs in a capacity block, which ends a day after the keep-warm window of blue.
    "block": {
        **BOTH,
        "instance_type": "p5.48xlarge",
        "gpus_per_replica": 8,
        "headroom_mode": "reserved",
        "green_weight": 100,
        "active_color": "green",
        "keep_until": LATER,
        "green": {
            **BOTH["green"],
            "reservation": {
                "kind": "capacity_block",
                "id": "cr-0a1b2c3d4e5f60718",
                "subnet_id": "subnet-1",
                "ends": "2099-01-02T00:00:00Z",
            },
        },
    },
    # On the internet, with a certificate.
    "public": {
        **BOTH,
        "internet_facing": True,
        "certificate_arn": CERTIFICATE,
        "client_cidrs": ["0.0.0.0/0", "::/0"],
        "green_weight": 1,
        "rolling_out": True,
    },
    # Inside the network, with a certificate, access logs and long streams.
    "private": {
        **BOTH,
        "certificate_arn": CERTIFICATE,
        "client_cidrs": ["10.0.0.0/8", "fd00::/8"],
        "access_logs": {"bucket": "example-access-logs", "prefix": "vllm"},
        "max_stream_seconds": 800,
        "deregistration_propagation_seconds": 60,
        "health_check_interval_seconds": 300,
    },
    # Two services on a shared listener.
    "joined": {
        "blue": {"replicas": 2, "release": release()},
        "green": {"replicas": 2, "release": release(model_revision="beef123")},
        "services": {
            "chat": {
                "endpoint_url": "https://chat.example.com",
                "listener": {**SHARED, "rule_priority": 100, "host": "chat.example.com"},
            },
            "code": {
                "endpoint_url": "https://code.example.com",
                "listener": {**SHARED, "rule_priority": 3, "host": "code.example.com"},
                "max_stream_seconds": 290,
            },
        },
    },
    # The same release in both colours, to roll it onto new nodes.
    "alike": {**BOTH, "green": {"replicas": 4, "release": release()}, "green_weight": 25, "rolling_out": True},
    # Every option of a release and its pods, a single replica, and the shortest possible times.
    "small": {
        "service_name": "chat",
        "blue": {
            "replicas": 1,
            "release": release(
                model="s3://models/chat",
                model_revision="v3",
                engine_args=["--max-model-len=8192", "--no-enable-prefix-caching", "--seed", "-1"],
                prompts={"chat_template.jinja": "{{ messages }}", "system.txt": "Be kind."},
                sampling={"temperature": 0.2, "top_k": 20},
                lora_adapters={"legal": "/adapters/legal", "terse": "/adapters/terse"},
            ),
        },
        "green": {"replicas": 2, "release": release()},
        "green_weight": 50,
        "rolling_out": True,
        "max_stream_seconds": 1,
        "deregistration_propagation_seconds": 1,
        "cold_start_seconds": 1,
        "node_start_seconds": 1,
        "readiness_threshold_seconds": 1,
        "probe_period_seconds": 1,
        "health_check_interval_seconds": 5,
        "pods": {
            "api_key_secret": {"name": "chat", "key": "api-key"},
            "hub_token_secret": {"name": "chat", "key": "hub-token"},
            "model_cache_claim": "models",
            "compile_cache_claim": "kernels",
            "ingress_cidrs": ["10.1.0.0/16", "fd00::/8"],
            "monitoring_namespace": "observability",
        },
    },
    # The longest possible times.
    "slow": {
        **BOTH,
        "max_stream_seconds": 859,
        "cold_start_seconds": 86_400,
        "node_start_seconds": 86_400,
        "readiness_threshold_seconds": 300,
        "probe_period_seconds": 300,
        "health_check_interval_seconds": 300,
    },
    # Two services in one stack.
    "two": {
        "blue": {"replicas": 2, "release": release()},
        "green": {"replicas": 2, "release": release(model_revision="beef123")},
        "services": {"chat": {"green_weight": 25, "rolling_out": True}, "search": {"green_weight": 0}},
    },
}


@cache
def stack(name: str) -> Stack:
    """What the program declares for one of the configs."""
    return declared(**CONFIGS[name])


def declared(**config: Any) -> Stack:
    """What the program declares."""
    return as_stack(run_program(**config))


def as_stack(registrations: Registrations) -> Stack:
    """What a program has declared, as engines show it."""
    resources = [
        Declared(type=one.token, name=one.name, props=_with_arns(one.inputs), protect=one.protect)
        for one in registrations.resources.values()
        if not one.token.startswith("vllm-blue-green:")
    ]
    return {resource.key: resource for resource in resources}


def _with_arns(value: Any) -> Any:
    """Give target groups ARNs as in AWS, which contain their names."""
    if isinstance(value, dict):
        return {key: _with_arns(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arns(item) for item in value]
    if isinstance(value, str):
        arn = r"arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/\1-0a1b2c3/0123456789abcdef"
        return re.sub(r"^arn:TargetGroup:(.*)$", arn, value)
    return value
