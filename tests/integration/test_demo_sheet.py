"""The demo's contact sheet, from weights in a store and opinions on cells."""

from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from siad.apps.lab.demo.cells import LINE, PRODUCT, Cell
from siad.apps.lab.demo.report import ModelVerdict
from siad.apps.lab.demo.sheet import write_sheet
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.registry import Registry
from tests.synthetic import bundle, part_image, png


@pytest.fixture
def store() -> tuple[MemoryBlobs, str]:
    """A store with one teacher of the demo's line, and its name."""
    made = bundle()
    blobs = MemoryBlobs()
    return blobs, Registry(blobs).store(replace(made.manifest, line=LINE, product=PRODUCT), made.parts)


def cell(folder: Path, seed: int, probability: float) -> Cell:
    path = folder / f"cell{seed}.png"
    path.write_bytes(png(part_image(seed, defect=probability == 1.0)))
    return Cell(path, probability)


def test_what_the_weights_said_of_sure_cells_is_drawn(store: tuple[MemoryBlobs, str], tmp_path: Path) -> None:
    blobs, weights = store
    said = ModelVerdict(score=0.0, is_defect=False, weights=weights)
    judged = {
        "a": (cell(tmp_path, 1, 1.0), said),
        "b": (cell(tmp_path, 2, 0.0), said),
        "unsure": (cell(tmp_path, 3, 1 / 3), said),
        "others": (cell(tmp_path, 4, 1.0), replace(said, weights="f" * 64)),
    }
    assert write_sheet(tmp_path / "sheet.png", blobs, judged, weights=weights)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    one = {"a": judged["a"]}
    assert write_sheet(tmp_path / "one.png", blobs, one, weights=weights)
    single = cv2.imread(str(tmp_path / "one.png"))
    assert sheet is not None
    assert single is not None
    row_px = sheet.shape[0] - single.shape[0]
    assert single.shape[0] < 2 * row_px  # a head and one row; the other has one row more


def test_where_the_weights_said_nothing_there_is_no_sheet(store: tuple[MemoryBlobs, str], tmp_path: Path) -> None:
    blobs, weights = store
    assert not write_sheet(tmp_path / "sheet.png", blobs, {}, weights=weights)
    assert not (tmp_path / "sheet.png").exists()
