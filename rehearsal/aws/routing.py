"""Which rule a request meets, and which target group and cookie it gets: pure functions."""

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
    """What the conditions look at."""

    method: str
    host: str
    path: str
    query: str
    headers: MultiMapping[str]
    source_address: str


@lru_cache(maxsize=1024)
def _pattern(wildcard: str, ignore_case: bool) -> re.Pattern[str]:
    """`*` is any text, `?` any character; the rest is literal."""
    parts = {"*": ".*", "?": "."}
    text = "".join(parts.get(character, re.escape(character)) for character in wildcard)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _fits(wildcard: str, value: str, *, ignore_case: bool) -> bool:
    return _pattern(wildcard, ignore_case).fullmatch(value) is not None


def condition_holds(condition: Condition, request: RequestView) -> bool:
    """Whether any of the condition's values fits: paths and methods by case, all others regardless of it."""
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
    """`wanted` is `key=value`, or `=value` for a value under any key."""
    wanted_key, _, wanted_value = wanted.partition("=")
    return any(
        (not wanted_key or _fits(wanted_key, key, ignore_case=True)) and _fits(wanted_value, value, ignore_case=True)
        for key, value in parse_qsl(query, keep_blank_values=True)
    )


def rule_for(rules: Sequence[Rule], request: RequestView) -> Rule | None:
    """The first rule whose conditions all hold; the default rule is the last and has none."""
    for rule in rules:
        if all(condition_holds(condition, request) for condition in rule.conditions):
            return rule
    return None


def load_balancer_for(balancers: Sequence[LoadBalancer], host: str) -> LoadBalancer | None:
    """The load balancer of that DNS name, else the only one there is."""
    name = host.rsplit(":", 1)[0].lower()
    for balancer in balancers:
        if balancer.dns_name == name:
            return balancer
    return balancers[0] if len(balancers) == 1 else None


class Choice(NamedTuple):
    """The chosen target group, and the stickiness cookie to set when the choice was made anew."""

    target_group_arn: str
    cookie: str | None = None


def choose_target_group(
    forward: Forward, cookies: Mapping[str, str], now: float, random: Callable[[], float]
) -> Choice | None:
    """A target group by weight, or the one that the cookie remembers, whatever its weight is now.

    `random` gives a number in [0, 1). None when all weights are 0 and no cookie decides.
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
    """The Location header, with the request's own parts put in for the placeholders."""
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
