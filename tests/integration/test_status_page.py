"""The page Status in Chromium, on a real Prometheus that scrapes every stage."""

import asyncio
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import httpx
import pytest
from PIL import Image

from docs.dashboards.__main__ import main
from siad.apps.client import IngestClient
from siad.apps.local.ports import free_ports
from siad.apps.local.weed import WeedNode
from siad.runtime.dashboards.all import DASHBOARDS
from tests.e2e.harness import READY_S, Plant, wait_for
from tests.fixtures.browser import run_script
from tests.fixtures.kafka import BusFile
from tests.fixtures.prometheus import hurried_rules, prometheus
from tests.fixtures.promtool import Promtool
from tests.integration.monitoring.stages import STAGES, all_stages, release_teacher, wait_alive
from tests.synthetic import LINE, PRODUCT, bundle, part_image, png

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("browser_and_page")]
TRAFFIC_S = 12.0
PICTURES = [folder] if (folder := os.environ.get("SIAD_PICTURES")) else []


async def send_traffic(plant: Plant) -> None:
    async with IngestClient(plant["ingest"].url) as client:
        await client.put_line(LINE, {"product": PRODUCT})

        async def is_serving() -> bool:
            return bundle().manifest.weights in (await plant["inference"].get("/v1/weights")).text

        await wait_for(is_serving, READY_S, "the teacher to serve", on_fail=plant["inference"].tail)
        start_s, number = time.time(), 0
        while time.time() < start_s + TRAFFIC_S:
            await client.send_image(png(part_image(number, defect=number % 5 == 0)), line=LINE)
            number += 1


async def alerts_of(plant: Plant) -> set[str]:
    found = (await plant["console"].get("/v1/status")).json()
    return {one["name"] for one in found["alerts"] if one["is_firing"]}


async def is_complete(plant: Plant) -> bool:
    panels = (await plant["console"].get("/v1/status/boards/fleet?minutes=2")).json()["panels"]
    return all(panel["series"] or panel["empty_until"] for panel in panels)


@pytest.mark.timeout(400)
async def test_a_person_sees_what_fires_and_the_graphs_of_every_dashboard(
    own_weed_node: WeedNode,
    promtool: Promtool,  # the same package has prometheus
    tmp_path: Path,
) -> None:
    (port,) = free_ports(1)
    extra = {"SIAD_CONSOLE_PROMETHEUS_URL": f"http://127.0.0.1:{port}"}
    async with all_stages(tmp_path, own_weed_node, extra=extra) as plant:
        await release_teacher(plant, own_weed_node)
        for name in STAGES:
            await wait_alive(plant[name])
        targets = [stage.url.removeprefix("http://") for stage in plant.stages.values()]
        with prometheus(tmp_path, targets, port=port, rules=hurried_rules(tmp_path)):
            await send_traffic(plant)

            async def is_blocked() -> bool:
                return "SiadStageBlocked" in await alerts_of(plant)

            await wait_for(is_blocked, 60, "the alert of a labeler without a scorer")
            await wait_for(partial(is_complete, plant), 60, "data of every panel of the fleet")
            found = await asyncio.to_thread(run_script, "status.ts", plant["console"], LINE, "watched", *PICTURES)
            always = {board.name: sum(not panel.empty_until for panel in board.panels) for board in DASHBOARDS}
            assert set(found["boards"]) == set(always)
            assert found["boards"]["fleet"] >= always["fleet"]
            assert found["canvases"] > 5

            picture = tmp_path / "fleet.png"
            status = await asyncio.to_thread(
                main, ["--console", plant["console"].url, "--minutes", "2", "--out", str(picture)]
            )
            assert status == 0
            with Image.open(picture) as drawn:
                assert drawn.width > 800
                assert len(drawn.getcolors(maxcolors=1 << 24) or []) > 50  # lines in several colours, not a blank page
            if PICTURES:
                picture.replace(Path(PICTURES[0]) / "fleet.png")
        await asyncio.to_thread(run_script, "status.ts", plant["console"], LINE, "away", *PICTURES)


@pytest.mark.timeout(200)
async def test_without_a_prometheus_the_page_shows_what_the_console_knows(
    bus_file: BusFile, store_env: Mapping[str, str], tmp_path: Path
) -> None:
    plant = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": bus_file.bootstrap, **store_env})
    plant.add("console")
    async with plant.running():
        found = await asyncio.to_thread(run_script, "status.ts", plant["console"], LINE, "none", *PICTURES)
        assert found["panels"] == 0
        async with httpx.AsyncClient(base_url=plant["console"].url) as http:
            refused = await http.get("/v1/status/boards/fleet")
        assert refused.status_code == 409
        assert "SIAD_CONSOLE_PROMETHEUS_URL" in refused.json()["detail"]
    assert await asyncio.to_thread(main, ["--console", plant["console"].url]) == 1
