"""Fit on a few normals, judge the test images, sum up: for every number of shots and every seed."""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.apps.lab.evaluate.figures import (
    EvaluationFigures,
    ScoredImage,
    figures_by_kind,
    figures_of,
    mean_of,
    shrink,
    spread_of,
)
from siad.apps.lab.evaluate.folder import FolderError, ImageFolder, LabelledSample, read_images, read_mask
from siad.apps.lab.sheet import SheetRow, worst_first
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers.methods import fit_teacher
from siad.vision.images import Image
from siad.vision.masks import IGNORE
from siad.vision.outliers import say_doubts
from siad.vision.promise import promise_of

NORMALS_MIN = 2
Say = Callable[[str], None]
Tick = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How to evaluate."""

    method: str
    budget: float  # share of good parts that may be rejected
    seeds: int
    pixels_px: int | None  # side that maps and masks are brought to; None: as large as the images are
    input_px: int = 0  # side of the square with the area that images are shown at; 0: as the method has it
    region: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedImages:
    """One detector's answers to all test images, and how long it took."""

    answers: list[ScoredImage]
    examiner: Predictor
    fit_s: float
    images_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRun:
    """One seed of one number of shots."""

    shots: int
    seed: int
    figures: EvaluationFigures
    by_kind: dict[str, EvaluationFigures]
    judged: JudgedImages


def draw_normals(folder: ImageFolder, *, shots: int | None, seed: int) -> list[Path]:
    """Which normals a teacher is fitted on, by seed; all of them where ``shots`` is None.

    Raises:
        FolderError: there are fewer.
    """
    if shots is None:
        return list(folder.normals)
    if not NORMALS_MIN <= shots <= len(folder.normals):
        msg = (
            f"--shots {shots}: {folder.path / 'train' / 'good'} holds {len(folder.normals)} images, and a teacher "
            f"needs {NORMALS_MIN}; ask for {NORMALS_MIN} to {len(folder.normals)}, or all"
        )
        raise FolderError(msg)
    order = np.random.default_rng(seed).permutation(len(folder.normals))[:shots]
    return [folder.normals[index] for index in sorted(order.tolist())]


def fit(paths: Sequence[Path], settings: EvaluationSettings, *, name: str, say: Say) -> tuple[Predictor, float]:
    """Fit a teacher as the labeler does, through a bundle and its golden check; and say how many seconds it took.

    Raises:
        FolderError: too few of the normals can be read, or no teacher can be fitted on them.
    """
    images, read, left_out = read_images(paths)
    for line in left_out:
        say(line)
    began_s = time.perf_counter()
    try:
        bundle = fit_teacher(
            images,
            line=name,
            product=name,
            normals=[f"{path.name}" for path in read],
            false_reject_budget=settings.budget,
            method=settings.method,
            region=settings.region,
            input_px=settings.input_px,
        )
    except ValueError as error:
        msg = f"no {settings.method} teacher can be fitted on these {len(images)} normals: {error}"
        raise FolderError(msg) from error
    fit_s = time.perf_counter() - began_s
    return open_bundle(bundle.manifest, bundle.parts), fit_s


def judge(
    examiner: Predictor, samples: Sequence[LabelledSample], *, fit_s: float, pixels_px: int | None, say: Say, tick: Tick
) -> JudgedImages:
    """Have a detector judge samples, one at a time; those that can't be read are left out and said."""
    answers, spent_s = [], 0.0
    for sample in samples:
        images, _, left_out = read_images([sample.path])
        for line in left_out:
            say(line)
        if images:
            began_s = time.perf_counter()
            [map_HW] = examiner.maps(images)
            spent_s += time.perf_counter() - began_s
            mask_HW = read_mask(sample, (map_HW.shape[0], map_HW.shape[1]))
            answer = ScoredImage(
                name=sample.name, kind=sample.kind, is_defect=sample.is_defect, map_HW=map_HW, mask_HW=mask_HW
            )
            answers.append(answer if pixels_px is None else shrink(answer, side_px=pixels_px))
        tick()
    return JudgedImages(answers=answers, examiner=examiner, fit_s=fit_s, images_per_s=len(answers) / max(spent_s, 1e-9))


