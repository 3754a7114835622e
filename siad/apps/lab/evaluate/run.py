"""One evaluation: fit a teacher, score test images, compute figures."""

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siad.apps.files import printable
from siad.apps.lab.evaluate.decision import describe_decision
from siad.apps.lab.evaluate.declared_depth import read_declared_bits
from siad.apps.lab.evaluate.figures import (
    EvaluationFigures,
    OwnThreshold,
    figures_by_kind,
    figures_of,
    mean_of,
    spread_of,
)
from siad.apps.lab.evaluate.folder import FolderError, ImageFolder, LabelledSample, read_images, read_mask
from siad.apps.lab.evaluate.mask_file import MaskFileError
from siad.apps.lab.evaluate.scored import MappedImage, ScoredImage, ScoredSet, shrink
from siad.contracts.fit_settings import BUDGET, FitSettings
from siad.contracts.manifest import Manifest
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.vision.odd_normals import describe_odd_normals, without_wanted_sizes
from siad.vision.outliers import describe_outliers
from siad.vision.plausibility import Misfit, describe_misfits
from siad.vision.promise import promise_of

NORMALS_MIN = 2
_ADVICE = "If one does not belong there, fit without it; if parts of every size are meant: --sizes any"
Notify = Callable[[str], None]
Skip = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How to evaluate."""

    method: str
    budget: float  # fraction of good parts that may be rejected
    budget_tightens: bool = False  # as of a line
    seeds: int
    pixels_px: int | None  # side of the square with the area that maps and masks are resized to; None: image size
    input_px: int = 0  # side of the square with the area that images are scaled to; 0: set by the method
    region: tuple[float, ...] = ()
    bits: int = 0  # significant bits of the samples of 16-bit files; 0: found from the normals
    sizes: SizeRule = SizeRule.NORMALS  # which sizes of test images are scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Callbacks of an evaluation."""

    notify: Notify = lambda _: None  # one line of text
    skip: Skip = lambda *_: None  # a file that can't be used
    tick: Callable[[], None] = lambda: None  # after each test image


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredSamples:
    """Scores of one detector for all test images, and its speed."""

    scored: ScoredSet
    predictor: Predictor
    fit_s: float
    images_per_s: float
    budget: float  # false rejects that the detector's threshold was chosen for
    pixels_px: int | None = None  # side of the square with the area of the counted maps; None: image size
    misfits: Mapping[str, Misfit] = field(default_factory=dict)  # by name: images that do not fit the normals
    sizes: SizeRule = SizeRule.NORMALS  # which sizes were scored

    @property
    def images(self) -> list[ScoredImage]:
        """Scored images, in their order."""
        return self.scored.images


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRun:
    """Result for one number of normals and one seed."""

    shots: int
    seed: int
    figures: EvaluationFigures
    by_kind: dict[str, EvaluationFigures]
    scored: ScoredSamples


def draw_normals(folder: ImageFolder, *, shots: int | None, seed: int) -> list[Path]:
    """Draw the normals that a teacher is fitted on.

    All of them if ``shots`` is None.

    Raises:
        FolderError: the folder has fewer.
    """
    if shots is None:
        return list(folder.normals)
    if not NORMALS_MIN <= shots <= len(folder.normals):
        msg = (
            f"--shots {shots}: {folder.path / 'train' / 'good'} holds {len(folder.normals)} images, and a teacher "
            f"needs {NORMALS_MIN}; nothing was fitted. Use {NORMALS_MIN} to {len(folder.normals)}, or all"
        )
        raise FolderError(msg)
    order = np.random.default_rng(seed).permutation(len(folder.normals))[:shots]
    return [folder.normals[index] for index in sorted(order.tolist())]


def names_of(paths: Sequence[Path]) -> list[str]:
    """Names of files for users; with their folders where names repeat."""
    names = [printable(path.name) for path in paths]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath(paths)
    return [printable(os.path.relpath(path, common)) for path in paths]


