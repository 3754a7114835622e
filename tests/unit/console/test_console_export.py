"""Exports over HTTP: every format re-read, and what is left out."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from zipfile import ZipFile

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion
from siad.vision.datasets.palette import read_indexed
from siad.vision.datasets.yolo import read_line
from tests.unit.console.data_world import (
    ADDRESS,
    DEFECT,
    GOOD,
    NORMAL,
    answer_all,
    drawn,
    make_plant,
    running_console,
)
from tests.unit.console.world import HEIGHT, LINE_NAME, PRODUCT, WIDTH, Plant, image_png, put_capture


@pytest.fixture
async def plant() -> Plant:
    return await make_plant()


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    async with running_console(plant) as client:
        yield client


@pytest.fixture
async def answered(client: httpx.AsyncClient) -> httpx.AsyncClient:
    await answer_all(client)
    return client


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


async def test_normals_are_named_to_compare_with(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{ADDRESS}/normals")).json() == {"captures": [NORMAL]}
    assert (await client.get(f"{ADDRESS}/normals", params={"product": "lid"})).json() == {"captures": []}


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
