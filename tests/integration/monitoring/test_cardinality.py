"""Series of a thousand lines: as many as operate.md says, and no label of a line has values that are not listed."""

import re
from pathlib import Path

import pytest

from benchmarks.cardinality import MODULES, VALUES, metrics_by_line, run, values_of

ROOT = Path(__file__).parents[3]
LINES = 1000
SCRAPE_MB_MAX = 10.0  # Prometheus's usual limit on a target's answer is far above


def documented() -> dict[str, tuple[int, int]]:
    """Series of a line, and the bound, of each stage, by operate.md."""
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| \d+ MB \|", (ROOT / "docs/operate.md").read_text(), re.M)
    return {stage: (int(usual), int(most)) for stage, usual, most in rows}


@pytest.mark.slow
@pytest.mark.parametrize("stage", MODULES)
def test_a_thousand_lines_have_as_many_series_as_documented(stage: str) -> None:
    for is_bound, told in zip((False, True), documented()[stage], strict=True):
        found = run(stage, LINES, is_bound=is_bound)
        assert found["series_per_line"] == told
        assert found["scrape_mb"] < SCRAPE_MB_MAX


@pytest.mark.parametrize("stage", MODULES)
def test_every_label_of_a_metric_by_line_has_listed_values(stage: str) -> None:
    for one in metrics_by_line(stage):
        for label in one._labelnames:
            assert len(values_of(one, label, is_bound=True)) <= 12


def test_a_label_without_listed_values_is_an_error() -> None:
    from prometheus_client import CollectorRegistry, Counter

    counter = Counter("siad_planted_total", "Planted.", ["line", "serial"], registry=CollectorRegistry())
    assert "serial" not in VALUES
    with pytest.raises(KeyError):
        values_of(counter, "serial", is_bound=True)
