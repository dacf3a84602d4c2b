"""Header fields as a load balancer forwards and returns them."""

import re
import secrets
import time

from aiohttp import web
from multidict import CIMultiDict, MultiMapping

from rehearsal.aws.topology import Listener, LoadBalancer

HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def forwarded_headers(request: web.BaseRequest, balancer: LoadBalancer, listener: Listener) -> CIMultiDict[str]:
    """Return the client's headers without connection headers, plus the headers that a load balancer adds."""
    per_connection = {name.strip().lower() for name in request.headers.get("Connection", "").split(",")}
    headers = CIMultiDict(
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in HOP_BY_HOP
        and name.lower() not in per_connection
        and not (balancer.drop_invalid_header_fields and not re.fullmatch(r"[A-Za-z0-9-]+", name))
    )
    client = request.remote or "127.0.0.1"
    chain = request.headers.getall("X-Forwarded-For", [])
    headers["X-Forwarded-For"] = ", ".join([*chain, client])
    headers["X-Forwarded-Proto"] = listener.protocol.lower()
    headers["X-Forwarded-Port"] = str(listener.port)
    trace = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    known_trace = request.headers.get("X-Amzn-Trace-Id")
    headers["X-Amzn-Trace-Id"] = f"Self={trace};{known_trace}" if known_trace else f"Root={trace}"
    return headers


def returned_headers(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Return the target's headers without connection headers."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)
