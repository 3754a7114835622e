"""Layouts of published sets and of annotation tools: what each file is taken for."""

from pathlib import Path

import numpy as np
import pytest

from siad.apps.lab.evaluate.folder import FolderError, ImageFolder
from siad.apps.lab.evaluate.folder_names import is_good, mask_name, may_be_good
from siad.apps.lab.evaluate.folder_reader import find_good, read_folder
from siad.apps.lab.evaluate.inventory import check_folder, folder_json
from tests.unit.apps.lab.annotations import encoded, lay, png
from tests.unit.apps.odd_files import NAMES, ODD, make_odd

IMAGE = png(np.arange(48, dtype=np.uint8).reshape(6, 8))
MASK = png(np.eye(6, 8, dtype=np.uint8))


def masks_of(folder: ImageFolder) -> dict[str, list[str]]:
    """Name of each sample, and its masks below the folder."""
    return {
        sample.name: [path.relative_to(folder.path).as_posix() for path in sample.mask_paths]
        for sample in folder.samples
    }


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("test/crack/000.png", "ground_truth/crack/000_mask.png"),  # MVTec AD
        ("test/crack/000.png", "Ground_Truth/Crack/000_Mask.PNG"),
        ("Test/ko/0001.bmp", "ground_truth/ko/0001.png"),  # BTAD
        ("test/structural_anomalies/007.png", "ground_truth/structural_anomalies/007/000.png"),  # MVTec LOCO
        ("test/bad/003.JPG", "masks/bad/003.png"),  # VisA
        ("test/crack/a.b.png", "labels/crack/a.b_label.bmp"),
        ("test/crack/Part0.jpg", "test/crack/Part0_label.bmp"),  # KolektorSDD
        ("test/crack/20000.png", "test/crack/20000_GT.png"),
        ("test/crack/000.png", "test/ground_truth/crack/000.png"),
        ("test/crack/000.png", "test/crack/masks/000.png"),
        ("test/crack/lot 1/000.png", "ground_truth/crack/lot 1/000.mask.png"),
        ("test/crack/lot 1/000.png", "ground_truth/crack/000-mask.png"),
        ("test/crack/000.png", "gt/000_gt.tif"),
        ("test/crack/000.jpg", "ground_truth/crack/000.jpg.png"),
        ("test/crack/000.jpg", "annotations/crack/000_json/label.png"),  # labelme
    ],
)
def test_a_mask_is_found_wherever_tools_put_it(tmp_path: Path, image: str, mask: str) -> None:
    lay(tmp_path, "train/good/a.png", image, mask)
    folder = read_folder(tmp_path)
    assert list(masks_of(folder).values()) == [[mask]]
    assert folder.report.unused_masks == {}


def test_masks_in_a_folder_of_the_image_and_numbered_ones_are_all_used(tmp_path: Path) -> None:
    lay(tmp_path, "train/good/a.png", "test/logical_anomalies/000.png", "test/logical_anomalies/001.png")
    lay(tmp_path, *(f"ground_truth/logical_anomalies/000/{number:03}.png" for number in range(3)))
    lay(tmp_path, *(f"ground_truth/logical_anomalies/001_mask_{number}.png" for number in range(2)))
    assert [len(masks) for masks in masks_of(read_folder(tmp_path)).values()] == [3, 2]


@pytest.mark.parametrize("good", ["ok", "OK", "Good", "normal", "i.O.", "defect-free", "good"])
@pytest.mark.parametrize("train", ["train", "Train", "training"])
def test_folders_of_good_images_have_many_names(tmp_path: Path, good: str, train: str) -> None:
    lay(tmp_path, f"{train}/{good}/a.png", f"test/{good}/b.png", "test/nio/c.png")
    folder = read_folder(tmp_path)
    assert [path.name for path in folder.normals] == ["a.png"]
    assert {sample.name: sample.is_defect for sample in folder.samples} == {f"{good}/b.png": False, "nio/c.png": True}
    assert folder.report.taken[f"test/{good}"] == "good, 1 image"
    assert find_good(tmp_path) == tmp_path / train / good


def test_a_name_that_hints_at_good_parts_is_pointed_out(tmp_path: Path) -> None:
    assert [name for name in ("good_2", "not ok", "broken", "good", "goodyear") if may_be_good(name)] == [
        "good_2",
        "not ok",
    ]
    lay(tmp_path, "train/good/a.png", "test/good_2/b.png")
    [note] = read_folder(tmp_path).report.notes
    assert note == "test/good_2 counts as a class of defects; if its parts are good, name it good"


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    lay(tmp_path, "train/good/a.png", "test/crack/0.png", "test/crack/lot/1.png", "readme.png", "test/loose.png")
    lay(tmp_path, "train/bad/a.png", "train/b.png", "validation/good/a.png", "test/crack/notes.txt")
    lay(tmp_path, "ground_truth/crack/9_mask.png", "ground_truth/crack/0.png", "ground_truth/crack/0_mask.png")
    lay(tmp_path, "ground_truth/scratch/0_mask.png", "ground_truth/crack/0_mask.json", "ground_truth/1_mask.png")
    lay(tmp_path, "test/cut/1.png")
    report = read_folder(tmp_path).report
    assert {path.name: why.split(";")[0] for path, why in report.skipped.items()} == {
        "b.png": "it lies beside the folder of good images",
        "loose.png": "it lies beside the folders of classes",
    }
    assert {path.relative_to(tmp_path).as_posix(): why for path, why in report.unused_masks.items()} == {
        "ground_truth/1_mask.png": "its name fits 2 images",
        "ground_truth/crack/0.png": "0_mask.png is the mask of 0.png",
        "ground_truth/crack/9_mask.png": "its name fits no test image",
        "ground_truth/scratch/0_mask.png": "its name fits no test image",
    }
    assert report.notes == [
        "test/crack: 1 image in folders below it, used too",
        "train/bad is not used: 1 image in a folder of another name",
        "validation is not used: 1 image in a folder of another name",
        "not used: 1 image beside the folders (readme.png)",
    ]
    assert report.ignored == {".txt": 1, ".json": 1}


