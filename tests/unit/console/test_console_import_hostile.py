"""Hostile and broken archives: a clear refusal, and nothing stored."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import cv2
import httpx
import numpy as np
import pytest

from services.console.adapters.zip_reading import ArchiveLimits, ZipFiles
from services.console.domain.importing import describe_unknown_classes
from services.console.settings import ConsoleSettings
from siad.contracts import keys
from siad.vision.datasets.reading import DatasetError
from siad.vision.datasets.runs import write_runs
from tests.unit.console.data_world import ADDRESS, make_plant, running_console
from tests.unit.console.world import HEIGHT, LINE_NAME, WIDTH, Plant, image_png, mask_png

IMAGE = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}
MASK = {"size": [HEIGHT, WIDTH], "counts": [0, 5, HEIGHT * WIDTH - 5]}


@pytest.fixture
async def plant() -> Plant:
    return await make_plant()


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    settings = ConsoleSettings(import_max_bytes=4 * 2**20, image_max_bytes=100_000, ingest_url="http://127.0.0.1:1")
    async with running_console(plant, settings) as client:
        yield client


def packed(files: Mapping[str, bytes | str], compression: int = 0) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(ZipInfo(name) if name.startswith("/") else name, data)
    return out.getvalue()


def masks(**more: bytes | str) -> dict[str, bytes | str]:
    """An archive of images and masks."""
    return {"images/a.png": image_png(), "masks/a.png": mask_png(), **more}


def coco(*annotations: Mapping[str, Any], classes: tuple[str, ...] = ("dent",)) -> dict[str, bytes | str]:
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(classes)]
    found = {"images": [IMAGE], "categories": categories, "annotations": list(annotations)}
    return {"images/a.png": image_png(), "annotations/a.json": json.dumps(found)}


def annotation(**fields: object) -> dict[str, object]:
    return {"id": 3, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": MASK, **fields}


async def refused(client: httpx.AsyncClient, plant: Plant, archive: bytes) -> str:
    """Import an archive; return why it was refused."""
    before = sorted(info.key for info in plant.blobs.list(""))
    response = await client.post(f"{ADDRESS}/import", content=archive)
    assert sorted(info.key for info in plant.blobs.list("")) == before
    if response.status_code != 200:
        assert response.status_code in (413, 422), response.text
        assert "nothing was stored" in response.json()["detail"]
        return str(response.json()["detail"])
    found = response.json()
    assert found["problem_count"] == len(found["problems"]) > 0
    assert found["is_check"]
    return "\n".join(f"{one['file']}: {one['detail']}" for one in found["problems"])


def link() -> bytes:
    out = io.BytesIO()
    entry = ZipInfo("images/a.png")
    entry.external_attr = 0o120777 << 16
    with ZipFile(out, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return out.getvalue()


def lying() -> bytes:
    """An archive whose directory says another size than the bytes have."""
    data = bytearray(packed(masks()))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (20).to_bytes(4, "little")
    return bytes(data)


ARCHIVES: dict[str, tuple[bytes, str]] = {
    "no zip": (b"hello", "the file is no whole zip. Send the archive again"),
    "empty": (b"", "no whole zip"),
    "truncated": (packed(masks())[:-40], "no whole zip"),
    "zip bomb": (packed(masks(**{"images/b.bmp": bytes(5 * 2**20)}), ZIP_DEFLATED), "times its size"),
    "size that lies": (lying(), "images/a.png: is damaged in the archive. Pack it again"),
    "path upwards": (packed(masks(**{"../../b.png": b"x"})), "leads out of it"),
    "absolute path": (packed(masks(**{"/etc/b.png": b"x"})), "leads out of it"),
    "drive": (packed(masks(**{"C:/b.png": b"x"})), "leads out of it"),
    "backslashes": (packed(masks(**{"..\\b.png": b"x"})), "leads out of it"),
    "link": (link(), "is a link"),
    "no data set": (packed({"readme.txt": "hello"}), "no data set"),
    "mask of another size": (packed({**masks(), "masks/a.png": mask_png((10, 10))}), "10x10 px, and its image 40x30"),
    "mask in colour": (
        packed({**masks(), "masks/a.png": bytes(cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))[1])}),
        "grey 8-bit PNG",
    ),
    "mask without image": (packed(masks(**{"masks/b.png": mask_png()})), "masks/b.png has no image"),
    "image without pixels": (packed({**masks(), "images/a.png": b"no image"}), "images/a.png"),
    "image over the limit": (
        packed({**masks(), "images/a.png": bytes(np.random.default_rng(0).bytes(200_000))}),
        "at most 100000 are stored",
    ),
    "archive over the limit": (np.random.default_rng(0).bytes(4 * 2**20 + 1), "more than 4194304 bytes"),
    "unknown class": (
        packed(coco(annotation(), classes=("hole",))),
        "(scratch, dent). Add it: siad line put press-1 --classes scratch,dent,hole",
    ),
    "unknown category": (packed(coco(annotation(category_id=9))), "category 9"),
    "unknown image": (packed(coco(annotation(image_id=9))), "image 9"),
    "runs of another size": (packed(coco(annotation(segmentation={"size": [5, 5], "counts": [25]}))), "it is 5x5 px"),
    "runs too long": (
        packed(coco(annotation(segmentation={"size": [HEIGHT, WIDTH], "counts": [2**40]}))),
        "run lengths are 1099511627776 px",
    ),
    "negative runs": (
        packed(coco(annotation(segmentation={"size": [HEIGHT, WIDTH], "counts": [-5, HEIGHT * WIDTH + 5]}))),
        "no outline that can be read",
    ),
    "polygon out of the image": (
        packed(coco(annotation(segmentation=[[0, 0, 1e12, 0, 5, 5]]))),
        "outside of the image",
    ),
    "polygon that is none": (packed(coco(annotation(segmentation=[[float("nan")] * 6]))), "no outline"),
    "deep json": (packed({**coco(), "annotations/a.json": "[" * 100_000}), "no COCO file"),
    "coco without image": (packed({"annotations/a.json": coco()["annotations/a.json"]}), "which the archive lacks"),
    "too many annotations": (packed(coco(*[annotation()] * 10_001)), "at most 10000 are read"),
    "wrong image id": (
        packed(masks(**{"captures.jsonl": json.dumps({"image": "images/a.png", "image_id": "ab"})})),
        "the bytes are",
    ),
    "wrong capture id": (
        packed(masks(**{"captures.jsonl": json.dumps({"image": "images/a.png", "capture_id": "../x"})})),
        "no id of 32 hex digits",
    ),
    "list that is none": (packed(masks(**{"captures.jsonl": "{"})), "captures.jsonl, line 1"),
    "same bytes twice": (
        packed(masks(**{"images/b.png": image_png(), "masks/b.png": mask_png()})),
        "same bytes as images/a.png",
    ),
    "boxes in place of polygons": (
        packed({"data.yaml": "names: [dent]", "images/a.png": image_png(), "labels/a.txt": "0 0.5 0.5 0.2 0.2"}),
        "Boxes are no outlines",
    ),
    "yolo class without name": (
        packed({"data.yaml": "names: [dent]", "images/a.png": image_png(), "labels/a.txt": "4 0 0 1 0 1 1"}),
        "does not name",
    ),
    "defect without mask": (
        packed({"train/good/a.png": image_png(), "test/dent/b.png": image_png()}),
        "is a defect without a mask",
    ),
}


@pytest.mark.parametrize("name", ARCHIVES)
async def test_what_is_refused(name: str, client: httpx.AsyncClient, plant: Plant) -> None:
    archive, words = ARCHIVES[name]
    assert words in await refused(client, plant, archive)


async def test_unknown_classes_of_many_images_are_one_problem(client: httpx.AsyncClient, plant: Plant) -> None:
    rows = [{**IMAGE, "id": number, "file_name": f"{number}.png"} for number in range(1, 4)]
    kinds = [{"id": number, "name": name} for number, name in enumerate(("hole", "broken large", "dent"), start=1)]
    marks = [annotation(id=number, image_id=number, category_id=number) for number in range(1, 4)]
    files: dict[str, bytes | str] = {f"images/{number}.png": image_png() for number in range(1, 4)}
    files["annotations/a.json"] = json.dumps({"images": rows, "categories": kinds, "annotations": marks})
    text = await refused(client, plant, packed(files))
    assert text == (
        "images/1.png and 1 more image: classes broken large, hole are none of line 'press-1' (scratch, dent). "
        "Add them: siad line put press-1 --classes 'scratch,dent,broken large,hole'"
    )


def test_more_classes_than_a_line_can_have_are_not_advised() -> None:
    text = describe_unknown_classes("press-1", ["dent"], [f"kind-{number}" for number in range(9)])
    assert "at most 9 classes" in text
    assert "siad line put" not in text


async def test_ten_thousand_specks_are_read(client: httpx.AsyncClient) -> None:
    specks = []
    for number in range(10_000):
        at = number % (HEIGHT * WIDTH - 1)
        counts = write_runs([at, 1, HEIGHT * WIDTH - at - 1])
        specks.append(annotation(id=number, segmentation={"size": [HEIGHT, WIDTH], "counts": counts}))
    response = await client.post(
        f"{ADDRESS}/import", content=packed(coco(*specks), ZIP_DEFLATED), params={"check": True}
    )
    assert response.json()["problems"] == []
    assert response.json()["answers"] == 1


async def test_without_ingest_new_images_are_refused(plant: Plant) -> None:
    async with running_console(plant) as client:
        assert "SIAD_CONSOLE_INGEST_URL" in await refused(client, plant, packed(masks()))


async def test_ingest_that_is_away_can_be_tried_again(client: httpx.AsyncClient, plant: Plant) -> None:
    response = await client.post(f"{ADDRESS}/import", content=packed(masks()))
    assert (response.status_code, "a repeat is harmless" in response.text) == (503, True), response.text
    assert not list(plant.blobs.list(keys.corrections_prefix(LINE_NAME)))


def test_limits_of_all_files_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(packed(masks()))
    for limits, words in (
        (ArchiveLimits(files_max=1), "2 files"),
        (ArchiveLimits(total_bytes_max=10), "unpacks to"),
        (ArchiveLimits(file_bytes_max=10), "unpacks to"),
    ):
        with pytest.raises(DatasetError, match=words):
            ZipFiles(path, limits)
