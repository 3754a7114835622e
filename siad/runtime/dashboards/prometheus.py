"""Answers of a Prometheus to the queries of panels.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from siad.runtime.dashboards.panel import Panel

_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class PrometheusError(Exception):
    """A Prometheus that does not answer, or refuses a query."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time, and the distance of its points."""

    start_s: float  # since 1970
    end_s: float
    step_s: float


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one series; times without a value are left out."""

    name: str
    times_s: tuple[float, ...]  # since 1970
    values: tuple[float, ...]  # finite


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
    try:
        response = http.get("/api/v1/query_range", params=parameters)
        body = response.json()
    except (httpx.HTTPError, ValueError) as error:
        msg = f"no answer of a Prometheus at {http.base_url} to {expression!r}: {error}"
        raise PrometheusError(msg) from error
    if not response.is_success or body.get("status") != "success":
        msg = f"Prometheus at {http.base_url} refused {expression!r}: {body.get('error', response.status_code)}"
        raise PrometheusError(msg)
    return list(body["data"]["result"])
