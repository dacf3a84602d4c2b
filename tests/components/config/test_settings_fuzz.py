"""More than a thousand malformed stack configs: each is accepted as intended, or refused with the field's name."""

import copy
import re
from contextlib import suppress
from itertools import product
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import Field

from components.config.sections.router_settings import LISTENER, TOPIC
from components.config.service_settings import ServiceSettings
from components.config.settings import Settings, SettingsError
from components.domain.naming import PROJECT
from tests.components.config.settings_oracle import (
    KEYS,
    PATHS,
    SECRET_TEXTS,
    as_read,
    pulumi_text,
    setting,
    violating_settings,
)
from tests.components.example import release

pytestmark = pytest.mark.slow

BASE: dict[str, Any] = {
    "cluster_name": "main",
    "cluster_security_group_id": "sg-0c",
    "vpc_id": "vpc-0a",
    "node_subnet_ids": ["subnet-1", "subnet-2"],
    "load_balancer_subnet_ids": ["subnet-3", "subnet-4"],
    "service_name": "chat",
    "instance_type": "g6e.12xlarge",
    "green_weight": 25,
    "blue": {"replicas": 2, "release": release(engine_args=["--max-model-len", "8192"], prompts={"a.txt": "b"})},
    "green": {
        "replicas": 2,
        "release": release(model_revision="beef123", sampling={"top_p": 0.5}),
        "parked": False,
        "reservation": {"kind": "on_demand", "id": "cr-0a", "subnet_id": "subnet-1", "ends": "2026-12-01T08:00:00Z"},
    },
    "headroom_mode": "reserved",
    "access_logs": {"bucket": "logs", "prefix": "vllm/main"},
    "endpoint_url": "https://chat.example.com",
    "listener": {
        "arn": LISTENER.example,
        "security_group_id": "sg-0e",
        "idle_timeout_seconds": 300,
        "rule_priority": 100,
        "host": "chat.example.com",
    },
    "alarms": {"topic_arns": [TOPIC.example], "window_minutes": 3},
    "pods": {
        "api_key_secret": {"name": "vllm-keys", "key": "api-key"},
        "pod_monitor_labels": {"release": "prometheus"},
        "volumes": [{"claim": "adapters", "mount_path": "/adapters"}],
        "image_pull_secrets": ["registry"],
        "memory_limit_mib": 16_384,
    },
    "rollout": {
        "steps": [{"candidate_percent": 50, "hold_seconds": 5}, {"candidate_percent": 100, "hold_seconds": 5}],
        "gates": {
            "minimum_requests": 5,
            "recorded_prompts": "s3://gateway-logs/chat/",
            "smoke": {"requests": 3},
            "eval": {"command": ["lm_eval", "run"], "score_file": "results*.json", "minimum_score_percent": 70},
            "warm_up": {"prefixes": 5},
            "shadow": {"samples": 40},
            "manual": {"at_percents": [50]},
        },
    },
}

