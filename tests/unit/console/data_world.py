"""A console with captures that were answered in every way, to export from and import to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import numpy as np
from numpy.typing import NDArray

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from siad.contracts import keys
from siad.contracts.codec import encode
from siad.contracts.events import Intent
from siad.contracts.topics import LINE, VERDICT
from siad.runtime.bus.port import Message
from siad.runtime.worker import StageProcess, prepare
from siad.vision.masks import encode_mask
from tests.events import make_line_changed
from tests.unit.console.world import HEIGHT, LINE_NAME, PRODUCT, WIDTH, Plant, name_of, put_capture, verdict

ADDRESS: Final = f"/v1/lines/{LINE_NAME}"
DEFECT, GOOD, UNSURE, WITHOUT_OUTLINE, OPEN, NORMAL = (name_of(number) for number in range(1, 7))
CLASSES: Final = ("scratch", "dent")


def drawn() -> NDArray[np.uint8]:
    """A ring with an unsure pixel, and a bar."""
    mask_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask_HW[2:9, 2:9] = 255
    mask_HW[4:7, 4:7] = 0
    mask_HW[5, 5] = 128
    mask_HW[12:14, 10:25] = 255
    return mask_HW


def work() -> str:
    """What the person did: one mark of each class."""
    common = {"origin": "person", "fate": "added"}
    marks = [
        {"x": 2, "y": 2, "width": 7, "height": 7, "area_px": 40, "class_name": "dent", **common},
        {"x": 10, "y": 12, "width": 15, "height": 2, "area_px": 30, "class_name": "scratch", **common},
    ]
    return json.dumps({"objects": marks})


async def make_plant() -> Plant:
    """A line with five captures and a normal."""
    plant = Plant()
    await plant.create()
    plant.blobs.put(keys.line_pointer_key(LINE_NAME), b"{}")
    for number in range(1, 6):
        put_capture(plant.blobs, number)
    put_capture(plant.blobs, 6, intent=Intent.NORMAL)
    plant.blobs.put(keys.normal_key(LINE_NAME, PRODUCT, NORMAL), b"{}")
    line = encode(make_line_changed(line=LINE_NAME, product=PRODUCT, classes=CLASSES))
    async with plant.bus.producer() as producer:
        await producer.publish([Message(topic=LINE.name, key=LINE_NAME, value=line)])
        events = [verdict(number, number / 2) for number in range(1, 6)]
        await producer.publish([Message(topic=VERDICT.name, key=f"{LINE_NAME}/0", value=encode(one)) for one in events])
    return plant


@asynccontextmanager
async def running_console(plant: Plant, settings: ConsoleSettings | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Run a console; yields its client."""
    settings = settings or ConsoleSettings()
    stage = StageProcess("console", settings)
    async with assemble(stage, settings, bus=plant.bus, blobs=plant.blobs):
        await prepare(stage)
        names = ("lines", "verdicts", "corrections")
        tasks = [asyncio.create_task(stage.tasks[name]()) for name in names]
        try:
            async with asyncio.timeout(20):
                while set(names) & (await stage.health.readiness_failures()).keys():
                    await asyncio.sleep(0.01)
            transport = httpx.ASGITransport(stage.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
                yield client
        finally:
            stage.stop.set()
            await asyncio.wait(tasks, timeout=5)


async def answer_all(client: httpx.AsyncClient) -> None:
    """Answer the captures in every way; the fifth stays open."""
    for capture, said in ((GOOD, "good"), (UNSURE, "unsure"), (WITHOUT_OUTLINE, "defect")):
        await answer(client, capture, said)
    form = {"image": ("mask.png", encode_mask(drawn()), "image/png")}
    address = f"{ADDRESS}/captures/{DEFECT}/corrections"
    params = {"verdict": "defect", "author": "ann"}
    response = await client.post(address, params=params, files=form, data={"work": work()})
    assert response.status_code == 201, response.text


async def answer(client: httpx.AsyncClient, capture: str, said: str, author: str = "bob") -> None:
    """Answer a capture without a mask."""
    address = f"{ADDRESS}/captures/{capture}/corrections"
    response = await client.post(address, params={"verdict": said, "author": author})
    assert response.status_code == 201, response.text
