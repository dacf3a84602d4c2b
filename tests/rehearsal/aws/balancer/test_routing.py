"""Rules and choices as pure functions."""

from collections import Counter
from collections.abc import Mapping
from random import Random
from types import MappingProxyType

import pytest
from multidict import CIMultiDict

from rehearsal.aws.balancer.routing import (
    RequestView,
    choose_target_group,
    condition_matches,
    redirect_location,
    rule_for,
)
from rehearsal.aws.topology import Condition, FixedResponse, Forward, Redirect, Rule

pytestmark = pytest.mark.slow

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def request(
    path: str = "/v1/chat/completions",
    method: str = "POST",
    query: str = "",
    headers: Mapping[str, str] = NO_HEADERS,
    host: str = "api.example:8080",
) -> RequestView:
    return RequestView(method, host, path, query, CIMultiDict(headers), "10.0.3.7")


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        (Condition("path-pattern", ("/v1/*",)), True),
        (Condition("path-pattern", ("/v2/*", "/v?/chat/*")), True),
        (Condition("path-pattern", ("/V1/*",)), False),
        (Condition("path-pattern", ("/v1/*",), name="ignored"), True),
        (Condition("path-pattern", ("/v1.chat/*",)), False),
        (Condition("http-request-method", ("GET", "POST")), True),
        (Condition("http-request-method", ("GET",)), False),
        (Condition("host-header", ("*.EXAMPLE",)), True),
        (Condition("host-header", ("other.example",)), False),
        (Condition("http-header", ("green-*",), name="x-candidate-route"), True),
        (Condition("http-header", ("GREEN-1",), name="x-candidate-route"), True),
        (Condition("http-header", ("green",), name="x-candidate-route"), False),
        (Condition("http-header", ("*",), name="x-other"), False),
        (Condition("query-string", ("user=a*",)), True),
        (Condition("query-string", ("=abc",)), True),
        (Condition("query-string", ("other=abc",)), False),
        (Condition("source-ip", ("192.0.2.0/24", "10.0.0.0/16")), True),
        (Condition("source-ip", ("10.1.0.0/16",)), False),
    ],
)
def test_conditions(condition: Condition, matches: bool) -> None:
    view = request(query="user=abc", headers={"X-Candidate-Route": "green-1"})
    assert condition_matches(condition, view) is matches


def test_the_first_rule_whose_conditions_all_hold_decides() -> None:
    action = FixedResponse(200, "text/plain", "")
    path = Condition("path-pattern", ("/v1/*",))
    header = Condition("http-header", ("green",), name="x-candidate-route")
    candidate = Rule("candidate", "candidate", 10, (header, path), action)
    weighted = Rule("weighted", "weighted", 100, (path,), action)
    default = Rule("default", "fixed", None, (), action)
    rules = (candidate, weighted, default)
    assert rule_for(rules, request(headers={"X-CANDIDATE-ROUTE": "green"})) is candidate
    assert rule_for(rules, request()) is weighted
    assert rule_for(rules, request(path="/metrics", headers={"x-candidate-route": "green"})) is default


def test_choices_follow_the_weights() -> None:
    random = Random(1)
    forward = Forward((("blue", 99), ("never", 0), ("green", 1)))
    choices = [choose_target_group(forward, {}, 0, random.random) for _ in range(20_000)]
    chosen = Counter(choice.target_group_arn for choice in choices if choice)
    assert chosen["never"] == 0
    assert 130 < chosen["green"] < 270


def test_without_any_weight_there_is_no_choice() -> None:
    assert choose_target_group(Forward((("blue", 0), ("green", 0))), {}, 0, Random(1).random) is None


def test_a_stickiness_cookie_decides_until_it_expires() -> None:
    to_blue = Forward((("blue", 1), ("green", 0)), stickiness_seconds=60)
    first = choose_target_group(to_blue, {}, 1000, Random(1).random)
    assert first
    assert first.cookie
    to_green = Forward((("blue", 0), ("green", 1)), stickiness_seconds=60)
    cookies = {"AWSALBTG": first.cookie}
    chosen = [choose_target_group(to_green, cookies, now, Random(1).random) for now in (1059, 1061)]
    assert [choice and choice.target_group_arn for choice in chosen] == ["blue", "green"]
    without = choose_target_group(Forward((("green", 1),)), cookies, 1001, Random(1).random)
    assert without == ("green", None)


@pytest.mark.parametrize("cookie", ["", "nonsense", "AAAA", "é"])
def test_an_invalid_cookie_is_ignored(cookie: str) -> None:
    forward = Forward((("blue", 1),), stickiness_seconds=60)
    choice = choose_target_group(forward, {"AWSALBTG": cookie}, 0, Random(1).random)
    assert choice
    assert choice.target_group_arn == "blue"


def test_a_redirect_keeps_the_parts_that_it_does_not_replace() -> None:
    redirect = Redirect(301, "HTTPS", "#{host}", "443", "/new/#{path}", "#{query}")
    location = redirect_location(redirect, request(query="a=1"), "HTTP", 80)
    assert location == "https://api.example:443/new/v1/chat/completions?a=1"
