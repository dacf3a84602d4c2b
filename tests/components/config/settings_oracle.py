"""An oracle for stack configs: a second, hand-written specification of the settings, without pydantic."""

import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from components.config.violations import Path, dotted

Json = Any
Accepts = Callable[[Json], bool]

SECRET_TEXTS = ("hf_abcdefghijklmnopqrstuvwx", "AKIAABCDEFGHIJKLMNOP", "https://user:hunter2@prometheus.internal")


def whole(least: int, most: float) -> Accepts:
    return lambda value: type(value) is int and least <= value <= most


def number(least: float, most: float) -> Accepts:
    return lambda value: type(value) in (int, float) and least <= value <= most


def positive(most: float) -> Accepts:
    return lambda value: number(0, most)(value) and value > 0


def above_zero(value: Json) -> bool:
    return seconds(value) and value > 0


def up_to(most: float) -> Accepts:
    return lambda value: number(0, most)(value) and value > 0


def size(value: Json) -> bool:
    return number(0, 100_000)(value) and value > 0


def truth(value: Json) -> bool:
    return value is True or value is False


def one_of(*choices: str) -> Accepts:
    return lambda value: isinstance(value, str) and value in choices


def text(pattern: str) -> Accepts:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def some_text(value: Json) -> bool:
    return isinstance(value, str) and value != ""


def path(value: Json) -> bool:
    fits = isinstance(value, str) and 1 <= len(value) <= 500 and value.strip("/") != ""
    return fits and ":" not in value and not any(ord(character) < 32 for character in value)


def path_or_s3(value: Json) -> bool:
    bucket = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/"
    return path(value) or (isinstance(value, str) and re.fullmatch(bucket + r"[^\x00-\x1f]{0,500}", value) is not None)


def any_text(value: Json) -> bool:
    return isinstance(value, str)


def network(value: Json) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f.:]+/[0-9]+", value, re.IGNORECASE):
        return False
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return True


def base_url(value: Json) -> bool:
    return url(value, with_path=False)


def host(value: Json) -> bool:
    labels = value.split(".") if isinstance(value, str) else [""]
    fits = all(re.fullmatch(r"(?!-)[a-z0-9-]{1,63}(?<!-)", one) for one in labels)
    return fits and len(labels) > 1 and re.fullmatch(r"[a-z]{2,63}", labels[-1]) is not None and len(value) <= 128


def url(value: Json, *, with_path: bool = True) -> bool:
    host = r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])"
    path = r"(/[!\"$->@-~]*)?" if with_path else ""
    return isinstance(value, str) and re.fullmatch(rf"https?://{host}(:[1-9][0-9]{{0,3}})?{path}", value) is not None


def time(value: Json) -> bool:
    if value == "":
        return True
    shape = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)"
    if not isinstance(value, str) or not re.fullmatch(shape, value, re.ASCII):
        return False
    try:
        datetime.fromisoformat(value.upper())
    except ValueError:
        return False
    return True


def set_time(value: Json) -> bool:
    return value != "" and time(value)


def optional(accepts: Accepts) -> Accepts:
    return lambda value: value is None or accepts(value)


seconds = number(0, 31_536_000)
word = text(r"\S(.|\n)*")


@dataclass(frozen=True)
class Names:
    """An object whose names are not fixed."""

    name: Accepts
    value: Accepts


REFUSED_OPTIONS = [
    *("--model", "--host", "--port", "--uds", "--revision", "--served-model-name", "--tensor-parallel-size"),
    *("--shutdown-timeout", "--fingerprint-mode", "--fingerprint-value", "--chat-template"),
    *("--override-generation-config", "--lora-modules", "--enable-lora", "--enable-request-id-headers", "--api-key"),
    *("--hf-token", "--pipeline-parallel-size", "--prefill-context-parallel-size", "--data-parallel-size"),
    *("--data-parallel-size-local", "--data-parallel-address", "--data-parallel-backend", "--data-parallel-rank"),
    *("--data-parallel-external-lb", "--data-parallel-hybrid-lb", "--data-parallel-multi-port-external-lb"),
    *("--data-parallel-rpc-port", "--data-parallel-start-rank", "--data-parallel-supervisor-port", "--headless"),
    *("--master-addr", "--master-port", "--nnodes", "--node-rank", "--ssl-keyfile", "--ssl-certfile", "--config"),
    *("--root-path", "--disable-log-stats", "--disable-log-requests", "--task"),
]
REFUSED_SHORT = {"-tp", "-pp", "-dp", "-pcp", "-n", "-r", *(f"-dp{letter}" for letter in "abehlmnpr")}


