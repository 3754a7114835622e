"""Formats of data sets: every pixel of a mask is kept, or its loss is told."""

import io
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from siad.contracts.marked_objects import MarkedObject, ObjectFate, ObjectOrigin
from siad.vision.datasets.coco import CocoWriter
from siad.vision.datasets.folders import MvtecWriter
from siad.vision.datasets.instances import is_outer, outlines_of, runs_in_image, split_instances
from siad.vision.datasets.palette import read_indexed
from siad.vision.datasets.runs import read_runs, write_runs
from siad.vision.datasets.samples import DatasetClasses, DatasetSample, SampleFiles
from siad.vision.datasets.voc import VocWriter
from siad.vision.datasets.yolo import YoloWriter
from siad.vision.headers import ImageError
from siad.vision.mask_objects import fill_polygon, mask_of, runs_of
from tests.fuzzing import fuzzed

CLASSES = DatasetClasses.of(("scratch", "dent"))


def masks(values: Sequence[int] = (0, 255)) -> st.SearchStrategy[NDArray[np.uint8]]:
    """Small masks."""
    sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
    return sizes.flatmap(
        lambda size: st.lists(st.sampled_from(values), min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
            lambda found: np.array(found, np.uint8).reshape(size)
        )
    )


def mark(x: int, y: int, width: int, height: int, class_name: str = "") -> MarkedObject:
    return MarkedObject(
        x=x, y=y, width=width, height=height, area_px=1, origin=ObjectOrigin.PERSON, fate=ObjectFate.ADDED,
        class_name=class_name,
    )  # fmt: skip


def sample(mask_HW: NDArray[np.uint8], objects: Sequence[MarkedObject] = (), **fields: object) -> DatasetSample:
    height, width = mask_HW.shape
    return DatasetSample(
        name="a1", extension="bmp", image=b"", width_px=width, height_px=height, mask_HW=mask_HW, objects=objects,
        product="cap", **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def two_marks() -> tuple[NDArray[np.uint8], list[MarkedObject]]:
    """A ring with an unsure pixel in it, and a bar."""
    mask_HW = np.zeros((20, 30), np.uint8)
    mask_HW[2:9, 2:9] = 255
    mask_HW[4:7, 4:7] = 0
    mask_HW[5, 5] = 128
    mask_HW[12:14, 10:25] = 255
    return mask_HW, [mark(2, 2, 7, 7, "dent"), mark(10, 12, 15, 2, "scratch")]


@fuzzed
@given(
    masks((0, 128, 255)),
    st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 9)] * 2), max_size=4),
)
def test_instances_are_the_defects_of_the_mask(
    mask_HW: NDArray[np.uint8], boxes: list[tuple[int, int, int, int]]
) -> None:
    found_HW = np.zeros(mask_HW.shape, np.uint8)
    for one in split_instances(mask_HW, [mark(*box) for box in boxes]):
        height, width = one.inside_hw.shape
        found_HW[one.y : one.y + height, one.x : one.x + width] += one.inside_hw
    assert np.array_equal(found_HW, mask_HW == 255)


def test_parts_have_the_class_of_the_smallest_box_around_them() -> None:
    mask_HW = np.zeros((20, 20), np.uint8)
    mask_HW[1:19, 1] = mask_HW[5:8, 5:8] = mask_HW[0, 19] = 255
    found = split_instances(mask_HW, [mark(1, 1, 18, 18, "scratch"), mark(5, 5, 3, 3, "dent")])
    assert [(one.class_name, one.area_px) for one in found] == [("dent", 9), ("scratch", 18), ("", 1)]


def test_marks_that_touch_are_split_by_their_boxes() -> None:
    mask_HW = np.zeros((4, 12), np.uint8)
    mask_HW[1:3, 1:11] = 255
    found = split_instances(mask_HW, [mark(1, 1, 4, 2, "scratch"), mark(5, 1, 6, 2, "dent")])
    assert [(one.class_name, one.box) for one in found] == [("scratch", (1, 1, 4, 2)), ("dent", (5, 1, 6, 2))]


@fuzzed
@given(masks())
def test_outlines_and_runs_are_the_mask(mask_HW: NDArray[np.uint8]) -> None:
    inside_HW = mask_HW == 255
    size = inside_HW.shape
    filled_HW = np.zeros(size, np.bool_)
    for corners in outlines_of(inside_HW):
        filled_HW ^= fill_polygon([(2 * x, 2 * y) for x, y in corners], size=size)
    assert np.array_equal(filled_HW, inside_HW)
    for one in split_instances(mask_HW, ()):
        assert runs_in_image(one, size=size) == runs_of(inside_HW)


@fuzzed
@given(masks())
def test_compressed_runs_are_those_of_the_coco_api(mask_HW: NDArray[np.uint8]) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    runs = runs_of(mask_HW == 255)
    expected = coco.encode(np.asfortranarray(mask_HW == 255).astype(np.uint8))["counts"].decode()
    assert write_runs(runs) == expected
    assert read_runs(expected) == runs


