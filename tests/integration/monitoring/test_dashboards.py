"""Dashboards on a real Prometheus that scrapes every stage under traffic."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from siad.apps.client import IngestClient
from siad.apps.local.ports import free_ports
from siad.apps.local.weed import WeedNode
from siad.runtime.dashboards.all import DASHBOARDS
from siad.runtime.dashboards.answers import Span
from siad.runtime.dashboards.prometheus import PrometheusError, read_panel
from tests.e2e.harness import READY_S, wait_for
from tests.fixtures.prometheus import prometheus
from tests.fixtures.promtool import Promtool
from tests.integration.monitoring.stages import STAGES, all_stages, release_teacher, wait_alive
from tests.synthetic import LINE, PRODUCT, bundle, part_image, png

pytestmark = pytest.mark.slow

TRAFFIC_S = 12.0


async def test_every_panel_has_data_from_a_prometheus_under_traffic(
    own_weed_node: WeedNode,
    promtool: Promtool,  # the same package has prometheus
    tmp_path: Path,
) -> None:
    async with all_stages(tmp_path, own_weed_node) as plant:
        await release_teacher(plant, own_weed_node)
        for name in STAGES:
            await wait_alive(plant[name])
        targets = [stage.url.removeprefix("http://") for stage in plant.stages.values()]
        with prometheus(tmp_path, targets, port=free_ports(1)[0]) as url:
            start_s = time.time()
            async with IngestClient(plant["ingest"].url) as client:
                await client.put_line(LINE, {"product": PRODUCT})

                async def is_serving() -> bool:
                    return bundle().manifest.weights in (await plant["inference"].get("/v1/weights")).text

                await wait_for(is_serving, READY_S, "the teacher to serve", on_fail=plant["inference"].tail)
                number = 0
                while time.time() < start_s + TRAFFIC_S:
                    await client.send_image(png(part_image(number, defect=number % 5 == 0)), line=LINE)
                    number += 1

            with httpx.Client(base_url=url, timeout=10) as http:

                def empty() -> list[str]:
                    span = Span(start_s, time.time(), 1.0)
                    return [
                        f"{board.name}: {panel.title}"
                        for board in DASHBOARDS
                        for panel in board.panels
                        if not panel.empty_until and not read_panel(http, panel, span)
                    ]

                async def is_complete() -> bool:
                    return not await asyncio.to_thread(empty)

                def explain() -> str:
                    targets = http.get("/api/v1/targets").json()["data"]["activeTargets"]
                    return "\n".join([*empty(), *(f"{one['scrapeUrl']}: {one['lastError']}" for one in targets)])

                await wait_for(is_complete, 60, "data of every panel", on_fail=explain)
                span = Span(start_s, time.time(), 1.0)
                first = {panel.title for board in DASHBOARDS for panel in board.panels if read_panel(http, panel, span)}
                assert {"Images scored together", "Weights in service"} <= first  # empty only until the first event


def test_a_prometheus_that_is_away_is_named() -> None:
    panel = DASHBOARDS[0].panels[0]
    with (
        httpx.Client(base_url="http://127.0.0.1:9") as http,
        pytest.raises(PrometheusError, match=r"no answer of a Prometheus at http://127\.0\.0\.1:9"),
    ):
        read_panel(http, panel, Span(0, 60, 1))