# Values that people and programs write by mistake; some are valid in some fields.
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        7,
        25,
        26,
        50,
        75,
        100,
        101,
        299,
        301,
        860,
        1000,
        1001,
        86_401,
        10**9,
        10**30,
        10**400,
    ),
    *(0.0, 0.5, 25.0, -0.1, 1e2, 1e300, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        " ",
        "25",
        " 25",
        "25 ",
        "25.0",
        "1e2",
        "-0",
        "025",
        "0x19",
        "1_000",
        "２５",
        "NaN",
        "null",
        "None",
        "true",
        "yes",
    ),
    *(
        "blue",
        "Blue",
        "bluе",
        "blue\u200b",
        "green",
        "purple",
        "always",
        "reserved",
        "shared",
        "capacity_block",
        "cr-0a",
        "1.33.4-20260801",
        "main",
        "HEAD",
        "default",
        "kube-system",
        "a" * 400,
    ),
    *("a\nb", "\x00", "\ud800", "9" * 5000, "[" * 5000, "{}", "[]", "[1]", '{"replicas": 2}', '{"replicas": "2"}'),
    *(
        "g6e.2xlarge",
        "g6e.12xlarge",
        "m5.large",
        "g6f.xlarge",
        "p5.48xlarge ",
        "sg-0c",
        "vpc-0a",
        "subnet-9",
        "subnet-zz",
    ),
    *("10.0.0.0/8", "10.0.0.1/8", "10.0.0.0", "::/0", "2001:db8::/32", "0.0.0.0/0", "10.0.0.0/33"),
    *(
        "http://llm",
        "https://llm.example.com:8443",
        "https://llm/",
        "llm:8000",
        "ftp://llm",
        "https://a b",
        "https://p/x",
    ),
    *(
        "2026-11-22T08:00:00Z",
        "2026-11-22T08:00:00",
        "2026-13-40",
        "2026-13-40T00:00:00Z",
        "2026-11-22 08:00:00 +0000 UTC",
    ),
    *("7 larger nodes", "7", "larger nodes", "org/model", "s3://bucket/x", "/models/x", "c0ffee0", "v1.0"),
    *(f"vllm/vllm-openai@sha256:{'b' * 64}", "vllm/vllm-openai:latest", f"vllm@sha256:{'b' * 63}"),
    "arn:aws:iam::123456789012:policy/boundary",
    "arn:aws:resource-groups:us-east-1:123456789012:group/gpus",
    "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    *(LISTENER.example, LISTENER.example.replace("/app/", "/net/"), [TOPIC.example], [TOPIC.example] * 2),
    [f"{TOPIC.example}-{number}" for number in range(6)],
    *("llm.example.com", "chat.example.com", "chat.example.com.", "10.0.0.1", "Logs", "a..b", "/vllm", "AWSLogs/x"),
    *SECRET_TEXTS,
    *([], [1], ["--x"], ["--port=1"], ["8192"], ["--api_key", "x"], ["--rev=1"], ["-O3", "\t"], ["-O3", 3]),
    *(["subnet-1", "subnet-1"], ["subnet-8", "subnet-9"], ["10.0.0.0/8"], [["subnet-1"]], "subnet-1,subnet-2"),
    *(
        {},
        {"a": 1},
        {"replicas": 3},
        {"release": None},
        {"a": {"b": [float("nan")]}},
        {"x y": "z"},
        {"name": "keys", "key": "api"},
        {"name": "Keys", "key": ".."},
        {"a": SECRET_TEXTS[0]},
    ),
    *({"node_selector": {"team": "llm"}}, {"node_selector": {}}, {"team": "llm"}, [{"key": "team"}]),
    *([{"candidate_percent": 100, "hold_seconds": 1}], [{"candidate_percent": 50, "hold_seconds": 1}]),
    [{"candidate_percent": 100, "hold_seconds": 1}, {"candidate_percent": 100, "hold_seconds": 1}],
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
VALUES = st.sampled_from(ODD).map(copy.deepcopy) | JSON
NEW_KEYS = st.sampled_from(["release", "replica", "active-color", "Green_Weight", "a.b", "", "x y", "vpc_id", "steps"])


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid config in which one to three fields are changed, removed, or added under unknown names."""
    config = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(PATHS))
        if draw(st.integers(0, 9)) == 0:
            last = draw(NEW_KEYS)
        tree: Any = config
        for part in above:
            if isinstance(tree, dict):
                tree = tree.setdefault(part, {})
            else:
                tree = tree[part] if isinstance(tree, list) and isinstance(part, int) and part < len(tree) else None
        if isinstance(tree, dict):
            if draw(st.integers(0, 7)) == 0:
                tree.pop(last, None)
            else:
                tree[last] = draw(VALUES)
        elif isinstance(tree, list) and isinstance(last, int):
            tree[last : last + 1] = [draw(VALUES)]
    config.pop("", None)  # a key of the stack has a name
    return config


def judge(model: type[Settings], values: dict[str, Any]) -> None:
    """Compare the model's answer with the oracle's."""
    config = {f"{PROJECT}:{key}": pulumi_text(value) for key, value in values.items()}
    expected = violating_settings(values)
    try:
        accepted = model.from_config(config)
    except SettingsError as error:
        message = str(error)
    else:
        assert not expected, f"accepted, although {expected} are wrong"
        _same_values(as_read(values), accepted)
        return
    assert expected, f"refused, although nothing is wrong: {message}"
    lines = message.splitlines()
    assert lines[0] == "The stack config is invalid:"
    named = {}
    for line in lines[1:]:
        found = re.fullmatch(rf"  - {PROJECT}:((?:[^\[\]: ]|\[\d+\]|\[\".*?\"\])+): (.+)", line)
        assert found, f"a line without a field: {line}"
        named[found[1]] = named.get(found[1], "") + found[2]
    assert set(map(setting, named)) == expected
    assert all(
        re.search(r"\(got .*\)|not set|not a known key|it would get|in plain text|bytes|[Rr]emove", one)
        for one in named.values()
    )
    assert not any(secret in message for secret in SECRET_TEXTS)


def _same_values(read: dict[str, Any], accepted: Settings) -> None:
    """Every given value arrived unchanged."""
    (name, service), *others = accepted.services.items()
    assert not others
    assert name == read.pop("service_name", "llm")
    dumped = accepted.model_dump(mode="json") | service.model_dump(mode="json")
    for key, value in read.items():
        _contains(dumped[key], value)


def _contains(dumped: Any, given: Any) -> None:
    if isinstance(given, dict) and isinstance(dumped, dict):
        for key, value in given.items():
            _contains(dumped[key], value)
    elif isinstance(given, list) and isinstance(dumped, list):
        assert len(dumped) == len(given)
        for one, other in zip(dumped, given, strict=True):
            _contains(one, other)
    else:
        assert dumped == given
        assert isinstance(dumped, bool) == isinstance(given, bool)


fuzzed = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@hypothesis_settings(fuzzed, max_examples=500)
@given(mutated())
def test_a_config_with_something_odd_in_it_is_accepted_as_meant_or_refused_by_name(values: dict[str, Any]) -> None:
    judge(Settings, values)


@hypothesis_settings(fuzzed, max_examples=500)
@given(st.dictionaries(st.sampled_from([*KEYS, "colour", "weights"]), VALUES, max_size=6))
def test_a_wholly_random_config_is_refused_by_name(values: dict[str, Any]) -> None:
    judge(Settings, values)


NAMES = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABC_-.:0é ", min_size=1, max_size=30)


@hypothesis_settings(fuzzed, max_examples=300)
@given(st.dictionaries(NAMES | st.sampled_from([f"{PROJECT}:config:vpc_id", "vllm:active_color"]), VALUES, max_size=4))
def test_whatever_keys_there_are_nothing_but_a_settings_error_comes_of_it(strangers: dict[str, Any]) -> None:
    config = {f"{PROJECT}:{key}": pulumi_text(value) for key, value in BASE.items()}
    config |= {key: pulumi_text(value) for key, value in strangers.items()}
    ours = [key for key in strangers if ":" not in key or key.rpartition(":")[0] in ("", PROJECT)]
    if ours:
        with pytest.raises(SettingsError, match=r"\n  - "):
            Settings.from_config(config)
        return
    with suppress(SettingsError):
        Settings.from_config(config)


def test_the_base_of_all_these_is_good() -> None:
    assert violating_settings(BASE) == set()
    judge(Settings, BASE)


class _LooseService(ServiceSettings):
    green_weight: Annotated[int, Field(ge=0, le=1000, strict=False)] = 0


class _StrictService(ServiceSettings):
    green_weight: Annotated[int, Field(ge=0, le=50)] = 0


class _Loose(Settings):
    services: dict[str, _LooseService]  # pyright: ignore[reportIncompatibleVariableOverride]


class _TooStrict(Settings):
    services: dict[str, _StrictService]  # pyright: ignore[reportIncompatibleVariableOverride]


@pytest.mark.parametrize(
    ("model", "change", "complaint"),
    [
        (_Loose, {"green_weight": 101}, "accepted, although {'green_weight'}"),
        (_Loose, {"green_weight": 25.0}, "accepted, although {'green_weight'}"),
        (_TooStrict, {"green_weight": 75}, "refused, although nothing is wrong"),
    ],
)
def test_the_oracle_catches_settings_that_judge_wrongly(
    model: type[Settings], change: dict[str, Any], complaint: str
) -> None:
    judge(Settings, {**BASE, **change})
    with pytest.raises(AssertionError, match=complaint):
        judge(model, {**BASE, **change})


def test_the_oracle_catches_a_message_that_names_another_field(monkeypatch: pytest.MonkeyPatch) -> None:
    def misled(_config: object) -> Settings:
        raise SettingsError(f"The stack config is invalid:\n  - {PROJECT}:vpc_id: must be a VPC's id (got 3).")

    monkeypatch.setattr(Settings, "from_config", misled)
    with pytest.raises(AssertionError):
        judge(Settings, {**BASE, "green_weight": 101})


def test_the_changes_reach_every_field_and_both_verdicts() -> None:
    # Every seventh: all of them take a minute.
    pairs = list(product(KEYS, ODD))[::7]
    assert {key for key, _ in pairs} == set(KEYS)
    good = sum(not violating_settings({**BASE, key: value}) for key, value in pairs)
    assert 20 < good < len(pairs) / 2
