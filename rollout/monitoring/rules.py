"""The rules for Prometheus: the recorded series, and alerts on them."""

import io
import math
from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML

from components.domain.naming import PROJECT
from rollout.monitoring.figures import figures
from rollout.monitoring.series import SeriesNames, recorded_series
from rollout.monitoring.subject import Monitored

_SETTLED_FOR: Final = "1h"
"""How long a colour must have had replicas before missing data is an alert: longer than it takes to start."""
_COLOR: Final = "{{ $labels.service }}, {{ $labels.color }}"
_HEADER: Final = "# Written by `make monitoring`. Change the limits in the stack's config, not here.\n"


def rules(subject: Monitored) -> dict[str, Any]:
    """Return the content of the rules file."""
    name = PROJECT if subject.service is None else f"{PROJECT}-{subject.service}"
    recording = [{"record": one.name, "expr": one.expression} for one in recorded_series(subject)]
    return {
        "groups": [
            {"name": f"{name}-recording", "rules": recording},
            {"name": f"{name}-alerts", "rules": [*_limits(subject), *_replicas(subject)]},
        ]
    }


def rules_file(subject: Monitored) -> str:
    """Return the rules file's text."""
    writer, text = YAML(), io.StringIO()
    writer.width = 100_000  # one line an expression
    writer.dump(rules(subject), text)
    return _HEADER + text.getvalue()


def _limits(subject: Monitored) -> Iterator[dict[str, Any]]:
    # Longer than the window: one burst of failures alone never lasts as long.
    lasts = f"{subject.window_minutes + 1}m"
    for figure in figures(subject):
        if figure.alert is not None and figure.limit is not None:
            yield _alert(
                figure.alert,
                f"{figure.expression(subject.matcher)} > {figure.limit:.15g}",
                lasts=lasts,
                severity="critical",
                summary=f"{_COLOR}: {figure.title[0].lower()}{figure.title[1:]} above {figure.limit_text}",
                description=f"{figure.description} Now {{{{ $value | humanize }}}}; the gate's limit is "
                f"{figure.limit_text}. During a ramp, the gates decide. Otherwise `python -m scripts.status` shows "
                "where the traffic goes.",
            )


def _replicas(subject: Monitored) -> Iterator[dict[str, Any]]:
    names = SeriesNames(subject.window_minutes)
    declared, ready, requests = (
        f"{name}{{{subject.matcher}}}" for name in (names.replicas_declared, names.replicas_ready, names.requests)
    )
    settled = f"(min_over_time({declared}[{_SETTLED_FOR}]) > 0 and {declared} offset {_SETTLED_FOR})"
    yield _alert(
        "VllmNoData",
        f"({settled} or {ready} > 0) unless on (service, color) {requests}",
        lasts=f"{subject.window_minutes}m",
        severity="critical",
        summary=f"{_COLOR}: no data",
        description="The colour has replicas that should serve, but Prometheus has no requests of its pods. Gates "
        "would be inconclusive. Look at the pods, then at the scrape config.",
    )
    yield _alert(
        "VllmReplicasMissing",
        f"{declared} > {ready}",
        lasts=f"{math.ceil(subject.start_seconds / 60)}m",
        severity="warning",
        summary=f"{_COLOR}: replicas are missing",
        description="Of {{ $value }} replicas, some are not ready for longer than a start takes. On the active colour, "
        "capacity is short; on the old colour, a rollback would lack replicas.",
    )


def _alert(name: str, expression: str, *, lasts: str, severity: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": lasts,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }
