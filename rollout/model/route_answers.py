"""What an answer on the candidate route says about what stands between us and the pods, and how to fix it."""

import json
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from components.domain.naming import CANDIDATE_ROUTE_HEADER

# What the load balancer itself answers, and when:
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
_FIX_RULES: Final = (
    f"Requests with the header {CANDIDATE_ROUTE_HEADER} must reach the pods: let the candidate rules come first "
    "(listener.rule_priority), or leave these requests out of the rule that asks for a login"
)


def answer_violation(status: int, headers: Mapping[str, str], text: str, *, url: str) -> str | None:
    """Return why an answer to ``GET /v1/models`` is not one of vLLM's. None when it is.

    Args:
        status: the answer's HTTP status.
        headers: its headers, by lower-case name.
        text: its body.
        url: the endpoint, for messages.
    """
    what = f"the candidate route at {url} answers {status}"
    if 300 <= status < 400:
        return _redirected(what, headers.get("location", ""), url)
    is_json = _is_object(text)
    if status == 401 and not is_json:
        return f"{what}, and not from the pods: a listener rule or a proxy asks for a login. {_FIX_RULES}"
    if status == 403 and not is_json:
        return (
            f"{what}, and not from the pods: most likely a rule of the web ACL (AWS WAF) on the load balancer. Its "
            f"sampled requests name the rule. Allow requests with the header {CANDIDATE_ROUTE_HEADER}, and JSON bodies "
            "as large as prompts are"
        )
    if status == 404 and not is_json:
        return (
            f"{what}, and not from the pods: no listener rule forwards it. Check endpoint_url and listener.host, and "
            "that no proxy in between removes headers or changes the path"
        )
    if status == 503 and not is_json:
        return f"{what}: the colour that serves has no targets. Look at its pods"
    if status == 200 and not is_json:
        kind = headers.get("content-type", "no type").partition(";")[0]
        return (
            f"{what}, but with {kind} instead of vLLM's JSON: a login page, or another server. Check endpoint_url. "
            f"{_FIX_RULES}"
        )
    if status != 200:
        return f"{what}: {' '.join(text.split())[:200]}"
    return None


def _redirected(what: str, location: str, url: str) -> str:
    try:
        here, there = urlsplit(url), urlsplit(location)
    except ValueError:
        here, there = urlsplit(url), urlsplit("")
    if there.hostname in (here.hostname, None) and there.scheme == "https" != here.scheme:
        return f"{what}: it wants https. Set endpoint_url to https://{here.netloc}"
    # The rest of a login's address may hold secrets.
    where = f"{there.scheme}://{there.netloc}" if there.netloc else "another path"
    return f"{what}, a redirect to {where}: a listener rule or a proxy asks for a login. {_FIX_RULES}"


def _is_object(text: str) -> bool:
    try:
        return isinstance(cast(object, json.loads(text)), dict)
    except ValueError:
        return False