def evaluate(
    folder: ImageFolder, settings: EvaluationSettings, *, shots: int | None, seed: int, say: Say, tick: Tick
) -> EvaluationRun:
    """Fit once and judge everything."""
    paths = draw_normals(folder, shots=shots, seed=seed)
    examiner, fit_s = fit(paths, settings, name="evaluate", say=say)
    judged = judge(examiner, folder.samples, fit_s=fit_s, pixels_px=settings.pixels_px, say=say, tick=tick)
    return sum_up(judged, shots=len(paths), seed=seed)


def sum_up(judged: JudgedImages, *, shots: int, seed: int) -> EvaluationRun:
    """Figures of what was judged, by the detector's own thresholds."""
    manifest = judged.examiner.manifest
    cuts = {"image_threshold": manifest.image_threshold, "pixel_threshold": manifest.pixel_threshold}
    return EvaluationRun(
        shots=shots,
        seed=seed,
        figures=figures_of(judged.answers, **cuts),
        by_kind=figures_by_kind(judged.answers, **cuts),
        judged=judged,
    )


def report_of(runs: Sequence[EvaluationRun]) -> dict[str, Any]:
    """One number of shots, as the mean over its seeds: what ``--json`` prints."""
    flat = [
        run.figures.to_json() | {"images_per_s": run.judged.images_per_s, "fit_s": run.judged.fit_s} for run in runs
    ]
    by_kind = [{kind: figures.to_json() for kind, figures in run.by_kind.items()} for run in runs]
    first = runs[0].judged.examiner.manifest
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **mean_of(flat),
        "memory_mb": round(peak_kb / 1024, 1),
        "weights_mb": round(sum(part.size_bytes for part in first.parts) / 1e6, 2),
        "promise": promise_of(first),
        "doubts": _doubts(runs),
        "classes": {kind: mean_of([one[kind] for one in by_kind]) for kind in by_kind[0]},
        "spread": spread_of(flat),
        "shots": runs[0].shots,
        "seeds": len(runs),
    }


def _doubts(runs: Sequence[EvaluationRun]) -> list[str]:
    """What to look at among the normals of every draw; what is said of several stands once, and of which."""
    seeds: dict[str, list[str]] = {}
    for run in runs:
        manifest = run.judged.examiner.manifest
        if told := say_doubts(manifest.left_out, manifest.doubted):
            seeds.setdefault(told, []).append(str(run.seed))
    if len(runs) == 1:
        return list(seeds)
    return [f"seed{'s' if len(of) > 1 else ''} {', '.join(of)}: {told}" for told, of in seeds.items()]


@dataclass(frozen=True, slots=True)
class _SheetEntry:
    """One answer, as the sheet chooses by it."""

    answer: ScoredImage
    is_defect: bool
    score: float
    threshold: float


def worst_rows(judged: JudgedImages, samples: Sequence[LabelledSample]) -> list[SheetRow]:
    """What to look at, worst first; only these images are read once more."""
    by_name = {sample.name: sample for sample in samples}
    threshold = judged.examiner.manifest.image_threshold
    said = [_SheetEntry(answer, answer.is_defect, answer.score, threshold) for answer in judged.answers]
    rows = []
    for one in worst_first(said):
        images, _, _ = read_images([by_name[one.answer.name].path])
        rows += [_row(one.answer, image_HWC, judged.examiner) for image_HWC in images]
    return rows


def _row(answer: ScoredImage, image_HWC: Image, examiner: Predictor) -> SheetRow:
    return SheetRow(
        name=answer.name,
        image_HWC=image_HWC,
        map_HW=answer.map_HW,
        mask_HW=examiner.decide(answer.map_HW).mask_HW,
        truth_HW=answer.mask_HW if answer.is_defect else None,
        is_defect=answer.is_defect,
        score=answer.score,
        threshold=examiner.manifest.image_threshold,
        ignored_HW=_ignored(answer, image_HWC, examiner) if examiner.has_views else None,
    )


def _ignored(answer: ScoredImage, image_HWC: Image, examiner: Predictor) -> NDArray[np.bool_]:
    """Where a pseudo-mask would say that nobody knows, at the size that the answer's map was brought to."""
    [views] = examiner.views([image_HWC])
    height, width = answer.map_HW.shape
    small = [np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA), np.float32) for one in views]
    return np.asarray(examiner.decide(answer.map_HW, views=small).pseudo_mask_HW == IGNORE)
