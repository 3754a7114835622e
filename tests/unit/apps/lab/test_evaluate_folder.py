"""Folders in the published layout, and folders that are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from siad.apps.lab.evaluate.folder import FolderError, read_images, read_mask
from siad.apps.lab.evaluate.folder_reader import read_folder
from siad.apps.lab.evaluate.mask_file import MaskFileError


def picture(path: Path, *, side: int = 8, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((side, side), value, np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "train/good/b.png",
        "train/good/a.PNG",
        "test/good/000.png",
        "test/crack/000.png",
        "test/crack/001.png",
    ):
        picture(tmp_path / "set" / name)
    picture(tmp_path / "set/ground_truth/crack/000_mask.png", value=255)
    picture(tmp_path / "set/ground_truth/crack/001.bmp", value=1, side=4)
    (tmp_path / "set/train/good/readme.txt").write_text("no image")
    return tmp_path / "set"


def test_normals_samples_and_masks_are_found_in_the_order_of_their_names(root: Path) -> None:
    folder = read_folder(root)
    assert [path.name for path in folder.normals] == ["a.PNG", "b.png"]
    assert [sample.name for sample in folder.samples] == ["crack/000.png", "crack/001.png", "good/000.png"]
    assert folder.kinds == ("crack",)
    assert [[path.name for path in sample.mask_paths] for sample in folder.samples] == [
        ["000_mask.png"],
        ["001.bmp"],
        [],
    ]


def test_a_mask_is_brought_to_its_image_and_to_two_values(root: Path) -> None:
    masks = [read_mask(sample, (8, 8)) for sample in read_folder(root).samples]
    assert all(mask_HW is not None and mask_HW.shape == (8, 8) for mask_HW in masks)
    assert [sorted(set(np.unique(mask_HW))) for mask_HW in masks if mask_HW is not None] == [[255], [255], [0]]


def test_a_defect_without_a_mask_file_has_no_mask(root: Path) -> None:
    (root / "ground_truth/crack/000_mask.png").unlink()
    assert read_mask(read_folder(root).samples[0], (8, 8)) is None


def test_a_mask_that_is_no_image_is_told(root: Path) -> None:
    (root / "ground_truth/crack/000_mask.png").write_bytes(b"nothing")
    with pytest.raises(MaskFileError, match=r"000_mask\.png can't be read: 7 bytes"):
        read_mask(read_folder(root).samples[0], (8, 8))


def test_images_that_can_not_be_read_are_left_out_and_named(root: Path) -> None:
    (root / "train/good/b.png").write_bytes(b"torn")
    images, read, left_out = read_images(read_folder(root).normals)
    assert (len(images), [path.name for path in read]) == (1, ["a.PNG"])
    [(path, why)] = left_out.items()
    assert (path.name, why[:7]) == ("b.png", "4 bytes")


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        (
            "train/good",
            "has no images to fit a teacher on; .* looked for in train/good; found: .*test/good .good, 1 image",
        ),
        ("test", "has no images to test on; .* looked for in test/good and test/CLASS; found: ground_truth"),
        (".", "is not a folder; nothing was evaluated. A set has train/good"),
    ],
)
def test_what_is_missing_is_named_with_what_was_found(root: Path, taken: str, said: str) -> None:
    (root / taken).rename(root.parent / "elsewhere")
    with pytest.raises(FolderError, match=said):
        read_folder(root)


def test_folders_without_images_are_named(root: Path) -> None:
    for path in (root / "train/good").iterdir():
        path.unlink()
    with pytest.raises(FolderError, match=r"no images to fit a teacher on; .*train/good \(normals, 0 images\)"):
        read_folder(root)


def test_an_empty_folder_says_what_a_set_is(tmp_path: Path) -> None:
    with pytest.raises(
        FolderError, match=r"Files ending in .bmp, .*found: no folders. A set has train/good, test/good"
    ):
        read_folder(tmp_path)