def engine_args(items: list[Json]) -> Iterator[int]:
    """Positions of the arguments that a release may not set."""
    others = [position for position, item in enumerate(items) if not isinstance(item, str)]
    if others:
        yield from others
        return
    if items and not _is_option(items[0]):
        yield 0
    reads_values = False
    for position, item in enumerate(items):
        if item == "" or not item.isprintable() or item != item.strip():
            yield position
        value = item
        if _is_option(item):
            name, *rest = re.split(r"[=\s]", item, maxsplit=1)
            reads_values = not _is_refused(name.split(".")[0]) and (not rest or item[len(name)] == "=")
            value = rest[0] if rest else ""
            if not reads_values:
                yield position
        if reads_values and re.search(r"\S\s+--?[A-Za-z]", value):
            yield position


def _is_option(item: str) -> bool:
    return re.match(r"-(?!\.?[0-9])", item) is not None


def _is_refused(name: str) -> bool:
    if not name.startswith("--"):
        return name in REFUSED_SHORT
    name = re.sub("^--no-", "--", name.replace("_", "-"))
    return any(one == name or (len(name) > 3 and one.startswith(name)) for one in REFUSED_OPTIONS)


def variable(name: str) -> bool:
    derived = {"HOME", "USER", "POD_IP"} | {"VLLM_API_KEY", "HF_TOKEN", "HF_HOME", "VLLM_CACHE_ROOT"}
    return text(r"[A-Za-z_][A-Za-z0-9_]{0,199}")(name) and name not in derived and not re.fullmatch("(?i)key", name)


def printable(value: Json) -> bool:
    return isinstance(value, str) and value.isprintable()