@pytest.mark.parametrize("text", ["P", "oooooooooo0", "\x10", "o"])
def test_broken_runs_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        mask_of(read_runs(text), size=(2, 2)) if text != "P" else read_runs(text)


def test_coco_keeps_pixels_classes_and_unsure() -> None:
    mask_HW, marks = two_marks()
    writer = CocoWriter(CLASSES)
    rows = [writer.add(sample(mask_HW, marks)).rows, writer.add(sample(np.zeros((5, 5), np.uint8))).rows]
    [end] = writer.end()
    text = b"".join(
        one if isinstance(one, bytes) else b"".join(row.get(one.name, b"") for row in rows) for one in end.pieces
    )
    found = json.loads(text)
    assert [one["name"] for one in found["categories"]] == ["scratch", "dent", "defect"]
    assert found["categories"][0]["color"] == [255, 77, 109]
    names = [(one["category_id"], one["iscrowd"], one["image_id"], one["bbox"]) for one in found["annotations"]]
    assert names == [(1, 0, 1, [10, 12, 15, 2]), (2, 0, 1, [2, 2, 7, 7]), (3, 1, 1, [5, 5, 1, 1])]
    read_HW = np.zeros_like(mask_HW)
    for one in found["annotations"]:
        read_HW[mask_of(read_runs(one["segmentation"]["counts"]), size=mask_HW.shape)] = 128 if one["iscrowd"] else 255
    assert np.array_equal(read_HW, mask_HW)


def test_voc_has_classes_and_instances_with_colours() -> None:
    mask_HW, marks = two_marks()
    files = dict(VocWriter(CLASSES).add(sample(mask_HW, marks)).files)
    classes = Image.open(io.BytesIO(files["SegmentationClass/a1.png"]))
    assert classes.mode == "P"
    assert (classes.getpalette() or [])[3:6] == [255, 77, 109]
    expected_HW = np.zeros_like(mask_HW)
    expected_HW[mask_HW == 128] = 255
    expected_HW[12:14, 10:25] = 1
    expected_HW[2:9, 2:9][mask_HW[2:9, 2:9] == 255] = 2
    assert np.array_equal(np.array(classes), expected_HW)
    assert np.array_equal(read_indexed(files["SegmentationClass/a1.png"]), expected_HW)
    assert np.array_equal(np.unique(read_indexed(files["SegmentationObject/a1.png"])), [0, 1, 2, 255])
    assert b"<xmin>11</xmin><ymin>13</ymin>" in files["Annotations/a1.xml"]
    with pytest.raises(ImageError, match="8 bits"):
        read_indexed(_png(Image.new("RGB", (3, 3))))


def test_yolo_tells_what_it_loses() -> None:
    mask_HW, marks = two_marks()
    writer = YoloWriter(CLASSES)
    found = writer.add(sample(mask_HW, marks))
    assert found.facts == {"iou": round(70 / 79, 6), "unsure_px": 1}
    assert dict(found.files)["labels/train/a1.txt"].startswith(b"0 0.3333333 0.6 0.8333333 0.6 ")
    whole = np.zeros((9, 7), np.uint8)
    whole[2:5, 3:6] = 255
    assert writer.add(sample(whole)).facts == {"iou": 1.0, "unsure_px": 0}
    assert writer.summary() == {"iou": round(79 / 88, 6), "iou_least": round(70 / 79, 6), "unsure_px": 1}


@fuzzed
@given(masks())
def test_yolo_loses_nothing_but_holes(mask_HW: NDArray[np.uint8]) -> None:
    has_holes = not all(is_outer(one) for one in outlines_of(mask_HW == 255))
    found = YoloWriter(CLASSES).add(sample(mask_HW))
    assert has_holes or found.facts["iou"] == 1.0


def test_mvtec_sorts_by_class() -> None:
    mask_HW, marks = two_marks()
    clear_HW = np.zeros_like(mask_HW)
    one_HW = np.where(np.arange(20)[:, None] > 10, mask_HW, 0).astype(np.uint8)

    def written(*arguments: object, **fields: object) -> SampleFiles:
        return MvtecWriter().add(sample(*arguments, **fields))  # type: ignore[arg-type]

    assert written(clear_HW, is_normal=True).image == "cap/train/good/a1.bmp"
    assert written(clear_HW).image == "cap/test/good/a1.bmp"
    assert written(mask_HW, marks).image == "cap/test/combined/a1.bmp"
    found = written(one_HW, marks)
    assert (found.image, found.files[0][0]) == (
        "cap/test/scratch/a1.bmp",
        "cap/ground_truth/scratch/a1_mask.png",
    )
    assert written(one_HW).image == "cap/test/defect/a1.bmp"
    assert written(one_HW, [mark(10, 12, 15, 2, "good")]).image == "cap/test/good_/a1.bmp"


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
