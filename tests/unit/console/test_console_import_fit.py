"""Images that do not fit the line they are imported to: warned of before, and no normals."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from services.console.settings import ConsoleSettings
from siad.contracts.codec import encode
from siad.contracts.ids import sha256_hex
from siad.contracts.manifest import BundlePart
from siad.contracts.topics import LINE
from siad.runtime.bus.port import Message
from siad.runtime.store.registry import Registry
from tests.events import make_line_changed
from tests.manifests import PROFILE, make_manifest
from tests.unit.console.data_world import ADDRESS, CLASSES, make_plant, running_console
from tests.unit.console.test_console_import_hostile import packed
from tests.unit.console.world import HEIGHT, LINE_NAME, PRODUCT, WIDTH, Plant, mask_png

GOLDEN = b"golden"
NORMALS = replace(
    PROFILE,
    widths_px=(WIDTH, WIDTH),
    heights_px=(HEIGHT, HEIGHT),
    aspects=(WIDTH / HEIGHT, WIDTH / HEIGHT),
    containers=(8,),
    bits=8,
)


@pytest.fixture
async def plant() -> Plant:
    return await make_plant()


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    async with running_console(plant, ConsoleSettings(ingest_url="http://127.0.0.1:1")) as client:
        yield client


def release_teacher(plant: Plant) -> None:
    part = BundlePart(name="golden", sha256=sha256_hex(GOLDEN), size_bytes=len(GOLDEN))
    manifest = make_manifest(line=LINE_NAME, product=PRODUCT, parts=(part,), profile=NORMALS)
    registry = Registry(plant.blobs)
    registry.store(manifest, {"golden": GOLDEN})
    registry.point(manifest, expected=None, released_at=plant.clock.now())


def png(width: int, height: int, level: int = 70) -> bytes:
    return bytes(cv2.imencode(".png", np.full((height, width), level, np.uint8))[1])


def masks() -> bytes:
    """Two images of another size, and one of the size of the normals."""
    files: dict[str, bytes | str] = {}
    for number, (width, height) in enumerate(((60, 60), (70, 70), (WIDTH, HEIGHT))):
        files[f"images/{number}.png"] = png(width, height)
        files[f"masks/{number}.png"] = mask_png((height, width))
    return packed(files)


def normals() -> bytes:
    sizes = ((60, 60), (WIDTH, HEIGHT))
    return packed({f"train/good/{width}.png": png(width, height) for width, height in sizes})


async def check(client: httpx.AsyncClient, archive: bytes) -> dict[str, Any]:
    response = await client.post(f"{ADDRESS}/import", content=archive, params={"check": True})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_images_that_do_not_fit_are_warned_of(client: httpx.AsyncClient, plant: Plant) -> None:
    release_teacher(plant)
    found = await check(client, masks())
    assert found["problems"] == []
    [warning] = found["warnings"]
    assert warning.startswith(
        f"2 images do not fit the normals of {LINE_NAME}/{PRODUCT}, for example images/0.png: "
        "the image has 60x60 px, the normals have 40x30 px. They get the verdict unknown, reason size"
    )


async def test_normals_that_do_not_fit_are_refused(client: httpx.AsyncClient, plant: Plant) -> None:
    release_teacher(plant)
    found = await check(client, normals())
    [problem] = found["problems"]
    assert problem["file"] == "train/good/60.png"
    assert "the image has 60x60 px, the normals have 40x30 px" in problem["detail"]
    assert f"siad line put {LINE_NAME} --sizes any" in problem["detail"]


async def test_a_line_of_every_size_takes_them(plant: Plant) -> None:
    release_teacher(plant)
    line = encode(make_line_changed(line=LINE_NAME, product=PRODUCT, classes=CLASSES, sizes="any", revision=2))
    async with plant.bus.producer() as producer:
        await producer.publish([Message(topic=LINE.name, key=LINE_NAME, value=line)])
    async with running_console(plant, ConsoleSettings(ingest_url="http://127.0.0.1:1")) as client:
        for archive in (masks(), normals()):
            found = await check(client, archive)
            assert (found["problems"], found["warnings"]) == ([], [])


async def test_without_weights_images_to_inspect_are_warned_of(client: httpx.AsyncClient) -> None:
    [warning] = (await check(client, masks()))["warnings"]
    assert warning.startswith(f"3 images to inspect: no weights serve line {LINE_NAME}, product {PRODUCT}, yet")
    assert "unknown, reason no-weights. Import them once" in warning
    found = await check(client, normals())
    assert (found["problems"], found["warnings"]) == ([], [])
