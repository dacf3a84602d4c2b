"""Carries requests: client to load balancer to target and back, streaming both ways."""

import asyncio
import random
import time
from collections.abc import Generator
from contextlib import contextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from rehearsal.aws.balancer.access_log import AccessLog, AccessRecord
from rehearsal.aws.balancer.headers import forwarded_headers, returned_headers
from rehearsal.aws.balancer.metrics import Metrics
from rehearsal.aws.balancer.plane import DataPlane
from rehearsal.aws.balancer.routing import (
    STICKINESS_COOKIE,
    Choice,
    RequestView,
    choose_target_group,
    load_balancer_for,
    redirect_location,
    rule_for,
)
from rehearsal.aws.balancer.targets import Target, TargetPool
from rehearsal.aws.topology import FixedResponse, Forward, Listener, LoadBalancer, Redirect, Rule

CONNECT_TIMEOUT_SECONDS = 10.0

ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

REASONS = {
    460: "Client Closed Request",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


class TargetFailedError(Exception):
    """The target gave no usable answer. Has the load balancer's own status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Carried:
    """A request carried by a task; the load balancer can cut it."""

    def __init__(self) -> None:
        self.task = asyncio.current_task()
        self.cut_reason: str | None = None

    def cut(self, reason: str) -> None:
        if self.task and self.cut_reason is None:
            self.cut_reason = reason
            self.task.cancel()


class Proxy:
    """The request handler of the data plane."""

    def __init__(self, plane: DataPlane, metrics: Metrics, log: AccessLog) -> None:
        self._plane = plane
        self._metrics = metrics
        self._log = log
        self._sessions: dict[tuple[str, int], aiohttp.ClientSession] = {}

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request and log it, however it ends."""
        record = AccessRecord(
            started_at=time.time(),
            method=request.method,
            path=request.path,
            request_id=request.headers.get("x-request-id"),
        )
        try:
            return await self._answer(request, record)
        except asyncio.CancelledError:
            record.elb_status = record.elb_status or 460
            record.error = record.error or "client_closed"
            raise
        finally:
            record.finished_at = time.time()
            self._log.write(record)

    async def _answer(self, request: web.BaseRequest, record: AccessRecord) -> web.StreamResponse:
        balancer = load_balancer_for(self._plane.load_balancers, request.host)
        listener = balancer.serving if balancer else None
        if balancer is None or listener is None:
            record.error = "no_listener"
            return _error_page(503, record)
        record.load_balancer = balancer.name
        view = RequestView(
            method=request.method,
            host=request.host,
            path=request.path,
            query=request.query_string,
            headers=request.headers,
            source_address=request.remote or "127.0.0.1",
        )
        rule = rule_for(listener.rules, view)
        if rule is None:
            record.error = "no_rule"
            return _error_page(503, record)
        record.rule = rule.kind
        match rule.action:
            case FixedResponse(status, content_type, body):
                record.elb_status = status
                return web.Response(status=status, text=body, content_type=content_type)
            case Redirect() as redirect:
                record.elb_status = redirect.status
                location = redirect_location(redirect, view, listener.protocol, listener.port)
                return web.Response(status=redirect.status, headers={"Location": location})
            case Forward() as forward:
                return await self._forward(request, record, balancer, listener, rule, forward)

    async def _forward(
        self,
        request: web.BaseRequest,
        record: AccessRecord,
        balancer: LoadBalancer,
        listener: Listener,
        rule: Rule,
        forward: Forward,
    ) -> web.StreamResponse:
        choice = choose_target_group(forward, request.cookies, record.started_at, random.random)
        pool = self._plane.pools.get(choice.target_group_arn) if choice else None
        target = pool.choose(self._plane.faults.deregistration_propagation_seconds) if pool else None
        if choice:
            record.target_group_arn = choice.target_group_arn
        if pool:
            record.color = pool.group.color
        if choice is None or pool is None or target is None:
            record.error = "no_targets" if choice else "no_weight"
            self._metrics.balancer_failed(balancer.arn, 503)
            return _error_page(503, record)
        record.target = str(target)
        self._metrics.request(pool.group.arn, rule.kind, record.started_at)
        carried = Carried()
        with self._counting(pool, balancer), target.carrying(carried):
            try:
                return await self._carry(request, record, balancer, listener, pool, target, choice)
            except TargetFailedError as failed:
                record.error = failed.reason
                status = failed.status
            except asyncio.CancelledError:
                if carried.cut_reason is None or carried.task is None:
                    raise
                carried.task.uncancel()
                record.error = carried.cut_reason
                status = 502
        if record.elb_status is None:
            self._metrics.balancer_failed(balancer.arn, status)
            return _error_page(status, record)
        # The headers are sent. Breaking off is all that is left: the client then sees an incomplete answer.
        if request.transport:
            request.transport.close()
        raise asyncio.CancelledError

    @contextmanager
    def _counting(self, pool: TargetPool, balancer: LoadBalancer) -> Generator[None]:
        """Count a request for CloudWatch when it begins, or when it ends, however it ends."""
        at_start = self._plane.faults.request_counted_at == "start"
        if at_start:
            self._metrics.request_counted(pool.group.arn, balancer.arn)
        try:
            yield
        finally:
            if not at_start:
                self._metrics.request_counted(pool.group.arn, balancer.arn)

    async def _carry(
        self,
        request: web.BaseRequest,
        record: AccessRecord,
        balancer: LoadBalancer,
        listener: Listener,
        pool: TargetPool,
        target: Target,
        choice: Choice,
    ) -> web.StreamResponse:
        self._inject_fault(pool)
        group_arn = pool.group.arn
        session = self._session(balancer)
        sent_at = time.perf_counter()
        upstream: aiohttp.ClientResponse | None = None
        try:
            upstream = await session.request(
                request.method,
                URL(f"http://{target.netloc}{request.raw_path}", encoded=True),
                headers=forwarded_headers(request, balancer, listener),
                data=request.content if request.body_exists else None,
                allow_redirects=False,
            )
            seconds = time.perf_counter() - sent_at
            record.target_status = upstream.status
            record.target_response_seconds = round(seconds, 6)
            record.stream = upstream.content_type == "text/event-stream"
            self._metrics.target_answered(group_arn, balancer.arn, upstream.status, seconds)
            response = _response(upstream, choice)
            await response.prepare(request)
            record.elb_status = upstream.status
            while chunk := await upstream.content.readany():
                await response.write(chunk)
                record.bytes_sent += len(chunk)
            await response.write_eof()
        except aiohttp.ConnectionTimeoutError as error:
            self._metrics.connection_failed(group_arn, balancer.arn)
            raise TargetFailedError(504, "connection_timeout") from error
        except TimeoutError as error:
            raise TargetFailedError(504, "idle_timeout") from error
        except aiohttp.ClientConnectorError as error:
            self._metrics.connection_failed(group_arn, balancer.arn)
            raise TargetFailedError(502, "connection_failed") from error
        except aiohttp.ClientConnectionResetError as error:
            # Only a write to the client raises this; a read from the target raises other errors.
            raise asyncio.CancelledError from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise TargetFailedError(502, "target_closed") from error
        except aiohttp.ClientError as error:
            raise TargetFailedError(502, "malformed_response") from error
        finally:
            if upstream is not None:
                # No effect on a connection that returned to the pool at the end of the body.
                upstream.close()
        return response

    def _inject_fault(self, pool: TargetPool) -> None:
        faults = self._plane.faults
        concerned = not faults.target_error_colors or pool.group.color in faults.target_error_colors
        if concerned and random.random() < faults.target_error_fraction:
            raise TargetFailedError(502, "injected")

    def _session(self, balancer: LoadBalancer) -> aiohttp.ClientSession:
        """Return the client session of a load balancer; it keeps connections to targets for the idle timeout."""
        idle = balancer.idle_timeout_seconds
        session = self._sessions.get((balancer.arn, idle))
        if session is None:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=idle),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=idle),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=ADDED_BY_AIOHTTP,
            )
            # A load balancer never sends a request twice, not even an idempotent one.
            session._retry_connection = False  # pyright: ignore[reportPrivateUsage]
            self._sessions[balancer.arn, idle] = session
        return session


def _response(upstream: aiohttp.ClientResponse, choice: Choice) -> web.StreamResponse:
    headers = returned_headers(upstream.headers)
    if choice.cookie:
        headers.add("Set-Cookie", f"{STICKINESS_COOKIE}={choice.cookie}; Path=/")
        headers.add("Set-Cookie", f"{STICKINESS_COOKIE}CORS={choice.cookie}; Path=/; SameSite=None; Secure")
    return web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)


def _error_page(status: int, record: AccessRecord) -> web.Response:
    """Return the load balancer's own error response."""
    record.elb_status = status
    title = f"{status} {REASONS[status]}"
    return web.Response(
        status=status,
        reason=REASONS[status],
        text=f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>",
        content_type="text/html",
        headers={"Server": "awselb/2.0"},
    )
