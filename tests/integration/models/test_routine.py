"""The routine whole, on a small folder drawn here: both detectors find defects that neither was shown."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from siad.apps.lab.evaluate.folder import FolderError, LabelledSample
from siad.apps.lab.evaluate.folder_reader import read_folder
from siad.apps.lab.evaluate.run import EvaluationSettings, Progress
from siad.apps.lab.routine import run as routine_run
from siad.apps.lab.routine.line import FEW
from siad.apps.lab.routine.run import RoutinePlan, RoutineRequest
from siad.apps.lab.routine.split import RoutineShift
from siad.apps.lab.routine.stages import RoutineResult

KEYS = {
    *("image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro_30"),
    *("images_per_s", "fit_s", "classes"),
}


def draw(path: Path, seed: int, *, defect: bool = False) -> None:
    """Stripes with grain, 96 px; a defect is a bright square, and its mask lies where masks do."""
    rng = np.random.default_rng(seed)
    pixels = 120 + 40 * np.sin(np.arange(96) / 4 + seed / 9)[None, :] + rng.normal(0, 4, (96, 96))
    mask = np.zeros((96, 96), np.uint8)
    if defect:
        top, left = rng.integers(8, 60, 2)
        mask[top : top + 22, left : left + 22] = 255
        pixels[mask > 0] = 245
        to = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        to.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(to), mask)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stripes")
    for index in range(8):
        draw(root / "train" / "good" / f"{index}.png", index)
    for index in range(6):
        draw(root / "test" / "good" / f"{index}.png", 50 + index)
    for index in range(14):
        draw(root / "test" / "square" / f"{index}.png", 100 + index, defect=True)
    return root


def run(folder: Path, to: Path, *more: str) -> tuple[dict[str, Any], str]:
    """The figures, and what was told beside them."""
    command = [
        "routine",
        str(folder),
        "--shots",
        "8",
        "--online",
        "11",
        "--test",
        "5",
        "--json",
        "--no-whole",
        "--threads",
        "1",
    ]
    done = CliRunner().invoke(app, [*command, "--sheet", str(to / "sheet.png"), *more])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), " ".join(done.stderr.split())


def test_both_find_what_neither_has_seen(folder: Path, tmp_path: Path) -> None:
    found, told = run(folder, tmp_path)
    for detector in ("teacher", "segmenter"):
        assert found[detector].keys() >= KEYS
        assert found[detector]["image_auroc"] >= 0.95
        assert found[detector]["pixel_auroc"] >= 0.9
    assert found["few"]["steps"]["online_defects"] == 8
    assert list(found["few"]["stages"]) == ["teacher", "refit", "segmenter"]
    assert found["few"]["stages"]["segmenter"]["figures"] == found["segmenter"]
    assert "few teacher: threshold" in told
    assert "since 8 held-out normals say no more" in told
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None


def test_answers_are_learned_and_every_stage_is_tested_on_unseen_images(folder: Path) -> None:
    request = RoutineRequest(shots=8, online=11, test=5, whole=False, seed=0)
    [shift] = request.draw(read_folder(folder)).values()
    settings = EvaluationSettings(method="feature-memory", budget=0.1, seeds=1, pixels_px=None, input_px=64)
    told: list[str] = []
    plan = RoutinePlan(policy=FEW, answers=8, seed=0)
    result = routine_run.run_routine(shift, settings, plan=plan, progress=Progress(notify=told.append))
    assert [stage.name.value for stage in result.stages] == [
        "teacher",
        "refit",
        "segmenter",
        "refit-after-answers",
        "segmenter-after-answers",
        "threshold-after-answers",
    ]
    asked = result.steps["answers"]
    assert asked["asked"] == asked["good"] + asked["defect"] == 8
    unseen = {sample.name for sample in shift.test}
    for stage in result.stages:
        assert stage.reason
        assert stage.run is not None, stage.reason  # a candidate was made, whatever its gate said
        assert {image.name for image in stage.run.scored.images} == unseen
    assert any(text.startswith("simulated reviewer (the folder's own labels): 8 answers") for text in told)


@pytest.fixture(scope="module")
def plain(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with defects that no teacher could mark."""
    root = tmp_path_factory.mktemp("plain") / "stripes"
    shutil.copytree(folder, root)
    for index in range(14):
        draw(root / "test" / "square" / f"{index}.png", 200 + index)
    return root


def test_a_segmenter_that_can_not_be_trained_leaves_the_teacher_s_figures_and_a_reason(
    plain: Path, tmp_path: Path
) -> None:
    found, told = run(plain, tmp_path)
    assert found["segmenter"] is None
    assert found["teacher"].keys() >= KEYS
    assert found["few"]["steps"]["judgement"] == "not-trained"
    assert "no segmenter was trained: of 11 images online the teacher marked" in found["few"]["steps"]["reason"]
    assert "few segmenter not-trained: no segmenter was trained" in told
    assert found["few"]["serving"] == "teacher"
    assert (tmp_path / "sheet.png").exists()


def test_figures_of_the_first_run_are_printed_where_the_second_fails(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_one = routine_run.run_routine

    def run_few(shift: RoutineShift[LabelledSample], *rest: Any, **more: Any) -> RoutineResult:
        if len(shift.online) > 5:
            raise FolderError("planted")
        return run_one(shift, *rest, **more)

    monkeypatch.setattr(routine_run, "run_routine", run_few)
    command = ["routine", str(plain), "--shots", "4", "--online", "5", "--test", "2", "--json", "--threads", "1"]
    done = CliRunner().invoke(app, [*command, "--sheet", str(tmp_path / "sheet.png")])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["teacher"]["image_auroc"] is not None
    assert found["whole"] == {"teacher": None, "segmenter": None, "failure": "planted"}
    assert "whole set: planted" in " ".join(done.stderr.split())
    assert (tmp_path / "sheet.png").exists()


def test_a_folder_with_too_little_is_refused_before_anything_is_fitted(folder: Path) -> None:
    done = CliRunner().invoke(app, ["routine", str(folder), "--shots", "50"])
    assert done.exit_code == 1
    assert "8 normals in train/good, 50 needed" in done.stderr.replace("\n", " ")
