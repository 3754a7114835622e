"""Every query of the dashboards names metrics, labels and values that exist, and the panels fit their grid."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from siad.runtime.dashboards.all import DASHBOARDS
from siad.runtime.dashboards.panel import Panel, Query
from siad.runtime.dashboards.prometheus import legend_of
from tests.architecture.promql import grouped_labels
from tests.architecture.test_monitoring import ADDED, ALERTS, EXPORTED, RECORDS, ROOT, faults

FOLDER = ROOT / "charts/siad/monitoring/dashboards"
OF_PROMETHEUS = {"up", "ALERTS", "scrape_samples_scraped", "scrape_duration_seconds"}
PANELS = [(board, panel) for board in DASHBOARDS for panel in board.panels]
QUERIES = [query for _, panel in PANELS for query in panel.queries]


def foreign_names(expression: str) -> set[str]:
    """Metrics that are not of SIAD: every name in front of a selector or a window."""
    return {name for name in re.findall(r"([a-zA-Z_:][\w:]*)\s*[{\[]", expression) if not name.startswith("siad")}


def faults_of(query: Query) -> list[str]:
    """What a query or its legend names and no process exports."""
    known = OF_PROMETHEUS | {sample.name for family in REGISTRY.collect() for sample in family.samples}
    strange = [f"no metric {name}" for name in sorted(foreign_names(query.expr) - known)]
    kept = grouped_labels(query.expr) | ADDED | {label for labels in labels_kept(query.expr) for label in labels}
    legend = [f"no label {name}" for name in re.findall(r"{{(\w+)}}", query.legend) if name not in kept]
    return [*faults(re.sub(r'\w+=~"\$\w+",?\s*', "", query.expr)), *strange, *legend]


def labels_kept(expression: str) -> list[set[str]]:
    """Labels of series that the query does not aggregate, and of recorded ones."""
    recorded = [
        grouped_labels(RECORDS[name]["expr"]) for name in re.findall(r"siad:[\w:]+", expression) if name in RECORDS
    ]
    plain = [
        EXPORTED.get(name, set()) for name in re.findall(r"siad_\w+", expression) if not grouped_labels(expression)
    ]
    return [*recorded, *plain]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expr[:60])
def test_a_query_names_metrics_labels_and_values_that_exist(query: Query) -> None:
    assert faults_of(query) == []


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        (Query("rate(process_cpu_second_total[5m])", "x"), "no metric process_cpu_second_total"),
        (Query('rate(siad_ingest_image_total{line=~"$line"}[5m])', "x"), "no metric siad_ingest_image_total"),
        (Query("sum by (line) (rate(siad_ingest_images_total[5m]))", "{{intent}}"), "no label intent"),
        (Query("siad:lag:secs", "x"), "no metric siad:lag:secs"),
    ],
)
def test_a_wrong_name_is_found(query: Query, fault: str) -> None:
    assert faults_of(query) == [fault]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_panels_lie_beside_each_other(path: Path) -> None:
    panels: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} == set(range(24))


def test_every_dashboard_has_its_file_and_no_other() -> None:
    assert {path.stem for path in FOLDER.glob("*")} == {f"siad-{board.name}" for board in DASHBOARDS}


@pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=lambda panel: panel.title)
def test_a_panel_says_what_it_shows(panel: Panel) -> None:
    assert panel.text.endswith(".")
    assert not panel.empty_until.endswith(".")
    assert set(re.findall(r"Siad\w+", panel.text)) <= {alert["alert"] for alert in ALERTS}


def test_a_legend_is_filled_with_the_labels_of_its_series() -> None:
    assert legend_of("{{line}} p95 {{gone}}", {"line": "press"}) == "press p95"
