"""The page Data in Chromium, on a real ingest, console and store."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from zipfile import ZipFile

import cv2
import httpx
import numpy as np
import pytest

from siad.contracts import keys
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.topics import VERDICT
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.vision.masks import decode_mask, encode_mask
from tests.e2e.harness import Plant
from tests.fixtures.browser import run_script
from tests.fixtures.kafka import BusFile, quick_settings
from tests.fixtures.store import settings_of
from tests.integration.test_console_learns import message
from tests.unit.console.world import verdict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("browser_and_page")]
LINE_NAME, OTHER, PRODUCT = "press-1", "press-2", "cap"
SIZE = (48, 64)


@pytest.fixture
async def plant(bus_file: BusFile, store_env: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Plant]:
    S3Blobs(settings_of(store_env)).ensure_bucket()
    plant = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": bus_file.bootstrap, **store_env})
    ingest = plant.add("ingest")
    plant.add("console", ingest_url=ingest.url)
    async with plant.running():
        yield plant


def image(seed: int) -> bytes:
    return bytes(cv2.imencode(".png", np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8))[1])


def drawn() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """A ring with an unsure pixel."""
    mask_HW = np.zeros(SIZE, np.uint8)
    mask_HW[10:30, 20:40] = 255
    mask_HW[15:25, 25:35] = 0
    mask_HW[20, 30] = 128
    return mask_HW


async def fill(plant: Plant, bus_file: BusFile) -> None:
    """Send a normal and three captures, judge them, and answer two."""
    ingest, console = plant.stages["ingest"].url, plant.stages["console"].url
    async with httpx.AsyncClient(timeout=30) as http:
        for line in (LINE_NAME, OTHER):
            (
                await http.put(f"{ingest}/v1/lines/{line}", json={"product": PRODUCT, "classes": ["dent"]})
            ).raise_for_status()
        captures = []
        for seed, intent in enumerate(("normal", "inspect", "inspect", "inspect")):
            params = {"intent": intent, "serial": f"n{seed}"}
            response = await http.post(f"{ingest}/v1/lines/{LINE_NAME}/images", params=params, content=image(seed))
            captures.append(response.raise_for_status().json()["capture_id"])
        bus = open_bus(quick_settings(bus_file.bootstrap))
        async with bus.producer() as producer:
            events = [verdict(number, capture_id=capture) for number, capture in enumerate(captures) if number]
            await producer.publish([message(VERDICT, one.capture_id, one) for one in events])
        async with asyncio.timeout(20):
            while len((await http.get(f"{console}/v1/lines/{LINE_NAME}/captures")).json()["captures"]) < 3:
                await asyncio.sleep(0.1)
        answers = f"{console}/v1/lines/{LINE_NAME}/captures"
        said = {"author": "ann", "verdict": "good"}
        (await http.post(f"{answers}/{captures[1]}/corrections", params=said)).raise_for_status()
        said["verdict"] = "defect"
        response = await http.post(f"{answers}/{captures[2]}/corrections", params=said, content=encode_mask(drawn()))
        response.raise_for_status()


async def test_a_line_goes_out_and_into_another(
    plant: Plant, bus_file: BusFile, store_env: Mapping[str, str], tmp_path: Path
) -> None:
    await fill(plant, bus_file)
    broken = tmp_path / "broken.zip"
    with ZipFile(broken, "w") as archive:
        archive.writestr("../images/a.png", image(1))
    folder = os.environ.get("SIAD_PICTURES", "")
    shown = await asyncio.to_thread(
        run_script, "data.ts", plant.stages["console"], LINE_NAME, OTHER, str(broken), *([folder] if folder else [])
    )
    assert shown == {"download": "press-1-coco.zip"}
    blobs = S3Blobs(settings_of(store_env))
    infos = [one.key for one in blobs.list(keys.corrections_prefix(OTHER)) if one.key.endswith(".json")]
    answers = [CaptureCorrected.from_json(blobs.get(key).data) for key in infos]
    assert sorted((one.verdict, one.author, one.revision) for one in answers) == [
        ("defect", "import:ann", 1),
        ("good", "import:ann", 1),
    ]
    [mask] = [one.mask_uri for one in answers if one.mask_uri]
    assert np.array_equal(decode_mask(blobs.get(blobs.key_of(mask)).data, may_ignore=True), drawn())
    assert len(list(blobs.list(keys.normals_prefix(OTHER, PRODUCT)))) == 1
