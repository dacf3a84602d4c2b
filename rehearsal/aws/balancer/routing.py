"""Chooses the rule, the target group and the cookie for a request: pure functions."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import parse_qsl

from multidict import MultiMapping

from rehearsal.aws.topology import Condition, Forward, LoadBalancer, Redirect, Rule

STICKINESS_COOKIE = "AWSALBTG"


class RequestView(NamedTuple):
    """The parts of a request that conditions read."""

    method: str
    host: str
    path: str
    query: str
    headers: MultiMapping[str]
    source_address: str


@lru_cache(maxsize=1024)
def _pattern(wildcard: str, ignore_case: bool) -> re.Pattern[str]:
    """Compile a wildcard: `*` is any text, `?` any character, the rest is literal."""
    parts = {"*": ".*", "?": "."}
    text = "".join(parts.get(character, re.escape(character)) for character in wildcard)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _fits(wildcard: str, value: str, *, ignore_case: bool) -> bool:
    return _pattern(wildcard, ignore_case).fullmatch(value) is not None


def condition_matches(condition: Condition, request: RequestView) -> bool:
    """Return whether any of the condition's values matches. Only paths and methods are case-sensitive."""
    match condition.field:
        case "path-pattern":
            return any(_fits(value, request.path, ignore_case=False) for value in condition.values)
        case "http-request-method":
            return request.method in condition.values
        case "host-header":
            host = request.host.rsplit(":", 1)[0]
            return any(_fits(value, host, ignore_case=True) for value in condition.values)
        case "http-header":
            sent = request.headers.getall(condition.name or "", [])
            return any(_fits(value, one, ignore_case=True) for value in condition.values for one in sent)
        case "query-string":
            return any(_query_has(value, request.query) for value in condition.values)
        case "source-ip":
            source = ip_address(request.source_address)
            return any(source in ip_network(value, strict=False) for value in condition.values)
        case _:
            return False


def _query_has(wanted: str, query: str) -> bool:
    """Return whether a query has `wanted`: `key=value`, or `=value` for a value under any key."""
    wanted_key, _, wanted_value = wanted.partition("=")
    return any(
        (not wanted_key or _fits(wanted_key, key, ignore_case=True)) and _fits(wanted_value, value, ignore_case=True)
        for key, value in parse_qsl(query, keep_blank_values=True)
    )


def rule_for(rules: Sequence[Rule], request: RequestView) -> Rule | None:
    """Return the first rule whose conditions all match. The default rule comes last and has no conditions."""
    for rule in rules:
        if all(condition_matches(condition, request) for condition in rule.conditions):
            return rule
    return None


def load_balancer_for(balancers: Sequence[LoadBalancer], host: str) -> LoadBalancer | None:
    """Return the load balancer with that DNS name, else the only one that exists, else None."""
    name = host.rsplit(":", 1)[0].lower()
    for balancer in balancers:
        if balancer.dns_name == name:
            return balancer
    return balancers[0] if len(balancers) == 1 else None


class Choice(NamedTuple):
    """The chosen target group, and the stickiness cookie to set when the choice is new."""

    target_group_arn: str
    cookie: str | None = None


def choose_target_group(
    forward: Forward, cookies: Mapping[str, str], now: float, random: Callable[[], float]
) -> Choice | None:
    """Choose a target group by weight, or the one in the cookie, whatever its current weight.

    `random` returns a number in [0, 1). Returns None when all weights are 0 and no cookie decides.
    """
    if forward.stickiness_seconds is not None:
        remembered = _remembered(cookies.get(STICKINESS_COOKIE), now)
        if any(arn == remembered for arn, _ in forward.weights):
            return Choice(str(remembered))
    left = random() * sum(weight for _, weight in forward.weights)
    for arn, weight in forward.weights:
        if left < weight:
            cookie = None
            if forward.stickiness_seconds is not None:
                cookie = _cookie(arn, now + forward.stickiness_seconds)
            return Choice(arn, cookie)
        left -= weight
    return None


def _cookie(arn: str, expires_at: float) -> str:
    return base64.urlsafe_b64encode(f"{expires_at:.0f} {arn}".encode()).decode()


def _remembered(cookie: str | None, now: float) -> str | None:
    if cookie is None:
        return None
    try:
        expires_at, _, arn = base64.urlsafe_b64decode(cookie.encode()).decode().partition(" ")
        return arn if now < float(expires_at) else None
    except (binascii.Error, ValueError):
        return None


def redirect_location(redirect: Redirect, request: RequestView, protocol: str, port: int) -> str:
    """Return the Location header with the placeholders replaced by the request's parts."""
    parts = {
        "#{protocol}": protocol.lower(),
        "#{host}": request.host.rsplit(":", 1)[0],
        "#{port}": str(port),
        "#{path}": request.path.removeprefix("/"),
        "#{query}": request.query,
    }

    def fill(text: str) -> str:
        for placeholder, value in parts.items():
            text = text.replace(placeholder, value)
        return text

    query = fill(redirect.query)
    location = f"{fill(redirect.protocol).lower()}://{fill(redirect.host)}:{fill(redirect.port)}{fill(redirect.path)}"
    return f"{location}?{query}" if query else location
