"""moto's API server on a port of 127.0.0.1, with injected faults."""

import json
import random
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from rehearsal.aws.faults import Faults

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

_STACK_KEY_SERVICE = "kms"
"""Without its stack's key, the Pulumi CLI does nothing at all. That is a fault of its own, to be asked for by name."""
QUERY_SERVICES = frozenset({"autoscaling", "ec2", "elasticloadbalancing", "iam", "sts"})
"""Services that speak XML; the others speak JSON."""


class QuietHandler(MotoRequestHandler):
    """Logs no requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class FaultyApi:
    """A WSGI application that answers some calls with an injected fault and passes on the others."""

    def __init__(self, application: "WSGIApplication", faults: Faults) -> None:
        self._application = application
        self._faults = faults

    def __call__(self, environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        faults, service = self._faults, _service(environ)
        alias = "elbv2" if service == "elasticloadbalancing" else service
        affected = faults.api_services & {service, alias} if faults.api_services else service != _STACK_KEY_SERVICE
        if service and affected:
            time.sleep(faults.api_latency_seconds)
            draw = random.random()
            if draw < faults.api_throttle_fraction:
                return _fault(start_response, service, "400 Bad Request", "Throttling", "Rate exceeded")
            if draw < faults.api_throttle_fraction + faults.api_error_fraction:
                return _fault(start_response, service, "500 Internal Server Error", "InternalFailure", "Injected fault")
        return self._application(environ, start_response)


def one_at_a_time(application: "WSGIApplication") -> "WSGIApplication":
    """Return an application that answers one request after the other.

    Each connection has a thread of its own, and moto has no locks: it goes through its roles while another request adds
    one, and checks a condition and writes in two steps.
    """
    lock = threading.Lock()

    def serial(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        with lock:
            return application(environ, start_response)

    return serial


def _service(environ: dict[str, Any]) -> str | None:
    """Return the signing name from the credential scope of a signed request, None for an unsigned one."""
    scope = str(environ.get("HTTP_AUTHORIZATION", "")).partition("Credential=")[2].split("/")
    return scope[3] if len(scope) > 4 else None


def _fault(start_response: "StartResponse", service: str, status: str, code: str, message: str) -> Iterable[bytes]:
    if service in QUERY_SERVICES:
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        wrapped = f"<Errors>{error}</Errors>" if service == "ec2" else error
        root = "Response" if service == "ec2" else "ErrorResponse"
        body = f"<{root}>{wrapped}<RequestID>injected</RequestID></{root}>".encode()
        start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
        return [body]
    name = "ThrottlingException" if code == "Throttling" else code
    body = json.dumps({"__type": name, "message": message}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("x-amzn-ErrorType", name)]
    start_response(status, headers)
    return [body]


def start_api_server(port: int, faults: Faults) -> None:
    """Serve the API in daemon threads, one per connection, until the process ends."""
    application = FaultyApi(one_at_a_time(DomainDispatcherApplication(create_backend_app)), faults)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=QuietHandler)
    threading.Thread(target=server.serve_forever, name="aws-api", daemon=True).start()
