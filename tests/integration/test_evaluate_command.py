"""`siad evaluate` from a folder to figures and a sheet, with a real teacher at a small size."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.apps.lab.evaluate import inventory
from siad.apps.lab.evaluate.folder import ImageFolder
from siad.apps.lab.evaluate.folder_reader import read_folder
from siad.apps.lab.evaluate.run import draw_normals
from tests.synthetic import part_image
from tests.unit.apps.odd_files import ODD, make_odd

KEYS = {
    "image_auroc",
    "image_ap",
    "image_f1max",
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1max",
    "aupro_30",
    "images_per_s",
    "fit_s",
    "classes",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve normals, four good and four defective parts with a mask."""
    root = tmp_path_factory.mktemp("parts")
    for seed in range(12):
        put(root / f"train/good/{seed:03}.png", part_image(seed))
    for seed in range(100, 104):
        put(root / f"test/good/{seed}.png", part_image(seed))
        bad = part_image(seed, defect=True)
        put(root / f"test/blob/{seed}.png", bad)
        put(root / f"ground_truth/blob/{seed}_mask.png", np.where(bad > 200, 255, 0).astype(np.uint8))
    return root


def put(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def run(root: Path, tmp_path: Path, *more: str) -> Result:
    sheet = tmp_path / "sheet.png"
    return CliRunner().invoke(
        app, ["evaluate", str(root), "--input-px", "64", "--threads", "1", "--sheet", str(sheet), *more]
    )


def test_a_folder_becomes_figures_and_a_sheet(root: Path, tmp_path: Path) -> None:
    done = run(root, tmp_path, "--shots", "10", "--seeds", "2", "--json", "--budget", "0.1")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report.keys() >= KEYS
    assert report["image_auroc"] > 0.9
    assert report["pixel_auroc"] > 0.9
    assert report["classes"]["blob"]["image_auroc"] == pytest.approx(report["image_auroc"])
    assert report["spread"]["image_auroc"] is not None
    assert [one["seed"] for one in report["by_seed"]] == [0, 1]
    mean = sum(one["image_auroc"] for one in report["by_seed"]) / 2
    assert report["image_auroc"] == pytest.approx(mean)
    assert report["by_seed"][0]["image_threshold"] != report["by_seed"][1]["image_threshold"]
    said = done.stderr
    assert said.index("normals: the decision") < said.index("image AUROC")
    assert report["decision"]["text"] in " ".join(said.split())
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] > 1000


def test_the_report_is_one_page_that_needs_nothing_else(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run(root, tmp_path, "--seeds", "1", "--html", str(page))
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert text.count("<svg") == 5
    assert text.count("data:image/jpeg") == 3 * 8
    assert "blob" in text
    assert "http" not in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)  # noqa: S314 - we wrote it


def test_ways_of_fitting_are_ranked_by_normals_alone(root: Path, tmp_path: Path) -> None:
    more = ["--no-labels", "--method", "feature-memory", "--shots", "6", "--threads", "1", "--json"]
    done = CliRunner().invoke(app, ["evaluate", str(root / "train" / "good"), *more])
    assert done.exit_code == 0, done.output
    ranked = json.loads(done.stdout)
    assert {(row["method"], row["input_px"]) for row in ranked} == {("feature-memory", px) for px in (0, 256, 512)}
    merits = [row["merit"] for row in ranked]
    assert 1 >= merits[0] >= merits[1] >= merits[2] >= 0
    assert len(ranked[0]["recall_by_kind"]) == 6


def test_too_few_normals_to_probe_are_told(tmp_path: Path) -> None:
    put(tmp_path / "1.png", part_image(1))
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--no-labels"])
    assert done.exit_code == 1
    assert "holds 1 images, 6 good ones are needed" in " ".join(done.output.split())


def test_several_shots_make_an_object_by_shots(root: Path, tmp_path: Path) -> None:
    done = run(root, tmp_path, "--shots", "2,all", "--seeds", "1", "--json", "--pixels", "32")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert list(report) == ["2", "all"]
    assert report["all"]["shots"] == 12
    assert report["2"].keys() >= KEYS


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--shots", "99"], "holds 12 images"),
        (["--shots", "many"], "--shots 'many' is invalid; write numbers"),
        (["--region", "1,2,3"], "has 1.5 points"),
        (["--method", "divination"], "no method 'divination'"),
    ],
)
def test_what_can_not_be_is_told_in_a_line(root: Path, tmp_path: Path, more: list[str], said: str) -> None:
    done = run(root, tmp_path, *more)
    assert done.exit_code == 1
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_lone_normal_is_left_out_and_the_others_are_told_with_their_promise(root: Path, tmp_path: Path) -> None:
    done = run(root, tmp_path, "--shots", "1,3", "--seeds", "1", "--json", "--pixels", "32")
    assert "1 normal: no teacher" in done.stderr
    report = json.loads(done.stdout)
    assert report["shots"] == 3
    assert "for a budget of 5.00%" in report["promise"]
    assert "47 more normals would allow a promise of 5.00%" in report["promise"]
    assert report["weights_mb"] > 1


