"""The router settings: joined listeners, access logs, and conflicts between services on one listener."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.config.sections.cohort_settings import CohortSettings
from components.config.sections.router_settings import LISTENER, TOPIC, ListenerSettings, clashes
from components.config.settings import Settings, SettingsError
from components.domain.pods.drain_chain import drain_chain
from tests.components.example import ROOT, config, service_settings, settings

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
ENDPOINT = {"endpoint_url": "https://chat.example.com"}


def listener(**changes: Any) -> dict[str, Any]:
    given = {
        "arn": LISTENER.example,
        "security_group_id": "sg-0e",
        "idle_timeout_seconds": 300,
        "rule_priority": 100,
        **changes,
    }
    return {key: value for key, value in given.items() if value is not None}


def parsed(**changes: Any) -> ListenerSettings:
    return ListenerSettings.model_validate(listener(**changes))


def violations(region: str | None = None, **changes: Any) -> list[str]:
    """Return the lines of the one error for this config, without their common prefix."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_config({**config(**changes), **({} if region is None else {"aws:region": region})})
    return [line.removeprefix("  - vllm-blue-green:") for line in str(raised.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"listener": listener()}, "endpoint_url: is required with listener but not set"),
        (
            {**ENDPOINT, "listener": listener(host="code.example.com")},
            "listener.host: must be the host of endpoint_url https://chat.example.com: the rules ignore requests "
            'for other hosts (got "code.example.com").',
        ),
        (
            {**ENDPOINT, "listener": listener(idle_timeout_seconds=129)},
            "listener.idle_timeout_seconds: must be at least 130, or requests of max_stream_seconds 120 are cut off "
            "(got 129). Ask the load balancer's owner to raise it, or lower max_stream_seconds.",
        ),
        (
            {**ENDPOINT, "listener": listener(rule_priority=2)},
            "listener.rule_priority: must be a whole number from 3 to 50000, e.g. 100 (got 2).",
        ),
        (
            {**ENDPOINT, "listener": listener(arn=LISTENER.example.replace("/app/", "/net/"))},
            "listener.arn: must be the ARN of an Application Load Balancer's listener, e.g. arn:",
        ),
        ({**ENDPOINT, "listener": listener(arn=None)}, "listener.arn: is required but not set. Set it to the ARN of"),
        ({**ENDPOINT, "listener": listener(hots="x")}, "listener.hots: is not a known key. Did you mean host?"),
        ({**ENDPOINT, "listener": listener(host="*.example.com")}, "listener.host: must be a host name: lower-case"),
        ({"rule_priority": 100}, "rule_priority: is not a known key here. It belongs to listener."),
        ({"access_logs": {"bucket": "Logs"}}, "access_logs.bucket: must be an S3 bucket's name"),
        (
            {"access_logs": {"bucket": "logs", "prefix": "AWSLogs/x"}},
            "access_logs.prefix: must be a key prefix without a slash at either end",
        ),
        ({"alarms": {"topic_arns": ["on-call"]}}, "alarms.topic_arns[0]: must be the ARN of an SNS topic"),
        (
            {"alarms": {"topic_arns": [f"{TOPIC.example}-{number}" for number in range(6)]}},
            "alarms.topic_arns: must name at most 5 topics (got [",
        ),
        ({"alarms": {"topic_arns": [TOPIC.example] * 2}}, f"alarms.topic_arns: must not name {TOPIC.example} more"),
        ({"alarms": {"window_minutes": 0}}, "alarms.window_minutes: must be a whole number from 1 to 60"),
        (
            {"alarms": {"response_time_p95_limit_seconds": 0}},
            "alarms.response_time_p95_limit_seconds: must be a number above 0 and at most 31536000 (got 0).",
        ),
    ],
)
def test_a_violation_names_path_problem_value_and_fix(changes: dict[str, Any], message: str) -> None:
    (line,) = violations(**changes)
    assert message in line


def test_an_internet_facing_listener_needs_a_certificate() -> None:
    (line,) = violations(internet_facing=True)
    assert line.startswith("certificate_arn: is not set, but internet_facing is true: prompts and answers would")
    assert settings(internet_facing=True, certificate_arn=CERTIFICATE).internet_facing
    # The owner of a joined listener is responsible for its encryption.
    assert settings(internet_facing=True, **ENDPOINT, listener=listener())
    services = {"chat": {**ENDPOINT, "listener": listener()}, "code": {}}
    assert violations(internet_facing=True, blue=None, green=None, services=services) == [line]


def test_a_load_balancer_needs_subnets_and_a_joined_listener_none() -> None:
    for subnets in (None, [], ["subnet-3"]):
        (line,) = violations(load_balancer_subnet_ids=subnets)
        assert line.startswith("load_balancer_subnet_ids: must be a list of at least 2, in two zones, unless every")
        assert settings(load_balancer_subnet_ids=subnets, **ENDPOINT, listener=listener())


