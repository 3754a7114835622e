"""Grafana dashboards of the chart, from the panels in ``siad/runtime/dashboards``.

Source: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from siad.runtime.dashboards.all import DASHBOARDS
from siad.runtime.dashboards.panel import Dashboard, Kind, Panel

WIDE, NUMBER_WIDE, HIGH, NUMBER_HIGH = 12, 6, 8, 4  # of a grid of 24 columns
SCHEMA_VERSION: Final = 39  # Grafana 10 and later; newer ones migrate it
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
# Variable of a dashboard -> the series whose label has its values.
VALUES_OF: Final = {"line": "siad_ingest_images_total", "stage": "siad_records_in_flight"}


def dashboard_files() -> Mapping[str, Callable[[], str]]:
    """Path below ``docs`` and text of each dashboard."""
    return {
        f"../charts/siad/monitoring/dashboards/siad-{one.name}.json": partial(grafana_json, one) for one in DASHBOARDS
    }


def grafana_json(dashboard: Dashboard) -> str:
    """The JSON of a dashboard."""
    return json.dumps(_dashboard(dashboard), indent=1, ensure_ascii=False) + "\n"


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "uid": f"siad-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["siad"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source, *(_variable(name) for name in dashboard.variables())]},
        "links": [{"type": "dashboards", "tags": ["siad"], "title": "SIAD", "asDropdown": False}],
        "panels": _placed(dashboard.panels),
    }


def _variable(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": f"label_values({VALUES_OF[name]}, {name})", "refId": "A"},
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
        "sort": 1,
        "current": {"text": "All", "value": "$__all"},
    }


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """Panels in rows from left to right, numbers smaller than graphs."""
    placed, x, y, high = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        wide = NUMBER_WIDE if panel.kind is Kind.NUMBER else WIDE
        tall = NUMBER_HIGH if panel.kind is Kind.NUMBER else HIGH
        if x + wide > 2 * WIDE or (x and tall != high):
            x, y = 0, y + high
        high = tall
        placed.append(_panel(panel) | {"id": number, "gridPos": {"x": x, "y": y, "w": wide, "h": tall}})
        x += wide
    return placed


def _panel(panel: Panel) -> dict[str, Any]:
    text = panel.text + (f" Empty until {panel.empty_until}." if panel.empty_until else "")
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit.value, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend}
            for number, query in enumerate(panel.queries)
        ],
    }
