"""Metric names and labels are lawful: a stranger can read them, and no label has endless values."""

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram

ROOT = Path(__file__).parents[2]
LABELS = {
    *("stage", "line", "product", "topic", "partition", "kind", "fate", "reason", "action", "dependency", "cause"),
    *("decision", "intent", "outcome", "route", "status", "state", "defects", "bound"),
}
UNITS = {
    *("total", "seconds", "bytes", "ratio", "info"),
    *("quarantined", "stopped"),  # states: 1 or 0
    *(
        "records",
        "images",
        "captures",
        "corrections",
        "uploads",
        "models",
        "rows",
        "waiting",
        "flight",
    ),  # counts of things
}
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("siad", "services")
    for path in sorted((ROOT / folder).rglob("metrics.py"))
]


def defined() -> list[tuple[str, Any]]:
    kinds = (Counter, Gauge, Histogram)
    return [
        (module, metric)
        for module in MODULES
        for metric in vars(importlib.import_module(module)).values()
        if isinstance(metric, kinds)
    ]


METRICS = defined()


def full_name(metric: Any) -> str:
    return f"{metric._name}_total" if isinstance(metric, Counter) else str(metric._name)


def test_there_are_metrics_to_look_at() -> None:
    assert len(METRICS) > 10


@pytest.mark.parametrize(("module", "metric"), METRICS, ids=lambda one: getattr(one, "_name", one))
def test_a_name_says_whose_it_is_and_ends_in_its_unit(module: str, metric: Any) -> None:
    name, owner = full_name(metric), module.split(".")
    assert name.startswith(f"siad_{owner[1]}_" if owner[0] == "services" else "siad_")
    assert name.rpartition("_")[2] in UNITS


@pytest.mark.parametrize(("module", "metric"), METRICS, ids=lambda one: getattr(one, "_name", one))
def test_labels_have_few_values(module: str, metric: Any) -> None:
    allowed = LABELS | ({"weights"} if metric._name == "siad_weights_info" else set())
    assert set(metric._labelnames) <= allowed


@pytest.mark.parametrize(("module", "metric"), METRICS, ids=lambda one: getattr(one, "_name", one))
def test_help_is_a_sentence_and_a_span_says_from_when_to_when(module: str, metric: Any) -> None:
    words = str(metric._documentation)
    assert words.endswith(".")
    if isinstance(metric, Histogram) and metric._name.endswith("_seconds"):
        assert words.startswith("From ")
        assert " to " in words


def test_every_metric_stands_in_a_metrics_file() -> None:
    strays = []
    for folder in ("siad", "services"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name == "metrics.py":
                continue
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
            from_prometheus = "prometheus_client" in path.read_text()
            if from_prometheus and names & {"Counter", "Gauge", "Histogram", "Summary"}:
                strays.append(str(path.relative_to(ROOT)))
    assert strays == []
