"""Inference as a process while a real broker is away: direct requests go on, also after kill -9 and a restart."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from tests.e2e.harness import Plant, StageProcess
from tests.fixtures.kafka import own_bus, quick_settings
from tests.integration.test_inference_process import streaming
from tests.synthetic import bundle, part_image, png

pytestmark = pytest.mark.slow


async def inspect(stage: StageProcess, number: int, *, defect: bool) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=stage.url, timeout=20) as http:
        response = await http.post("/v1/lines/line-1/inspect", content=png(part_image(number, defect=defect)))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def until_noticed(stage: StageProcess, *, is_away: bool) -> dict[str, Any]:
    """Inspect until an answer says that the broker is away, or back."""
    async with asyncio.timeout(60):
        while True:
            answer = await inspect(stage, 1, defect=False)
            if (answer["known_state"] is not None) is is_away:
                return answer
            await asyncio.sleep(0.2)


@pytest.mark.kafka  # where its file is missing, a start of the embedded bus makes another one
async def test_direct_requests_go_on_without_the_broker_also_after_a_kill(
    store_env: Mapping[str, str], s3_blobs: S3Blobs, tmp_path: Path
) -> None:
    teacher, cache = bundle(seed=31), tmp_path / "cache"
    with own_bus("kafka", tmp_path) as broker:
        plant = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": broker.bootstrap, **store_env})
        inference = plant.add("inference", poll_s="1", cache_dir=str(cache))
        async with streaming(open_bus(quick_settings(broker.bootstrap)), s3_blobs) as stream:
            await stream.release(teacher)
            async with plant.running():
                await stream.send(5)
                await stream.until_all_judged()
                async with asyncio.timeout(30):
                    while not (cache / "known-state.json").exists():
                        await asyncio.sleep(0.1)
                broker.kill()
                during = await until_noticed(inference, is_away=True)
                assert during["known_state"]["away"].keys() == {"bus"}
                inference.kill()
                inference.start()
                await inference.wait_ready()
                good = await inspect(inference, 7, defect=False)
                bad = await inspect(inference, 7, defect=True)
                assert (good["decision"], bad["decision"]) == ("pass", "reject")
                assert good["weights"] == bad["weights"] == teacher.manifest.weights
                assert good["known_state"]["as_of"] <= during["judged_at"]
                assert "bus" in (await inference.get("/readyz")).json()["missing"]
                broker.start()
                await until_noticed(inference, is_away=False)
                await stream.send(5)
                await stream.until_all_judged()
            assert await inference.stop() == 0
