"""The admin port: the account's state, events and injected faults as JSON."""

from typing import Any

from aiohttp import web
from pydantic import ValidationError

from rehearsal.aws.balancer.metrics import Metrics
from rehearsal.aws.balancer.plane import DataPlane, weights_of


def create_admin(plane: DataPlane, metrics: Metrics) -> web.Application:
    """Return the application: GET /healthz, /state, /events?since=N and /faults; POST /faults changes given fields."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def state(_: web.Request) -> web.Response:
        return web.json_response(
            {"rules": _rules(plane), "target_groups": _target_groups(plane, metrics)},
        )

    async def events(request: web.Request) -> web.Response:
        since = int(request.query.get("since", "0"))
        return web.json_response({"events": list(plane.events.since(since))})

    async def faults(_: web.Request) -> web.Response:
        return web.json_response(plane.faults.model_dump(mode="json"))

    async def set_faults(request: web.Request) -> web.Response:
        changes: dict[str, Any] = await request.json()
        try:
            type(plane.faults).model_validate(plane.faults.model_dump() | changes)
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        for name, value in changes.items():
            setattr(plane.faults, name, value)
        plane.events.add("faults_changed", **changes)
        plane.reschedule()
        return await faults(request)

    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/state", state),
            web.get("/events", events),
            web.get("/faults", faults),
            web.post("/faults", set_faults),
        ]
    )
    return application


def _rules(plane: DataPlane) -> list[dict[str, Any]]:
    """Return the rules as set in the API, each with the weights that requests follow now."""
    applied = plane.rules_applied()
    return [
        {
            "arn": arn,
            "rule": rule.kind,
            "priority": rule.priority,
            "weights_asked": weights_of(rule),
            "weights_applied": weights_of(applied.get(arn)),
        }
        for arn, rule in plane.rules_asked().items()
    ]


def _target_groups(plane: DataPlane, metrics: Metrics) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = []
    for arn, pool in plane.pools.items():
        totals = metrics.groups[arn]
        targets = list(pool.targets.values())
        groups.append(
            {
                "arn": arn,
                "name": pool.group.name,
                "color": pool.group.color,
                "in_use": pool.in_use,
                "requests": totals.requests,
                "requests_by_rule": totals.by_rule,
                "responses_by_status": totals.by_status,
                "connection_errors": totals.connection_errors,
                "last_request_started_at": totals.last_request_started_at,
                "in_flight": sum(len(target.in_flight) for target in targets),
                "targets": [
                    {
                        "target": str(target),
                        "state": "draining" if target.deregistered_at else target.health.state,
                        "reason": target.health.reason,
                        "in_flight": len(target.in_flight),
                    }
                    for target in targets
                ],
            }
        )
    return groups