def test_listener_and_topics_are_of_the_stacks_region() -> None:
    changes: dict[str, Any] = {**ENDPOINT, "listener": listener(), "alarms": {"topic_arns": [TOPIC.example]}}
    assert Settings.from_config({**config(**changes), "aws:region": "us-east-1"})
    lines = violations(region="eu-central-1", **changes)
    assert [line.split(" (got")[0] for line in lines] == [
        "alarms.topic_arns[0]: must be in the stack's region, aws:region eu-central-1",
        "listener.arn: must be in the stack's region, aws:region eu-central-1",
    ]


def test_the_pods_outwait_the_load_balancer_that_they_are_behind() -> None:
    joined = service_settings(**ENDPOINT, listener=listener(idle_timeout_seconds=600))
    assert (joined.drain_chain.idle_timeout_seconds, joined.drain_chain.keep_alive_seconds) == (600, 610)
    assert joined.required_idle_timeout_seconds == 130
    own = service_settings()
    assert own.drain_chain == drain_chain(120, 30)
    assert own.required_idle_timeout_seconds == own.drain_chain.idle_timeout_seconds == 130


def test_services_on_one_listener_need_different_hosts_and_priorities() -> None:
    def stack(chat: dict[str, Any], code: dict[str, Any]) -> dict[str, Any]:
        services = {
            name: {"listener": listener(**changes), "endpoint_url": f"https://{name}.example.com"}
            for name, changes in (("chat", chat), ("code", code))
        }
        return {"blue": None, "green": None, "services": services}

    chat, code = {"host": "chat.example.com"}, {"host": "code.example.com"}
    assert settings(**stack(chat, {**code, "rule_priority": 103}))
    (line,) = violations(**stack(chat, {**code, "rule_priority": 102}))
    assert line == (
        "services.code.listener.rule_priority: must be at least 3 away from 100, the priority of service chat "
        "(got 102). Each service uses its priority and the two before it."
    )
    (line,) = violations(**stack({}, {**code, "rule_priority": 200}))
    assert line.startswith(
        "services.chat.listener.host: must be set, and different, for chat and code: on one listener"
    )
    elsewhere = LISTENER.example.replace("shared", "other")
    assert settings(**stack({}, {"arn": elsewhere}))


def test_the_guides_example_is_a_config_that_works() -> None:
    example = (ROOT / "docs" / "shared-listener.md").read_text(encoding="utf-8").split("```")[1].removeprefix("yaml\n")
    keys = {key.partition(":")[2]: value for key, value in yaml.safe_load(example)["config"].items()}
    stack = settings(blue=None, green=None, load_balancer_subnet_ids=None, **keys)
    assert {name: one.listener and one.listener.rule_priority for name, one in stack.services.items()} == {
        "chat": 100,
        "code": 110,
    }


def cohort(priority: int) -> CohortSettings:
    values = {"name": f"c{priority}", "priority": priority, "header": "x-tenant", "values": [f"t{priority}"]}
    return CohortSettings.model_validate(values)


PRIORITIES = st.integers(3, 60)
HOSTS = st.sampled_from([None, "a.example.com", "b.example.com", "c.example.com"])


RULES = st.tuples(PRIORITIES, HOSTS, st.sets(st.integers(1, 60), max_size=2))


@given(st.lists(RULES, min_size=1, max_size=4))
def test_services_without_a_clash_share_no_priority_and_no_request(
    rules: list[tuple[int, str | None, set[int]]],
) -> None:
    listeners = {
        f"s{number}": parsed(rule_priority=priority, host=host) for number, (priority, host, _) in enumerate(rules)
    }
    # A service's own rules are looked at by itself.
    cohorts = {
        name: [cohort(place) for place in places - {*own.priorities.candidates, own.rule_priority}]
        for (name, own), (_, _, places) in zip(listeners.items(), rules, strict=True)
    }
    taken = [one for each in listeners.values() for one in (each.rule_priority, *each.priorities.candidates)]
    taken += [one.priority for each in cohorts.values() for one in each]
    hosts = [each.host for each in listeners.values()]
    apart = len(set(taken)) == len(taken) and (len(rules) == 1 or (None not in hosts and len(set(hosts)) == len(hosts)))
    found = list(clashes(listeners, cohorts))
    # The priorities of two services must also be far enough apart.
    assert not found or not apart or any(one.path[-1] == "rule_priority" for one in found)
    assert apart or found


def test_all_services_of_a_listener_have_no_more_rules_than_a_load_balancer() -> None:
    listeners = {
        f"s{number}": parsed(rule_priority=20 * number + 20, host=f"s{chr(97 + number)}.example.com")
        for number in range(8)
    }
    cohorts = {name: [cohort(20 * n + place) for place in range(1, 11)] for n, name in enumerate(listeners)}
    (found,) = clashes(listeners, cohorts)
    assert found.line() == (
        "s7.listener.arn: must have at most 100 rules of all services together: a load balancer has no more (got 104). "
        "Use a second listener."
    )


@given(st.integers(3, 50_000))
def test_the_candidate_routes_are_asked_before_the_weights_and_one_after_the_other(priority: int) -> None:
    one = parsed(rule_priority=priority)
    priorities = [*one.priorities.candidates, one.rule_priority]
    assert priorities == list(range(priority - 2, priority + 1))
    assert min(priorities) >= 1
