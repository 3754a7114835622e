"""Exports over HTTP: every format re-read, and what is left out."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from zipfile import ZipFile

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from siad.contracts import keys
from siad.contracts.codec import encode
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.events import Intent
from siad.contracts.topics import LINE, VERDICT
from siad.runtime.bus.port import Message
from siad.runtime.worker import StageProcess, prepare
from siad.vision.datasets.palette import read_indexed
from siad.vision.datasets.yolo import read_line
from siad.vision.masks import encode_mask
from tests.events import make_line_changed
from tests.unit.console.world import HEIGHT, LINE_NAME, PRODUCT, WIDTH, Plant, image_png, name_of, put_capture, verdict

ADDRESS = f"/v1/lines/{LINE_NAME}"
DEFECT, GOOD, UNSURE, WITHOUT_OUTLINE, OPEN, NORMAL = (name_of(number) for number in range(1, 7))


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


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    plant.blobs.put(keys.line_pointer_key(LINE_NAME), b"{}")
    for number in range(1, 6):
        put_capture(plant.blobs, number)
    put_capture(plant.blobs, 6, intent=Intent.NORMAL)
    plant.blobs.put(keys.normal_key(LINE_NAME, PRODUCT, NORMAL), b"{}")
    line = encode(make_line_changed(line=LINE_NAME, product=PRODUCT, classes=("scratch", "dent")))
    async with plant.bus.producer() as producer:
        await producer.publish([Message(topic=LINE.name, key=LINE_NAME, value=line)])
        events = [verdict(number, number / 2) for number in range(1, 6)]
        await producer.publish([Message(topic=VERDICT.name, key=f"{LINE_NAME}/0", value=encode(one)) for one in events])
    return plant


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    settings = ConsoleSettings()
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


@pytest.fixture
async def answered(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A console whose captures were answered in every way."""
    for capture, said in ((GOOD, "good"), (UNSURE, "unsure"), (WITHOUT_OUTLINE, "defect")):
        await answer(client, capture, said)
    form = {"image": ("mask.png", encode_mask(drawn()), "image/png")}
    address = f"{ADDRESS}/captures/{DEFECT}/corrections"
    response = await client.post(
        address, params={"verdict": "defect", "author": "ann"}, files=form, data={"work": work()}
    )
    assert response.status_code == 201, response.text
    return client


async def answer(client: httpx.AsyncClient, capture: str, said: str) -> None:
    address = f"{ADDRESS}/captures/{capture}/corrections"
    response = await client.post(address, params={"verdict": said, "author": "bob"})
    assert response.status_code == 201, response.text


async def exported(client: httpx.AsyncClient, form: str, **filters: str) -> Mapping[str, bytes]:
    response = await client.get(f"{ADDRESS}/export", params={"format": form, **filters})
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"] == f'attachment; filename="{LINE_NAME}-{form}.zip"'
    with ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


async def test_training_formats_hold_what_is_known(answered: httpx.AsyncClient) -> None:
    left_out = {"open": 1, "unsure": 1, "no-outline": 1}
    for form in ("coco", "voc", "yolo", "png", "mvtec"):
        files = await exported(answered, form)
        listed = [json.loads(line) for line in files["captures.jsonl"].splitlines()]
        assert [one["capture_id"] for one in listed] == [NORMAL, GOOD, DEFECT]
        assert all(files[one["image"]] == image_png() for one in listed)
        summary = json.loads(files["export.json"])
        assert (summary["captures"], summary["normals"], summary["left_out"]) == (3, 1, left_out)


