"""Imports over HTTP: round trips through a real ingest, repeats, and other answers of the line."""

import io
import json
from collections.abc import AsyncIterator, Callable
from zipfile import ZipFile

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import services.console.app
from services.console.adapters.ingest import IngestProxy
from services.console.adapters.ingest_uploads import IngestUploads
from services.ingest.app import assemble as assemble_ingest
from services.ingest.settings import IngestSettings
from siad.contracts import keys
from siad.contracts.corrections import CaptureCorrected
from siad.runtime.worker import StageProcess
from siad.vision.masks import decode_mask
from tests.unit.console.data_world import (
    CLASSES,
    DEFECT,
    GOOD,
    answer,
    answer_all,
    drawn,
    make_plant,
    running_console,
)
from tests.unit.console.world import LINE_NAME, PRODUCT, Plant, image_png

OTHER = "press-2"


@pytest.fixture
async def plant() -> Plant:
    return await make_plant()


@pytest.fixture
async def ingest(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    settings = IngestSettings(clock_skew_s=3e7)  # the captures are later than the fake clock
    stage = StageProcess("ingest", settings, clock=plant.clock)
    async with assemble_ingest(stage, settings, bus=plant.bus, blobs=plant.blobs):
        transport = httpx.ASGITransport(stage.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
            monkeypatch.setattr(services.console.app, "IngestUploads", lambda _: IngestUploads(IngestProxy(client)))
            body = {"product": PRODUCT, "classes": list(CLASSES)}
            response = await client.put(f"/v1/lines/{OTHER}", json=body)
            assert response.is_success, response.text
            yield client


@pytest.fixture
async def console(plant: Plant, ingest: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    async with running_console(plant) as client:
        await answer_all(client)
        yield client


async def exported(console: httpx.AsyncClient, form: str, line: str = LINE_NAME) -> bytes:
    response = await console.get(f"/v1/lines/{line}/export", params={"format": form})
    assert response.status_code == 200, response.text
    return response.content


async def imported(console: httpx.AsyncClient, archive: bytes, line: str = OTHER, **params: str) -> dict[str, object]:
    response = await console.post(f"/v1/lines/{line}/import", params={"person": "eva", **params}, content=archive)
    assert response.status_code == 200, response.text
    found: dict[str, object] = response.json()
    assert found["problems"] == []
    return found


def answers(plant: Plant, line: str) -> list[CaptureCorrected]:
    infos = [info.key for info in plant.blobs.list(keys.corrections_prefix(line)) if info.key.endswith(".json")]
    return [CaptureCorrected.from_json(plant.blobs.get(key).data) for key in infos]


def mask_of(plant: Plant, one: CaptureCorrected) -> NDArray[np.uint8]:
    return decode_mask(plant.blobs.get(plant.blobs.key_of(one.mask_uri)).data, may_ignore=True)


@pytest.mark.parametrize("form", ["coco", "voc", "png", "all"])
async def test_a_round_trip_keeps_every_pixel_and_class(form: str, console: httpx.AsyncClient, plant: Plant) -> None:
    archive = await exported(console, form)
    checked = await imported(console, archive, check="true")
    assert (checked["is_check"], checked["new_images"], answers(plant, OTHER)) == (True, 6 if form == "all" else 3, [])
    found = await imported(console, archive)
    count = 4 if form == "all" else 2
    assert (found["normals"], found["answers"], found["new_images"]) == (1, count, checked["new_images"])
    said = sorted((one.verdict, bool(one.mask_uri)) for one in answers(plant, OTHER))
    more = [("defect", False), ("unsure", False)] if form == "all" else []
    assert said == sorted([("defect", True), ("good", False), *more])
    [defect] = [one for one in answers(plant, OTHER) if one.mask_uri]
    assert np.array_equal(mask_of(plant, defect), drawn())
    assert sorted(one.class_name for one in defect.objects) == ["dent", "scratch"]
    assert (defect.author, defect.revision, defect.serial) == ("import:eva", 1, "n1")
    assert len(list(plant.blobs.list(keys.normals_prefix(OTHER)))) == 1
    again = await imported(console, archive)
    assert (again["new_images"], again["answers"], again["unchanged"]) == (0, 0, count)
    assert len(answers(plant, OTHER)) == count


async def test_polygons_lose_what_the_export_said(console: httpx.AsyncClient, plant: Plant) -> None:
    archive = await exported(console, "yolo")
    await imported(console, archive)
    [defect] = [one for one in answers(plant, OTHER) if one.verdict == "defect"]
    read_HW, drawn_HW = mask_of(plant, defect) == 255, drawn() == 255
    iou = (read_HW & drawn_HW).sum() / (read_HW | drawn_HW).sum()
    with ZipFile(io.BytesIO(archive)) as found:
        assert json.loads(found.read("export.json"))["iou"] == pytest.approx(iou, abs=1e-6)
    assert sorted(one.class_name for one in defect.objects) == ["dent", "scratch"]


async def test_mvtec_brings_normals_good_and_defective(console: httpx.AsyncClient, plant: Plant) -> None:
    found = await imported(console, await exported(console, "mvtec"))
    assert (found["format"], found["normals"], found["answers"]) == ("mvtec", 1, 2)
    [defect] = [one for one in answers(plant, OTHER) if one.verdict == "defect"]
    assert np.array_equal(mask_of(plant, defect), np.where(drawn() == 255, 255, 0))


async def test_the_own_line_is_left_as_it_is(console: httpx.AsyncClient, plant: Plant) -> None:
    archive = await exported(console, "coco")
    before = answers(plant, LINE_NAME)
    found = await imported(console, archive, LINE_NAME)
    assert (found["new_images"], found["answers"], found["unchanged"]) == (0, 0, 2)
    assert answers(plant, LINE_NAME) == before


async def test_another_answer_stays_and_an_edited_one_is_stored(console: httpx.AsyncClient, plant: Plant) -> None:
    archive = _edited(await exported(console, "png"), DEFECT, lambda mask_HW: mask_HW // 255 * 255)
    await answer(console, GOOD, "unsure", "carl")  # newer than the file
    found = await imported(console, archive, LINE_NAME)
    assert (found["answers"], found["kept"], found["unchanged"]) == (1, 1, 0)
    defect = answers(plant, LINE_NAME)[1]
    assert (defect.capture_id, defect.revision, defect.author) == (DEFECT, 2, "import:eva")
    assert np.array_equal(mask_of(plant, defect), np.where(drawn() == 255, 255, 0))
    again = _edited(archive, DEFECT, np.flipud)
    assert (await imported(console, again, LINE_NAME))["answers"] == 1  # by the same import
    await answer(console, DEFECT, "good", "carl")
    assert (await imported(console, archive, LINE_NAME))["kept"] == 2


async def test_foreign_data_need_no_list_of_captures(console: httpx.AsyncClient, plant: Plant) -> None:
    out = io.BytesIO()
    coco = {
        "categories": [{"id": 7, "name": "dent"}],
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "segmentation": [[2, 3, 12, 3, 12, 8, 2, 8]], "iscrowd": 0}
        ],
    }
    with ZipFile(out, "w") as archive:
        archive.writestr("set/annotations/train.json", json.dumps(coco))
        archive.writestr("set/images/a.png", image_png())
    found = await imported(console, out.getvalue())
    assert (found["format"], found["new_images"], found["answers"]) == ("coco", 1, 1)
    [one] = answers(plant, OTHER)
    expected = np.zeros((30, 40), np.uint8)
    expected[3:8, 2:12] = 255
    assert np.array_equal(mask_of(plant, one), expected)
    assert [(mark.class_name, mark.x, mark.y, mark.area_px) for mark in one.objects] == [("dent", 2, 3, 50)]


def _edited(archive: bytes, capture: str, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> bytes:
    """Change one mask of an archive."""
    out = io.BytesIO()
    with ZipFile(io.BytesIO(archive)) as source, ZipFile(out, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == f"masks/{capture}.png":
                mask_HW = decode_mask(data, may_ignore=True)
                data = bytes(cv2.imencode(".png", change(mask_HW))[1])
            target.writestr(name, data)
    return out.getvalue()