def fit(paths: Sequence[Path], settings: EvaluationSettings, *, name: str, skip: Skip) -> tuple[Predictor, float]:
    """Fit a teacher as the labeler does, with a golden check.

    Returns:
        The teacher, and how many seconds the fit took.

    Raises:
        FolderError: as ``fit_bundle``.
    """
    bundle, fit_s = fit_bundle(paths, settings, name=name, skip=skip)
    return open_bundle(bundle.manifest, bundle.parts), fit_s


def fit_bundle(paths: Sequence[Path], settings: EvaluationSettings, *, name: str, skip: Skip) -> tuple[Bundle, float]:
    """Fit the bundle of a teacher.

    Returns:
        The bundle, and how many seconds the fit took.

    Raises:
        FolderError: too few of the normals can be read, or no teacher can be fitted on them.
    """
    images, read, left_out = read_images(paths)
    for path, why in left_out.items():
        skip(path, why)
    began_s = time.perf_counter()
    try:
        normals = Normals.ordered(images, names_of(read), Place(name, name), declared_bits=read_declared_bits(read))
        wanted = FitSettings(
            false_reject_budget=settings.budget,
            budget_tightens=settings.budget_tightens,
            method=settings.method,
            region=settings.region,
            input_px=settings.input_px,
            bits=settings.bits,
        )
        bundle = fit_teacher(normals, wanted)
    except ValueError as error:
        msg = f"no {settings.method} teacher can be fitted on these {len(images)} normals: {error}"
        raise FolderError(msg) from error
    return bundle, time.perf_counter() - began_s


def score_samples(
    predictor: Predictor,
    samples: Sequence[LabelledSample],
    *,
    fit_s: float,
    settings: EvaluationSettings,
    progress: Progress | None = None,
) -> ScoredSamples:
    """Score samples one at a time.

    Those that can't be decoded, or do not fit the normals, are left out and reported. No map is kept.

    Raises:
        FolderError: none of them fits the normals.
    """
    progress = progress or Progress()
    scored, spent_s = ScoredSet(), 0.0
    misfits: dict[str, Misfit] = {}
    for sample in samples:
        images, _, left_out = read_images([sample.path])
        for path, why in left_out.items():
            progress.skip(path, why)
        if images and (misfit := predictor.misfit(images[0], sizes=settings.sizes)) is not None:
            misfits[sample.name] = misfit
            progress.notify(f"{sample.name} was not scored ({misfit.reason}): {misfit.detail}")
        elif images:
            if darkness := predictor.darkness(images[0]):
                progress.notify(f"{sample.name} is dark: {darkness}")
            began_s = time.perf_counter()
            [map_HW] = predictor.maps(images)
            spent_s += time.perf_counter() - began_s
            mask_HW = _mask_of(sample, (map_HW.shape[0], map_HW.shape[1]), progress)
            image = MappedImage(name=sample.name, kind=sample.kind, map_HW=map_HW, mask_HW=mask_HW)
            image = image if settings.pixels_px is None else shrink(image, side_px=settings.pixels_px)
            scored.add(image, predictor.decide(image.map_HW).mask_HW > 0)
        progress.tick()
    if misfits and not scored.images:
        msg = f"nothing was evaluated: all test images are {describe_misfits(misfits)}"
        raise FolderError(msg)
    return ScoredSamples(
        scored=scored,
        predictor=predictor,
        fit_s=fit_s,
        images_per_s=len(scored.images) / max(spent_s, 1e-9),
        budget=_budget_of(predictor.manifest, settings),
        pixels_px=settings.pixels_px,
        misfits=misfits,
        sizes=settings.sizes,
    )


def _budget_of(manifest: Manifest, settings: EvaluationSettings) -> float:
    """Budget of the detector's threshold.

    Weights that do not record it have that of the settings.
    """
    if manifest.false_rejects is not None:
        return manifest.false_rejects.budget
    return dict(manifest.metrics).get(BUDGET, settings.budget)


def _mask_of(sample: LabelledSample, size_px: tuple[int, int], progress: Progress) -> NDArray[np.uint8] | None:
    """Mask of a sample; without one, if it became unreadable."""
    try:
        return read_mask(sample, size_px)
    except MaskFileError as error:
        progress.skip(error.path, error.why)
        return None