def test_odd_files_in_every_folder_are_named_and_the_others_are_used(tmp_path: Path) -> None:
    for place in ("train/good", "test/crack", "ground_truth/crack"):
        lay(tmp_path, *(f"{place}/{name}" for name in NAMES), data=MASK if place[0] == "g" else IMAGE)
        make_odd(tmp_path / place)
    folder = check_folder(read_folder(tmp_path))
    assert (len(folder.normals), len(folder.samples)) == (len(NAMES), len(NAMES))
    assert all(sample.mask_paths for sample in folder.samples)
    assert len(folder.report.skipped) == 3 * (len(ODD) + 1)
    for sample in folder.samples:
        sample.name.encode()


def test_the_check_finds_what_can_not_be_read_and_what_is_odd_before_any_fit(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "train/good/a.png",
        *(f"test/crack/{number}.png" for number in range(6)),
        "test/good/g.png",
        data=IMAGE,
    )
    lay(tmp_path, "train/good/torn.png", "test/crack/torn.png", data=b"torn")
    lay(tmp_path, "ground_truth/crack/0.png", "ground_truth/good/g.png", data=MASK)
    lay(tmp_path, "ground_truth/crack/1.png", data=png(np.zeros((6, 8), np.uint8)))
    lay(tmp_path, "ground_truth/crack/2.png", data=png(np.full((6, 8), 255, np.uint8)))
    lay(tmp_path, "ground_truth/crack/3.png", data=png(np.zeros((8, 6), np.uint8)))
    lay(tmp_path, "ground_truth/crack/4.png", data=b"{}")
    done: list[None] = []
    folder = check_folder(read_folder(tmp_path), on_done=lambda: done.append(None))
    assert len(done) == 10
    assert {name: bool(masks) for name, masks in masks_of(folder).items()} == {
        "crack/0.png": True,
        "crack/1.png": False,
        "crack/2.png": True,
        "crack/3.png": False,
        "crack/4.png": False,
        "crack/5.png": False,
        "good/g.png": False,
    }
    skipped = {path.relative_to(tmp_path).as_posix(): why for path, why in folder.report.skipped.items()}
    assert skipped.keys() == {
        "train/good/torn.png",
        "test/crack/torn.png",
        *(f"ground_truth/crack/{n}.png" for n in (3, 4)),
    }
    assert "width and height are swapped" in skipped["ground_truth/crack/3.png"]
    assert folder.report.notes == [
        "defective images without a mask, which count for the figures of images only: 1 (crack/5.png)",
        "masks of defective images that mark nothing, so that these count without a mask: 1 (crack/1.png)",
        "masks that mark more than half of their image; check that defects are white: 1 (crack/2.png (100%))",
        "good images with a mask that marks pixels, which is not used: 1 (good/g.png)",
    ]
    assert folder.report.mask_styles == {"png, grey, two values": 2, "png, grey, one value": 2}
    shown = folder_json(folder)
    assert shown["classes"] == {"good": {"images": 1, "with_mask": 0}, "crack": {"images": 6, "with_mask": 2}}
    assert len(shown["skipped"]) == 4


def test_a_set_without_masks_says_so_once(tmp_path: Path) -> None:
    lay(tmp_path, "train/good/a.png", "test/crack/1.png", "test/crack/2.png", data=IMAGE)
    assert check_folder(read_folder(tmp_path)).report.notes == ["no defective image has a mask: no pixel figures"]


@pytest.mark.parametrize("place", ["train/good", "test/crack"])
def test_no_readable_image_is_a_failure(tmp_path: Path, place: str) -> None:
    lay(tmp_path, "train/good/a.png", "test/crack/1.png", data=IMAGE)
    for path in (tmp_path / place).iterdir():
        path.write_bytes(encoded(np.zeros((9, 9), np.uint8), ".png")[:-4])
    with pytest.raises(FolderError, match=rf"can be read; nothing was evaluated: .*{place}/.*the file ends after"):
        check_folder(read_folder(tmp_path))


@pytest.mark.parametrize(
    ("stem", "base"),
    [
        ("000_mask", "000"),
        ("a_b.Mask", "a_b"),
        ("x_ground_truth", "x"),
        ("x-GT", "x"),
        ("x_mask_2", "x"),
        ("mask", None),
        ("_mask", None),
        ("masked", None),
        ("x_masks", "x"),
    ],
)
def test_names_of_masks(stem: str, base: str | None) -> None:
    found = mask_name(stem)
    assert (found and found.base) == base
    assert (found is not None and found.is_numbered) is stem.endswith("2")


def test_good_is_not_what_only_contains_it() -> None:
    assert not any(is_good(name) for name in ("goods_in", "not_good", "bad", "okay", ""))