MODEL = text(r"([a-z][a-z0-9]+://)?[A-Za-z0-9/][A-Za-z0-9._/+=-]{0,499}|[\w.-]+/[\w.-]+:[\w+-]+")
RELEASE: dict[str, Any] = {
    "model": MODEL,
    "model_revision": text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"),
    "image": text(r"[a-z0-9][A-Za-z0-9._/:-]{0,255}@sha256:[0-9a-f]{64}"),
    "engine_args": engine_args,
    "env": Names(variable, printable),
    "prompts": Names(text(r"(?!\.)[A-Za-z0-9._-]{1,100}"), any_text),
    "sampling": {
        "temperature": optional(number(0, 2)),
        "top_p": optional(positive(1)),
        "top_k": optional(whole(-1, math.inf)),
        "min_p": optional(number(0, 1)),
        "repetition_penalty": optional(positive(math.inf)),
        "max_new_tokens": optional(whole(1, math.inf)),
    },
    "lora_adapters": Names(text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"), text(r"/[A-Za-z0-9._/+-]{0,498}[A-Za-z0-9._+-]")),
    "weights_gib": optional(size),
    "kv_cache_kib_per_token": optional(size),
}
RESERVATION: dict[str, Any] = {
    "kind": one_of("on_demand", "capacity_block"),
    "id": optional(text(r"cr-[0-9a-f]{1,17}")),
    "resource_group_arn": optional(
        text(
            r"arn:aws(-[a-z]+)*:resource-groups:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}:"
            r"group/[A-Za-z0-9_.-]{1,300}(/[a-z0-9]+)?"
        )
    ),
    "subnet_id": optional(text(r"subnet-[0-9a-f]{1,17}")),
    "ends": set_time,
}
COLOR: dict[str, Any] = {
    "release": RELEASE,
    "replicas": whole(1, 1000),
    "parked": truth,
    "provisioned": optional(truth),
    "reservation": RESERVATION,
    "node_release_version": optional(text(r"1\.[0-9]{2}\.[0-9]{1,2}-20[0-9]{6}")),
    "node_subnet_ids": [text(r"subnet-[0-9a-f]{1,17}")],
}
DNS_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*"


def object_name(value: Json) -> bool:
    return text(DNS_NAME)(value) and len(value) <= 253


def mount_path(value: Json) -> bool:
    if not text(r"(/[A-Za-z0-9._-]{1,100}){1,10}")(value) or {".", ".."} & set(value.split("/")):
        return False
    taken = ["/etc", "/var/cache/models", "/var/cache/compile", "/home/vllm", "/tmp", "/dev", "/bin", "/lib"]
    taken += ["/proc", "/run", "/sbin", "/sys", "/usr"]
    return not any(f"{value}/".startswith(f"{one}/") or f"{one}/".startswith(f"{value}/") for one in taken)


SECRET_REFERENCE: dict[str, Any] = {"name": object_name, "key": text(r"(?!\.$|\.\.)[A-Za-z0-9._-]{1,253}")}
ERROR_GATE: dict[str, Any] = {
    "dry_run": truth,
    "limit_percent": number(0, 100),
    "increase_limit_points": number(0, 100),
}
LATENCY_GATE: dict[str, Any] = {"dry_run": truth, "limit_seconds": above_zero, "ratio_limit": number(1, 1000)}

SPEC: dict[str, Any] = {
    "cluster_name": text(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}"),
    "cluster_security_group_id": text(r"sg-[0-9a-f]{1,17}"),
    "vpc_id": text(r"vpc-[0-9a-f]{1,17}"),
    "node_subnet_ids": [text(r"subnet-[0-9a-f]{1,17}")],
    "load_balancer_subnet_ids": [text(r"subnet-[0-9a-f]{1,17}")],
    "internet_facing": truth,
    "certificate_arn": text(
        r"arn:aws(-[a-z]+)*:acm:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}:"
        r"certificate/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    ),
    "client_cidrs": [network],
    "access_logs": {
        "bucket": text(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
        "prefix": text(r"(?!.*AWSLogs)([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?"),
    },
    "vpc_cni_uses_node_role": truth,
    "node_permissions_boundary_arn": text(r"arn:aws(-[a-z]+)*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]{1,600}"),
    "protect": truth,
    "service_name": text(r"[a-z]([-a-z0-9]{0,16}[a-z0-9])?"),
    "active_color": one_of("blue", "green"),
    "green_weight": whole(0, 100),
    "rollout_serial": whole(0, 1_000_000_000),
    "keep_until": time,
    "announced": text(r"([0-9]{1,10} \S[^\x00-\x1f]*)?"),
    "rolling_out": truth,
    "max_step_points": whole(1, 100),
    "blue": COLOR,
    "green": COLOR,
    "namespace": text(r"(?!default$|kube-)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
    "create_namespace": truth,
    "served_model_name": text(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,199}"),
    "instance_type": one_of("g6e.2xlarge", "g6e.12xlarge"),
    "gpus_per_replica": whole(1, math.inf),
    "replica_millicpus": whole(100, math.inf),
    "replica_memory_mib": whole(256, math.inf),
    "spare_nodes": whole(0, 100),
    "headroom_mode": one_of("always", "on_rollout", "reserved"),
    "node_groups": one_of("per_color", "shared"),
    "node_volume_gib": optional(whole(30, 16_384)),
    "nodes": {
        "ami_type": one_of("AL2023_x86_64_NVIDIA"),
        "user_data": optional(text(r"(#!|apiVersion: node\.eks\.aws/)(.|\n)*")),
        "volume_iops": whole(3000, 80_000),
        "volume_mib_per_second": whole(125, 2000),
        "volume_kms_key_arn": optional(
            text(r"arn:aws(-[a-z]+)*:kms:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}:key/(mrk-)?[0-9a-f-]{32,36}")
        ),
        "ssm_access": truth,
        "security_group_ids": [text(r"sg-[0-9a-f]{1,17}")],
    },
    "shared_memory_gib": whole(1, 2048),
    "max_stream_seconds": whole(1, 86_400),
    "deregistration_propagation_seconds": whole(1, 86_400),
    "cold_start_seconds": whole(1, 86_400),
    "node_start_seconds": whole(1, 86_400),
    "readiness_threshold_seconds": whole(1, 300),
    "probe_period_seconds": whole(1, 300),
    "health_check_interval_seconds": whole(5, 300),
    "pods": {
        "api_key_secret": SECRET_REFERENCE,
        "hub_token_secret": SECRET_REFERENCE,
        "model_cache_claim": optional(object_name),
        "compile_cache_claim": optional(object_name),
        "volumes": [
            {
                "claim": optional(object_name),
                "config_map": optional(object_name),
                "secret": optional(object_name),
                "mount_path": mount_path,
            }
        ],
        "service_account_name": optional(object_name),
        "image_pull_secrets": [object_name],
        "priority_class_name": optional(object_name),
        "memory_limit_mib": optional(whole(256, math.inf)),
        "ingress_cidrs": [network],
        "monitoring_namespace": text(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
        "pod_monitor": truth,
        "pod_monitor_labels": Names(
            text(rf"({DNS_NAME}/)?[A-Za-z0-9]([A-Za-z0-9._-]{{0,61}}[A-Za-z0-9])?"),
            text(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"),
        ),
        "scrape_interval_seconds": whole(1, 300),
    },
    "endpoint_url": base_url,
    "listener": {
        "arn": text(
            r"arn:aws(-[a-z]+)*:elasticloadbalancing:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}:"
            r"listener/app/[A-Za-z0-9-]{1,32}/[0-9a-f]{1,32}/[0-9a-f]{1,32}"
        ),
        "security_group_id": text(r"sg-[0-9a-f]{1,17}"),
        "idle_timeout_seconds": whole(1, 4000),
        "rule_priority": whole(3, 50_000),
        "host": optional(host),
    },
    "alarms": {
        "topic_arns": [text(r"arn:aws(-[a-z]+)*:sns:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")],
        "window_minutes": whole(1, 60),
        "error_rate_limit_percent": number(0, 100),
        "response_time_p95_limit_seconds": optional(above_zero),
        "load_balancer_errors_limit_per_minute": whole(0, 1_000_000),
    },
    "rollout": {
        "steps": [{"candidate_percent": whole(1, 100), "hold_seconds": seconds}],
        "soak_seconds": seconds,
        "keep_warm_seconds": seconds,
        "settle_seconds": seconds,
        "attestation": {
            "error_percent": up_to(10),
            "timeout_seconds": above_zero,
        },
        "drill_max_age_days": optional(up_to(3650)),
        "poll_seconds": above_zero,
        "ready_timeout_seconds": seconds,
        "update_timeout_seconds": above_zero,
        "records_url": optional(
            text(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=/-]{0,500})?|file:///[A-Za-z0-9._=/%@+-]{0,500}")
        ),
        "lock_expiry_seconds": number(1, 86_400),
        "prometheus_url": optional(url),
        "cloudwatch_period_seconds": whole(1, 86_400),
        "gates": {
            "minimum_requests": whole(1, 1_000_000),
            "max_hold_extension_seconds": seconds,
            "on_timeout": one_of("rollback", "pause"),
            "false_alarm_rate": number(1e-9, 0.2),
            "error_rate": ERROR_GATE,
            "abandoned": ERROR_GATE,
            "ttft_p95": LATENCY_GATE,
            "inter_token_p95": LATENCY_GATE,
            "end_to_end_p95": LATENCY_GATE,
            "queue_depth": {
                "dry_run": truth,
                "limit_per_replica": number(0, 1_000_000),
                "increase_limit_per_replica": number(0, 1_000_000),
            },
            "target_group_errors": ERROR_GATE,
            "target_group_latency": LATENCY_GATE,
            "probes": {
                "enabled": truth,
                "requests_per_second": number(1e-9, 1000),
                "max_tokens": whole(1, 100_000),
            },
            "recorded_prompts": optional(path_or_s3),
            "smoke": {"requests": whole(1, 1000), "timeout_seconds": above_zero, "max_tokens": whole(1, 100_000)},
            "eval": {
                "command": [any_text],
                "suite": optional(path),
                "score_file": optional(path),
                "score_path": some_text,
                "standard_error_path": optional(some_text),
                "full_score": positive(1_000_000),
                "minimum_score_percent": optional(number(0, 100)),
                "max_drop_points": optional(number(0, 100)),
                "timeout_seconds": above_zero,
                "request_timeout_seconds": above_zero,
                "max_tokens": whole(1, 100_000),
                "concurrency": whole(1, 256),
            },
            "warm_up": {
                "prefixes": whole(1, 10_000),
                "max_seconds": number(0, 86_400),
                "level_points": positive(100),
                "timeout_seconds": above_zero,
                "concurrency": whole(1, 256),
            },
            "shadow": {
                "samples": whole(1, 100_000),
                "minimum_samples": whole(9, 100_000),
                "seed": whole(0, 2**31 - 1),
                "max_tokens": whole(1, 100_000),
                "max_difference_points": number(0, 100),
                "max_similarity_drop": optional(positive(1)),
                "latency_ratio_limit": number(1, 1000),
                "timeout_seconds": above_zero,
                "concurrency": whole(1, 256),
            },
            "manual": {"at_percents": [whole(1, 100)], "timeout_seconds": above_zero},
        },
        "hooks": {"after_promotion": [word], "after_rollback": [word], "timeout_seconds": above_zero},
    },
}
REQUIRED: dict[Path, tuple[str, ...]] = {
    (): (*list(SPEC)[:4], "instance_type"),
    ("access_logs",): ("bucket",),
    ("listener",): ("arn", "security_group_id", "idle_timeout_seconds", "rule_priority"),
    ("blue", "release"): ("model", "model_revision", "image"),
    ("green", "release"): ("model", "model_revision", "image"),
    ("blue", "reservation"): ("kind", "ends"),
    ("green", "reservation"): ("kind", "ends"),
    ("pods", "api_key_secret"): ("name", "key"),
    ("pods", "hub_token_secret"): ("name", "key"),
    ("pods", "volumes", 0): ("mount_path",),
    ("rollout", "steps", 0): ("candidate_percent", "hold_seconds"),
}
VOLUME_SOURCES = ("claim", "config_map", "secret")
SHORTEST: dict[Path, int] = {
    ("node_subnet_ids",): 1,
    ("load_balancer_subnet_ids",): 0,
    ("client_cidrs",): 1,
    ("blue", "node_subnet_ids"): 0,
    ("green", "node_subnet_ids"): 0,
    ("nodes", "security_group_ids"): 0,
    ("alarms", "topic_arns"): 0,
    ("pods", "ingress_cidrs"): 1,
    ("pods", "image_pull_secrets"): 0,
    ("pods", "volumes"): 0,
    ("rollout", "steps"): 1,
    ("rollout", "gates", "eval", "command"): 0,
    ("rollout", "gates", "manual", "at_percents"): 0,
    ("rollout", "hooks", "after_promotion"): 0,
    ("rollout", "hooks", "after_rollback"): 0,
}
# Lists that may contain an item twice.
REPEATABLE = {path for path in SHORTEST if path[-1] in ("command", "at_percents", "image_pull_secrets")}
COLORS = ("blue", "green")
# Objects that may be null.
OPTIONAL: set[Path] = {
    ("access_logs",),
    ("listener",),
    *((color, part) for color in ("blue", "green") for part in ("release", "reservation")),
    *(("pods", secret) for secret in ("api_key_secret", "hub_token_secret")),
}
STACK_KEYS = {*list(SPEC)[: list(SPEC).index("service_name")], "service_name"}
TEXT_KEYS = frozenset(
    {"cluster_name", "cluster_security_group_id", "vpc_id", "certificate_arn", "service_name", "keep_until"}
    | {"node_permissions_boundary_arn", "announced", "namespace", "served_model_name", "instance_type", "endpoint_url"}
)
# GPUs, CPU in thousandths and memory in MiB for a replica, without EKS's reserves and 300 / 512 for daemonsets.
NODES = {"g6e.2xlarge": (1, 7610, 59_115), "g6e.12xlarge": (4, 47_510, 359_645)}


def pulumi_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_read(values: dict[str, Json]) -> dict[str, Json]:
    """The values as every reader of Pulumi's texts must read them."""
    read: dict[str, Json] = {}
    for key, value in values.items():
        written = pulumi_text(value)
        if written == "" and key in SPEC:
            continue
        read[key] = written
        if key not in TEXT_KEYS and written == written.strip():
            with suppress(ValueError, RecursionError):
                read[key] = json.loads(written)
        if not isinstance(read[key], str):
            read[key] = _from_text(SPEC.get(key), read[key])
    return read


def _from_text(spec: Any, value: Json) -> Json:
    """Read a number, true or false that is a text, where the specification would accept it without the quotes."""
    if isinstance(spec, dict) and isinstance(value, dict):
        return {name: _from_text(spec.get(name), one) for name, one in value.items()}
    if isinstance(spec, list) and isinstance(value, list):
        return [_from_text(spec[0], one) for one in value]
    if callable(spec) and isinstance(value, str) and not spec(value) and _SCALAR.fullmatch(value):
        scalar = json.loads(value)
        return scalar if spec(scalar) else value
    return value


_SCALAR = re.compile(r"true|false|-?(0|[1-9][0-9]{0,99})(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def violating_paths(values: dict[str, Json]) -> set[str]:
    """Exactly the fields of a flat config that an error must name."""
    read = as_read(values)
    fields = set(_field_violations(SPEC, read, ()))
    colors = {violation for color in COLORS for violation in _color_violations(color, read.get(color), fields)}
    texts = set(_bad_texts({key: one for key, one in read.items() if key in SPEC}, ()))
    of_service = {path for path in fields | colors if path[0] in SPEC and path[0] not in STACK_KEYS}
    crossing = set() if of_service else set(_service_violations(read))
    refused = crossing or any(path[0] in SPEC for path in fields | colors)
    of_stack = set() if refused else set(_stack_violations(read))
    return {dotted(path) for path in fields | colors | texts | crossing | of_stack}


def _field_violations(spec: Any, value: Json, path: Path) -> Iterator[Path]:
    if spec is engine_args:
        if isinstance(value, list):
            yield from ((*path, position) for position in engine_args(value))
        else:
            yield path
    elif isinstance(spec, Names):
        if isinstance(value, dict):
            yield from ((*path, name) for name, one in value.items() if not (spec.name(name) and spec.value(one)))
        else:
            yield path
    elif callable(spec):
        if not spec(value):
            yield path
    elif isinstance(spec, dict):
        if path in OPTIONAL and value is None:
            return
        if not isinstance(value, dict):
            yield path
            return
        found = False
        for name, one in value.items():
            for violation in _field_violations(spec[name], one, (*path, name)) if name in spec else [(*path, name)]:
                found = True
                yield violation
        generic = tuple(0 if isinstance(part, int) else part for part in path)
        missing = [(*path, name) for name in REQUIRED.get(generic, ()) if name not in value]
        yield from missing
        if not found and not missing:
            yield from _between(value, path)
    elif not isinstance(value, list):
        yield path
    else:
        inner = [
            violation
            for position, one in enumerate(value)
            for violation in _field_violations(spec[0], one, (*path, position))
        ]
        yield from inner
        if not inner and (len(value) < SHORTEST[path] or not _list_holds(path, value)):
            yield path


def _between(value: dict[str, Json], path: Path) -> Iterator[Path]:
    """Violations between fields of an object whose fields are all valid by themselves."""
    if path == ("rollout", "gates", "eval"):
        if value.get("minimum_score_percent") is None and value.get("max_drop_points", 5) is None:
            yield (*path, "max_drop_points")
        elif value.get("command") and value.get("suite") is not None:
            yield (*path, "suite")
        elif not value.get("command") and value.get("score_file") is not None:
            yield (*path, "score_file")
    if path[:2] == ("pods", "volumes") and sum(value.get(name) is not None for name in VOLUME_SOURCES) != 1:
        yield path
    if path == ("nodes",) and value.get("volume_mib_per_second", 750) > value.get("volume_iops", 3000) // 4:
        yield (*path, "volume_mib_per_second")
    if path == ("rollout",):
        shares = [step["candidate_percent"] for step in value.get("steps", [])] or [1, 25, 75, 100]
        percents = value.get("gates", {}).get("manual", {}).get("at_percents", [])
        if any(percent not in shares for percent in percents):
            yield (*path, "gates", "manual", "at_percents")


def _list_holds(path: Path, items: list[Json]) -> bool:
    if path in REPEATABLE:
        return True
    if path[:2] == ("rollout", "hooks"):
        return True  # a command may have a word twice
    if path == ("pods", "volumes"):
        return True  # whether they overlap is tested with the settings
    if path != ("rollout", "steps"):
        most = {"alarms": 5, "nodes": 4}.get(str(path[0]), len(items))
        return len(items) == len(set(items)) and len(items) <= most
    shares = [item["candidate_percent"] for item in items]
    return all(low < high for low, high in pairwise(shares)) and shares[-1] == 100


def _bad_texts(value: Json, path: Path) -> Iterator[Path]:
    if isinstance(value, str):
        if _bad(value):
            yield path
    elif isinstance(value, list):
        for position, one in enumerate(value):
            yield from _bad_texts(one, (*path, position))
    elif isinstance(value, dict):
        for key, one in value.items():
            if _bad(key):
                yield (*path, "…" if key in SECRET_TEXTS else key)
            yield from _bad_texts(one, (*path, key))


def _bad(one: str) -> bool:
    return one in SECRET_TEXTS or any(0xD800 <= ord(character) < 0xE000 for character in one)


def _serves(colored: dict[str, Json]) -> bool:
    return colored.get("release") is not None and not colored.get("parked", False)


def _color_violations(color: str, colored: Json, fields: set[Path]) -> Iterator[Path]:
    if not isinstance(colored, dict):
        return
    release = colored.get("release")
    movable = False
    if isinstance(release, dict) and all(
        name in release and (color, "release", name) not in fields for name in ("model", "model_revision")
    ):
        repository = not re.match(r"/|[a-z][a-z0-9]+://", release["model"])
        movable = repository and not re.fullmatch(r"[0-9a-f]{1,64}", release["model_revision"])
        if movable:
            yield (color, "release", "model_revision")
    aimless = set[Path]()
    reservation = colored.get("reservation")
    if isinstance(reservation, dict) and not any(path[:2] == (color, "reservation") for path in fields):
        aimless = {(color, "reservation", name) for name in _reservation_violations(reservation)}
        yield from aimless
    broken = movable or aimless or any(path[0] == color for path in fields)
    if not broken and _serves(colored) and colored.get("provisioned") is False:
        yield (color, "provisioned")


def _reservation_violations(reservation: dict[str, Json]) -> Iterator[str]:
    one, group = reservation.get("id"), reservation.get("resource_group_arn")
    if group is not None and (one is not None or reservation["kind"] == "capacity_block"):
        yield "resource_group_arn"
    if group is None and one is None:
        yield "id"
    if one is not None and reservation.get("subnet_id") is None:
        yield "subnet_id"


def _headroom_violations(read: dict[str, Json]) -> Iterator[Path]:
    mode = read.get("headroom_mode", "on_rollout")
    if read.get("node_groups") == "shared":
        if mode != "always":
            yield ("node_groups",)
        if read.get("blue", {}).get("node_release_version") != read.get("green", {}).get("node_release_version"):
            yield ("green", "node_release_version")
        if read.get("blue", {}).get("node_subnet_ids", []) != read.get("green", {}).get("node_subnet_ids", []):
            yield ("green", "node_subnet_ids")
    reserved = [color for color in COLORS if read.get(color, {}).get("reservation") is not None]
    if mode == "reserved" and not reserved:
        yield ("headroom_mode",)
    for color in reserved:
        if mode != "reserved":
            yield (color, "reservation")
        elif read[color]["reservation"]["kind"] == "capacity_block":
            yield (color, "reservation", "kind")  # No P type is among NODES.


def _stack_violations(read: dict[str, Json]) -> Iterator[Path]:
    if read.get("listener"):
        return
    if len(read.get("load_balancer_subnet_ids", [])) < 2:
        yield ("load_balancer_subnet_ids",)
    if read.get("internet_facing", False) and "certificate_arn" not in read:
        yield ("certificate_arn",)


def _service_violations(read: dict[str, Json]) -> Iterator[Path]:
    yield from _headroom_violations(read)
    limits = NODES[read["instance_type"]]
    wishes = {"gpus_per_replica": 1, "replica_millicpus": 3000, "replica_memory_mib": 12_288}
    for (field, default), limit in zip(wishes.items(), limits, strict=True):
        if read.get(field, default) > limit:
            yield (field,)
    memory_limit = read.get("pods", {}).get("memory_limit_mib")
    if memory_limit is not None and memory_limit < read.get("replica_memory_mib", 12_288):
        yield ("pods", "memory_limit_mib")
    stream, propagation = read.get("max_stream_seconds", 120), read.get("deregistration_propagation_seconds", 30)
    if stream + propagation + 10 >= 900:
        yield ("max_stream_seconds",) if propagation + 11 < 900 else ("deregistration_propagation_seconds",)
    if listener := read.get("listener"):
        if "endpoint_url" not in read:
            yield ("endpoint_url",)
        elif listener.get("host") is not None:
            named = re.match(r"https?://([^:/]*)", read["endpoint_url"])
            if named is None or named[1].lower() != listener["host"]:
                yield ("listener", "host")
        if listener["idle_timeout_seconds"] < stream + 10:
            yield ("listener", "idle_timeout_seconds")
    green = read.get("green_weight", 0)
    for color, share, other in (("blue", 100 - green, "green"), ("green", green, "blue")):
        mine, theirs = read.get(color, {}), read.get(other, {})
        if share and mine.get("parked", False):
            yield (color, "parked")
        elif share and mine.get("release") is None and _serves(theirs):
            yield ("green_weight",)