def test_a_defect_among_the_normals_is_told_by_name(root: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(root, spoiled)
    put(spoiled / "train/good/[003].png", part_image(3, defect=True))
    (spoiled / "train/good/003.png").unlink()
    page = tmp_path / "report.html"
    done = run(spoiled, tmp_path, "--shots", "all", "--seeds", "1", "--pixels", "32", "--html", str(page))
    assert done.exit_code == 0, done.output
    assert "left out as outliers: [003].png; check them" in " ".join(done.output.split())
    assert "left out as outliers: [003].png" in page.read_text()


def test_a_defect_that_a_later_draw_meets_is_told_with_its_seed(root: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(root, spoiled)
    (odd,) = first_only_drawn_later(spoiled)
    put(odd, part_image(int(odd.stem), defect=True))
    done = run(spoiled, tmp_path, "--shots", "9", "--seeds", "2", "--pixels", "32")
    assert f"seed 1: left out as outliers: {odd.name}; check them" in " ".join(done.output.split())


def first_only_drawn_later(root: Path) -> list[Path]:
    """The first normal that seed 1 draws and seed 0 does not."""
    first, second = (draw_normals(read_folder(root), shots=9, seed=seed) for seed in (0, 1))
    return [path for path in second if path not in first][:1]


def test_odd_files_are_skipped_and_named_and_the_exit_status_says_so(root: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(root, odd)
    make_odd(odd / "test/blob")
    (odd / "test/blob/torn.png").write_bytes(b"torn")
    put(odd / "test/loose.png", part_image(1))
    put(odd / "ground_truth/blob/100_mask.png", np.full((96, 96), 7, np.uint8).T[:40])
    done = run(odd, tmp_path, "--shots", "2", "--seeds", "1", "--json", "--pixels", "32")
    assert done.exit_code == 3, done.output
    report = json.loads(done.stdout)
    assert report["image_auroc"] is not None
    content = report["folder"]
    assert content["classes"] == {"good": {"images": 4, "with_mask": 0}, "blob": {"images": 4, "with_mask": 3}}
    skipped = {Path(one["file"]).name: one["detail"] for one in content["skipped"]}
    assert skipped.keys() == {*ODD, "device.png", "torn.png", "loose.png", "100_mask.png"}
    assert "another aspect ratio" in skipped["100_mask.png"]
    said = " ".join(done.stderr.split())
    assert "test/blob/torn.png skipped: 4 bytes" in said
    assert f"{len(skipped)} files were skipped" in said


def test_a_report_that_can_not_be_written_is_refused_before_the_fit(root: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    done = run(root, tmp_path, "--html", str(tmp_path / "taken/report.html"))
    assert done.exit_code == 1
    assert "taken is a file where a folder is needed" in " ".join(done.output.split())
    assert "importing torch" not in done.output


def test_figures_are_printed_though_the_disk_of_the_report_is_full(root: Path, tmp_path: Path) -> None:
    done = run(root, tmp_path, "--shots", "2", "--seeds", "1", "--json", "--pixels", "32", "--html", "/dev/full")
    assert (done.exit_code, "/dev/full can't be written: No space left on device" in done.stderr) == (1, True)
    assert json.loads(done.stdout)["image_auroc"] is not None


def test_an_image_that_vanishes_during_the_run_is_skipped(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(root, spoiled)
    gone = [spoiled / "test/good/101.png", spoiled / "ground_truth/blob/102_mask.png"]
    check = inventory.check_folder

    def check_then_remove(folder: ImageFolder, *, on_done: Callable[[], None]) -> ImageFolder:
        checked = check(folder, on_done=on_done)
        for path in gone:
            path.unlink()
        return checked

    monkeypatch.setattr(inventory, "check_folder", check_then_remove)
    done = run(spoiled, tmp_path, "--shots", "2,3", "--seeds", "1", "--pixels", "32")
    assert done.exit_code == 3, done.output
    said = " ".join(done.stderr.split())
    assert said.count("101.png skipped: No such file") == 1
    assert said.count("102_mask.png skipped: can't be read: No such file") == 1


def test_the_routine_leaves_out_what_can_not_be_decoded(root: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(root, spoiled)
    odd = spoiled / "train/good/000.png"
    odd.unlink()
    odd.symlink_to("nowhere.png")
    words = ["routine", str(spoiled), "--no-whole", "--shots", "11", "--online", "4", "--test", "2", "--threads", "1"]
    done = CliRunner().invoke(app, [*words, "--sheet", str(tmp_path / "sheet.png")])
    said = " ".join(done.output.split())
    assert "train/good/000.png skipped: a link to nowhere.png, which does not exist" in said
    assert done.exit_code in {1, 3}  # so few images may make no training set; that is a failure with a reason
    assert "Traceback" not in said
