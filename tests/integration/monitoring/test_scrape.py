"""The metrics of real stages: every series that a rule names is there, and a calm machine raises no alert."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.cardinality import metrics_by_line, values_of
from siad.apps.client import IngestClient
from siad.apps.local.weed import WeedNode
from tests.architecture.promql import selectors_of
from tests.architecture.test_monitoring import ALL, RECORDS, RULES
from tests.e2e.harness import READY_S, StageProcess, wait_for
from tests.fixtures.promtool import Promtool
from tests.integration.monitoring.stages import STAGES, all_stages, wait_alive
from tests.integration.test_ingest_process import picture

pytestmark = pytest.mark.slow


@pytest.fixture
async def texts(own_weed_node: WeedNode, tmp_path: Path) -> AsyncIterator[Mapping[str, str]]:
    """Metrics of every stage as a process, after one inspected image, by stage."""
    async with all_stages(tmp_path, own_weed_node) as plant:
        async with IngestClient(plant["ingest"].url) as client:
            await client.put_line("press", {"product": "cap"})
            await client.send_image(picture(1), line="press")

        async def is_judged() -> bool:
            return any("siad_inference_verdict_seconds_count" in name for name in await plant["inference"].metrics())

        async def is_counted() -> bool:
            return "siad_books_captures{" in await scrape(plant["ingest"])

        await wait_for(is_judged, READY_S, "a verdict", on_fail=plant["inference"].tail)
        await wait_for(is_counted, READY_S, "the counts of captures", on_fail=plant["ingest"].tail)
        yield {name: await scrape(plant[name]) for name in STAGES}


FREE = {"le", "line", "product", "stage", "weights"}  # of the plant, and of Prometheus


def family_of(name: str) -> str:
    return re.sub(r"_(total|bucket|count|sum|created)$", "", name)


async def scrape(stage: StageProcess) -> str:
    await wait_alive(stage)
    return (await stage.get("/metrics")).text


async def test_every_series_of_the_rules_is_exported_and_calm_stages_raise_no_alert(
    texts: Mapping[str, str],
    promtool: Promtool,
    tmp_path: Path,
) -> None:
    named = {one.metric for rule in ALL for one in selectors_of(rule["expr"])} - RECORDS.keys()
    families = {name: list(text_string_to_metric_families(text)) for name, text in texts.items()}
    told = {f"{one.name}_total" if one.type == "counter" else one.name for some in families.values() for one in some}
    told |= {f"{name}_{end}" for name in told for end in ("bucket", "count", "sum")}
    assert named - told == set()

    for stage, some in families.items():
        by_line = {one._name: one for one in metrics_by_line(stage)}
        for sample in (sample for family in some if family.name in by_line for sample in family.samples):
            labels = {label: value for label, value in sample.labels.items() if label not in FREE}
            for label, value in labels.items():
                assert value in values_of(by_line[family_of(sample.name)], label, is_bound=True)

    series = []
    for stage, some in families.items():
        if stage in ("labeler", "trainer"):
            continue  # they wait for a scorer and for Ray, which are not here
        series.append({"series": f'up{{job="siad", instance="{stage}"}}', "values": "1x30"})
        for sample in (sample for family in some for sample in family.samples):
            labels = {**sample.labels, "job": "siad", "instance": stage}
            text = ", ".join(f'{label}="{value}"' for label, value in labels.items())
            series.append({"series": f"{sample.name}{{{text}}}", "values": f"{sample.value:g}x30"})
    test = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "25m"},
            {
                "expr": "siad:captures_missing:captures",
                "eval_time": "25m",
                "exp_samples": [{"labels": 'siad:captures_missing:captures{line="press"}', "value": 0}],
            },
        ],
    }
    rules = [str(path) for path in sorted(RULES.glob("*.yaml"))]
    (tmp_path / "calm.yaml").write_text(yaml.safe_dump({"rule_files": rules, "tests": [test]}))
    status, said = promtool("test", "rules", tmp_path / "calm.yaml")
    assert status == 0, said
