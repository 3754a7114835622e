"""Dashboards on a real Prometheus that scrapes every stage under traffic: panels have data, and the fleet is drawn."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from PIL import Image

from docs.dashboards.__main__ import main
from siad.apps.client import IngestClient
from siad.apps.local.ports import free_ports
from siad.apps.local.weed import WeedNode
from siad.runtime.dashboards.all import DASHBOARDS
from siad.runtime.dashboards.prometheus import PrometheusError, Span, read_panel
from tests.architecture.test_monitoring import RULES
from tests.e2e.harness import READY_S, wait_for
from tests.fixtures.promtool import Promtool
from tests.integration.monitoring.stages import STAGES, all_stages, release_teacher, wait_alive
from tests.synthetic import LINE, PRODUCT, bundle, part_image, png

pytestmark = pytest.mark.slow

TRAFFIC_S = 12.0


@contextmanager
def prometheus(folder: Path, targets: list[str]) -> Iterator[str]:
    """Run a Prometheus that scrapes the targets each two seconds; yields its address."""
    (port,) = free_ports(1)
    config = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in sorted(RULES.glob("*.yaml"))],
        "scrape_configs": [{"job_name": "siad", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


async def test_every_panel_has_data_from_a_prometheus_under_traffic(
    own_weed_node: WeedNode,
    promtool: Promtool,  # the same package has prometheus
    tmp_path: Path,
) -> None:
    assert shutil.which("prometheus"), "promtool is here and prometheus is not; install Debian's package prometheus"
    async with all_stages(tmp_path, own_weed_node) as plant:
        await release_teacher(plant, own_weed_node)
        for name in STAGES:
            await wait_alive(plant[name])
        targets = [stage.url.removeprefix("http://") for stage in plant.stages.values()]
        with prometheus(tmp_path, targets) as url:
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

            picture = tmp_path / "fleet.png"
            assert main(["--prometheus", url, "--minutes", "1", "--out", str(picture)]) == 0
            with Image.open(picture) as drawn:
                assert drawn.width > 800
                assert len(drawn.getcolors(maxcolors=1 << 24) or []) > 50  # lines in several colours, not a blank page


def test_a_prometheus_that_is_away_is_named() -> None:
    panel = DASHBOARDS[0].panels[0]
    with (
        httpx.Client(base_url="http://127.0.0.1:9") as http,
        pytest.raises(PrometheusError, match=r"no answer of a Prometheus at http://127\.0\.0\.1:9"),
    ):
        read_panel(http, panel, Span(0, 60, 1))