async def test_coco_is_read_again_to_the_pixel(
    answered: httpx.AsyncClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    files = await exported(answered, "coco")
    path = tmp_path_factory.mktemp("coco") / "instances.json"
    path.write_bytes(files["annotations/instances.json"])
    found = coco.COCO(path)
    [image] = [one for one in found.dataset["images"] if one["file_name"].startswith(DEFECT)]
    read_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    classes = set()
    for one in found.loadAnns(found.getAnnIds(imgIds=[image["id"]])):
        read_HW[found.annToMask(one) == 1] = 128 if one["iscrowd"] else 255
        classes.add((found.cats[one["category_id"]]["name"], one["iscrowd"]))
        assert one["area"] == found.annToMask(one).sum()
    assert np.array_equal(read_HW, drawn())
    assert classes == {("scratch", 0), ("dent", 0), ("defect", 1)}
    assert len(found.anns) == 3


async def test_masks_are_equal_to_the_pixel(answered: httpx.AsyncClient) -> None:
    assert np.array_equal(decoded((await exported(answered, "png"))[f"masks/{DEFECT}.png"]), drawn())
    voc = await exported(answered, "voc")
    classes_HW = read_indexed(voc[f"SegmentationClass/{DEFECT}.png"])
    assert np.array_equal(np.isin(classes_HW, (1, 2)), drawn() == 255)
    assert np.array_equal(classes_HW == 255, drawn() == 128)
    mvtec = await exported(answered, "mvtec")
    mask_HW = decoded(mvtec[f"{PRODUCT}/ground_truth/combined/{DEFECT}_mask.png"])
    assert np.array_equal(mask_HW, np.where(drawn() == 255, 255, 0))
    assert {f"{PRODUCT}/train/good/{NORMAL}.png", f"{PRODUCT}/test/good/{GOOD}.png"} <= mvtec.keys()


async def test_yolo_tells_the_iou_of_its_text(answered: httpx.AsyncClient) -> None:
    files = await exported(answered, "yolo")
    read_HW = np.zeros((HEIGHT, WIDTH), np.bool_)
    for line in files[f"labels/train/{DEFECT}.txt"].decode().splitlines():
        read_HW |= read_line(line, size=(HEIGHT, WIDTH))[1]
    iou = (read_HW & (drawn() == 255)).sum() / (read_HW | (drawn() == 255)).sum()
    [listed] = [one for one in map(json.loads, files["captures.jsonl"].splitlines()) if one["capture_id"] == DEFECT]
    assert 0.85 < iou < 1
    assert listed["iou"] == pytest.approx(iou, abs=1e-6)
    assert json.loads(files["export.json"])["iou"] == pytest.approx(iou, abs=1e-6)
    assert files[f"labels/train/{GOOD}.txt"] == b""


async def test_all_holds_records_and_lineage(answered: httpx.AsyncClient) -> None:
    files = await exported(answered, "all")
    assert json.loads(files["export.json"])["captures"] == 6
    assert f"store/{keys.correction_key(LINE_NAME, DEFECT, 1)}" in files
    assert json.loads(files["lineage.json"])["line"] == LINE_NAME


async def test_filters_choose_and_equal_data_are_equal_bytes(answered: httpx.AsyncClient) -> None:
    files = await exported(answered, "png", person="ann")
    assert [one for one in files if one.startswith("images/")] == [f"images/{DEFECT}.png"]
    address, params = f"{ADDRESS}/export", {"format": "voc"}
    first, second = [(await answered.get(address, params=params)).content for _ in range(2)]
    assert first == second
    counted = (await answered.get(f"{ADDRESS}/export/count", params={"verdict": "good"})).json()
    assert (counted["captures"], counted["normals"], counted["image_bytes"]) == (2, 1, 2 * len(image_png()))


async def test_nothing_to_export_says_why(client: httpx.AsyncClient) -> None:
    response = await client.get(f"{ADDRESS}/export", params={"state": "open"})
    assert response.status_code == 404
    assert "5 without an answer" in response.json()["detail"]
    unknown = await client.get("/v1/lines/none/export")
    assert unknown.status_code == 404


async def test_forgotten_captures_are_left_out(answered: httpx.AsyncClient, plant: Plant) -> None:
    record = CaptureDeletion.of(put_capture(plant.blobs, 1), at=plant.clock.now())
    plant.blobs.put(keys.deletion_key(LINE_NAME, DEFECT), record.to_json())
    files = await exported(answered, "png")
    assert f"images/{DEFECT}.png" not in files
    assert json.loads(files["export.json"])["left_out"]["erased"] == 1


async def test_a_damaged_image_is_counted(answered: httpx.AsyncClient, plant: Plant) -> None:
    receipt = put_capture(plant.blobs, 2)
    key = plant.blobs.key_of(receipt.image_uri)
    plant.blobs.put(key, b"no image")
    files = await exported(answered, "png")
    assert json.loads(files["export.json"])["left_out"]["unreadable"] == 3  # all three have these bytes