def evaluate(
    folder: ImageFolder, settings: EvaluationSettings, *, shots: int | None, seed: int, progress: Progress
) -> EvaluationRun:
    """Fit one teacher and score all test images."""
    paths = draw_normals(folder, shots=shots, seed=seed)
    predictor, fit_s = fit(paths, settings, name="evaluate", skip=progress.skip)
    scored = score_samples(predictor, folder.samples, fit_s=fit_s, settings=settings, progress=progress)
    return sum_up(scored, shots=len(paths), seed=seed)


def sum_up(scored: ScoredSamples, *, shots: int, seed: int) -> EvaluationRun:
    """Compute figures at the detector's own thresholds."""
    own = OwnThreshold(image_threshold=scored.predictor.image_threshold, budget=scored.budget)
    figures = figures_of(scored.scored, own)
    by_kind = figures_by_kind(scored.scored, own, overall=figures)
    scored.scored.tallies.clear()  # counts of all pixels; of several draws they would add up
    return EvaluationRun(shots=shots, seed=seed, figures=figures, by_kind=by_kind, scored=scored)


def report_of(runs: Sequence[EvaluationRun]) -> dict[str, Any]:
    """Mean over the seeds of one number of normals: what ``--json`` prints."""
    flat = [
        run.figures.to_json() | {"images_per_s": run.scored.images_per_s, "fit_s": run.scored.fit_s} for run in runs
    ]
    by_kind = [{kind: figures.to_json() for kind, figures in run.by_kind.items()} for run in runs]
    first = runs[0].scored.predictor.manifest
    misfits = {name: misfit for run in runs for name, misfit in run.scored.misfits.items()}
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mean = mean_of(flat)
    return {
        "decision": describe_decision(mean, runs[0].scored.scored, budget=runs[0].scored.budget),
        **mean,
        "memory_mb": round(peak_kb / 1024, 1),
        "weights_mb": round(sum(part.size_bytes for part in first.parts) / 1e6, 2),
        "promise": promise_of(first),
        "doubts": [*_doubts(runs), *filter(None, [describe_misfits(misfits)])],
        "misfits": {name: {"reason": one.reason.value, "detail": one.detail} for name, one in misfits.items()},
        "normals": "" if first.profile is None else str(first.profile),
        "classes": {kind: mean_of([one[kind] for one in by_kind]) for kind in by_kind[0]},
        "spread": spread_of(flat),
        "shots": runs[0].shots,
        "seeds": len(runs),
        "by_seed": [_report_of_seed(run, figures) for run, figures in zip(runs, flat, strict=True)],
    }


def _report_of_seed(run: EvaluationRun, figures: Mapping[str, float | None]) -> dict[str, Any]:
    predictor = run.scored.predictor
    return {
        "seed": run.seed,
        "image_threshold": predictor.image_threshold,
        "budget": run.scored.budget,
        **figures,
        "doubts": _doubts_of(run),
        "classes": {kind: of_kind.to_json() for kind, of_kind in run.by_kind.items()},
    }


def _doubts_of(run: EvaluationRun) -> str:
    """Normals of one draw to check, with the reasons."""
    manifest = run.scored.predictor.manifest
    odd = without_wanted_sizes(manifest.odd_normals, run.scored.sizes)
    told = [
        describe_outliers(manifest.left_out, manifest.doubted),
        f"{describe_odd_normals(odd, left_out=manifest.left_out)}. {_ADVICE}" if odd else "",
    ]
    return ". ".join(filter(None, told))


def _doubts(runs: Sequence[EvaluationRun]) -> list[str]:
    """Normals to check, of every draw.

    Equal texts are merged, with their seeds.
    """
    seeds: dict[str, list[str]] = {}
    for run in runs:
        if text := _doubts_of(run):
            seeds.setdefault(text, []).append(str(run.seed))
    if len(runs) == 1:
        return list(seeds)
    return [f"seed{'s' if len(of) > 1 else ''} {', '.join(of)}: {text}" for text, of in seeds.items()]
