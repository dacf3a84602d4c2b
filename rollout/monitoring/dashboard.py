"""The dashboard for Grafana: both colours on one axis for each figure, and the gates' limits as thresholds."""

import json
from typing import Any, Final

from components.domain.naming import COLORS, PROJECT, content_hash
from rollout.monitoring.figures import Figure, figures
from rollout.monitoring.series import SeriesNames
from rollout.monitoring.subject import Monitored

SCHEMA_VERSION: Final = 42
"""Grafana's latest version of this JSON model.

https://github.com/grafana/grafana/blob/main/apps/dashboard/pkg/migration/schemaversion/migrations.go
"""
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_MATCHER: Final = 'service="$service"'
_COLUMNS: Final = 2
_WIDTH: Final = 12  # Grafana's grid has 24 columns
_HEIGHT: Final = 8


def dashboard(subject: Monitored) -> dict[str, Any]:
    """Return the dashboard's JSON model."""
    title = "vLLM blue/green" if subject.service is None else f"vLLM blue/green: {subject.service}"
    uid = PROJECT if subject.service is None else f"{PROJECT}-{content_hash({'service': subject.service})}"
    return {
        "uid": uid,
        "title": title,
        "description": "Both colours of a service, and the limits of the gates. Written by `make monitoring`.",
        "tags": ["vllm"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables(subject)},
        "panels": [_panel(place, figure) for place, figure in enumerate(figures(subject))],
    }


def dashboard_file(subject: Monitored) -> str:
    """Return the text of the dashboard's file."""
    return json.dumps(dashboard(subject), indent=2, ensure_ascii=False) + "\n"


def _variables(subject: Monitored) -> list[dict[str, Any]]:
    services = f"label_values({SeriesNames(subject.window_minutes).requests}{{{subject.matcher}}}, service)"
    chosen = {} if subject.service is None else {"text": subject.service, "value": subject.service}
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "regex": "",
            "refresh": 1,
            "multi": False,
            "includeAll": False,
            "current": {},
            "options": [],
        },
        {
            "name": "service",
            "label": "Service",
            "type": "query",
            "datasource": _DATASOURCE,
            "definition": services,
            "query": {"qryType": 1, "query": services, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "regex": "",
            "refresh": 2,
            "sort": 1,
            "multi": False,
            "includeAll": False,
            "current": chosen,
            "options": [],
        },
    ]


def _panel(place: int, figure: Figure) -> dict[str, Any]:
    row, column = divmod(place, _COLUMNS)
    steps: list[dict[str, Any]] = [{"color": "transparent", "value": None}]
    if figure.limit is not None:
        steps.append({"color": "red", "value": figure.limit})
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": figure.title,
        "description": figure.description,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "datasource": _DATASOURCE,
        "targets": [
            {
                "refId": "A",
                "datasource": _DATASOURCE,
                "editorMode": "code",
                "expr": figure.expression(_MATCHER),
                "legendFormat": "{{color}}",
                "range": True,
            }
        ],
        "fieldConfig": {
            "defaults": {
                "unit": figure.unit,
                "min": 0,
                "custom": {
                    "lineWidth": 2,
                    "fillOpacity": 0,
                    "spanNulls": False,
                    "thresholdsStyle": {"mode": "off" if figure.limit is None else "line"},
                },
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": color},
                    "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
                }
                for color in COLORS
            ],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull"]},
            "tooltip": {"mode": "multi", "sort": "none"},
        },
    }
