"""Answers of a Prometheus to the queries of panels.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import httpx

from siad.runtime.dashboards.answers import Alert, Series, Span
from siad.runtime.dashboards.panel import Panel

ALERTS_OF_SIAD: Final = "Siad"  # their names begin so
_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class PrometheusError(Exception):
    """A Prometheus that does not answer, or refuses a query."""


def read_alerts(http: httpx.Client) -> list[Alert]:
    """Ask for the alerts of SIAD.

    Firing ones come first, of these the critical ones, and of equal ones the oldest.

    Raises:
        PrometheusError: no answer; names the address.
    """
    found = [_alert(one) for one in _get(http, "/api/v1/alerts", {}, "alerts")["alerts"]]
    of_siad = (one for one in found if one.name.startswith(ALERTS_OF_SIAD))
    return sorted(of_siad, key=lambda one: (not one.is_firing, one.severity != "critical", one.since_at))


def read_panel(http: httpx.Client, panel: Panel, span: Span, *, line: str = ".*", stage: str = ".*") -> list[Series]:
    """Ask for the series of a panel.

    Args:
        http: with the address of the Prometheus as its base.
        panel: its queries are asked in order.
        span: of all answers.
        line: pattern of lines, in place of the dashboard's variable.
        stage: pattern of stages.

    Raises:
        PrometheusError: no answer, or a refused query; names the address and the query.
    """
    found = []
    for query in panel.queries:
        expression = query.filled(line=line, stage=stage)
        for one in _ask(http, expression, span):
            points = [(float(at), float(value)) for at, value in one["values"]]
            finite = [(at, value) for at, value in points if math.isfinite(value)]  # 0/0 where nothing came
            if finite:
                times, values = zip(*finite, strict=True)
                found.append(Series(legend_of(query.legend, one["metric"]), times, values))
    return found


def legend_of(template: str, labels: Mapping[str, str]) -> str:
    """Fill the values of labels into a legend."""
    return _LABEL.sub(lambda match: labels.get(match[1], ""), template).strip()


def _ask(http: httpx.Client, expression: str, span: Span) -> list[dict[str, Any]]:
    parameters = {"query": expression, "start": f"{span.start_s}", "end": f"{span.end_s}", "step": f"{span.step_s}"}
    return list(_get(http, "/api/v1/query_range", parameters, repr(expression))["result"])


def _get(http: httpx.Client, path: str, parameters: Mapping[str, str], what: str) -> dict[str, Any]:
    try:
        response = http.get(path, params=parameters)
        body = response.json()
    except (httpx.HTTPError, ValueError) as error:
        msg = f"no answer of a Prometheus at {http.base_url} to {what}: {error}"
        raise PrometheusError(msg) from error
    if not response.is_success or body.get("status") != "success":
        msg = f"Prometheus at {http.base_url} refused {what}: {body.get('error', response.status_code)}"
        raise PrometheusError(msg)
    return dict(body["data"])


def _alert(found: Mapping[str, Any]) -> Alert:
    labels, annotations = dict(found["labels"]), found["annotations"]
    return Alert(
        name=labels.pop("alertname"),
        is_firing=found["state"] == "firing",
        severity=labels.pop("severity", ""),
        since_at=datetime.fromisoformat(found["activeAt"]),
        summary=annotations.get("summary", ""),
        impact=annotations.get("impact", ""),
        labels=labels,
    )
