"""The whole stage in memory: an answer over HTTP becomes a threshold on the topic."""

import asyncio
from contextlib import AsyncExitStack

import httpx

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from siad.contracts.codec import encode
from siad.contracts.keys import manifest_key
from siad.contracts.topics import VERDICT
from siad.runtime.bus.port import Message
from siad.runtime.worker import StageProcess, prepare
from tests.unit.console.test_console_thresholds import START, TEACHER, WEIGHTS, published, stored
from tests.unit.console.world import LINE_NAME, PRODUCT, Plant, name_of, put_capture, verdict


async def test_an_answer_over_http_moves_the_threshold_at_once() -> None:
    plant = Plant()
    await plant.create()
    put_capture(plant.blobs, 1)
    plant.blobs.put(manifest_key(LINE_NAME, PRODUCT, WEIGHTS), TEACHER.to_json())
    async with plant.bus.producer() as producer:
        event = verdict(1, START.threshold * 1.1, threshold=START.threshold, weights=WEIGHTS)
        await producer.publish([Message(topic=VERDICT.name, key=f"{LINE_NAME}/0", value=encode(event))])
    settings = ConsoleSettings()
    stage = StageProcess("console", settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(assemble(stage, settings, bus=plant.bus, blobs=plant.blobs))
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(stage.app), base_url="http://console")
        )
        await prepare(stage)
        tasks = [asyncio.create_task(task(), name=name) for name, task in stage.tasks.items()]
        try:
            async with asyncio.timeout(20):
                while {"verdicts", "corrections", "pseudo-masks"} & (await stage.health.readiness_failures()).keys():
                    await asyncio.sleep(0.01)
                address = f"/v1/lines/{LINE_NAME}/captures/{name_of(1)}/corrections"
                response = await client.post(address, params={"verdict": "good", "author": "ann"})
                assert response.status_code == 201, response.text
                while not published(plant):
                    assert not any(task.done() for task in tasks), "a task ended"
                    await asyncio.sleep(0.01)
        finally:
            stage.stop.set()
            await asyncio.wait(tasks, timeout=5)
    [found] = published(plant)
    assert found == stored(plant)
    assert (found.answers, found.weights) == (1, WEIGHTS)
    assert found.image_threshold > START.threshold
