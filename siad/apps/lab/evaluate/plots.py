"""Curves of a run, overall and by defect class. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siad.apps.lab.evaluate.curves import Curve, Points, ScoreGroup, draw_curves, draw_histogram, draw_strips
from siad.apps.lab.evaluate.figures import EvaluationFigures
from siad.apps.lab.evaluate.scored import ScoredImage
from siad.apps.lab.evaluate.style import ALL_INK, BAD_INK, GOOD_INK, ink_of
from siad.vision.pixel_scores import FPR_LIMITS
from siad.vision.ranking import precision_and_recall, roc_rates

_FEW = (0.0, 0.1, 0.2, FPR_LIMITS[0])  # of the good pixels; a detector that marks more is useless


@dataclass(frozen=True, slots=True, kw_only=True)
class PlottedRun:
    """One run, for its curves."""

    images: Sequence[ScoredImage]
    figures: EvaluationFigures
    by_kind: Mapping[str, EvaluationFigures]  # in the order of their colours
    threshold: float  # of images, raw score


@dataclass(frozen=True, slots=True)
class _CurveGroup:
    """Images of one curve."""

    name: str
    ink: str
    images: Sequence[ScoredImage]
    figures: EvaluationFigures


def plots_of(run: PlottedRun) -> list[str]:
    """Draw every plot that the set allows.

    Without good or defective images, or masks, there are fewer.
    """
    good = [image.score for image in run.images if not image.is_defect]
    bad = [image.score for image in run.images if image.is_defect]
    named = (ScoreGroup(name="good", ink=GOOD_INK, scores=good), ScoreGroup(name="defective", ink=BAD_INK, scores=bad))
    plots = [draw_histogram("Scores", [one for one in named if one.scores], threshold=run.threshold)]
    parts = _parts(run)
    if len(parts) > 1:
        kinds = [
            ScoreGroup(name=part.name, ink=part.ink, scores=[one.score for one in part.images if one.is_defect])
            for part in parts[1:]
        ]
        groups = [one for one in (named[0], *kinds) if one.scores]
        plots.append(draw_strips("Scores by class", groups, threshold=run.threshold))
    if good and bad:
        plots += _image_plots(parts, run.threshold)
    if run.figures.pixel_curves is not None:
        plots += _pixel_plots(parts)
    return plots


def _parts(run: PlottedRun) -> list[_CurveGroup]:
    """All images, then each class.

    With a single class both are the same.
    """
    parts = [_CurveGroup("all", ALL_INK, run.images, run.figures)]
    if len(run.by_kind) > 1:
        for index, (kind, figures) in enumerate(run.by_kind.items()):
            images = [image for image in run.images if not image.is_defect or image.kind == kind]
            parts.append(_CurveGroup(kind, ink_of(index), images, figures))
    return parts


def _image_plots(parts: Sequence[_CurveGroup], threshold: float) -> list[str]:
    roc, trade = [], []
    for part in parts:
        truth, scores = [image.is_defect for image in part.images], [image.score for image in part.images]
        false, true = roc_rates(truth, scores)
        precision, recall, _ = precision_and_recall(truth, scores)
        found = sum(image.is_defect and image.score >= threshold for image in part.images)
        rejected = sum(image.score >= threshold for image in part.images)
        bad = sum(truth)
        at_roc = ((rejected - found) / (len(truth) - bad), found / bad)
        at_trade = (found / bad, found / rejected) if rejected else None  # without rejects, precision is undefined
        figures = part.figures
        roc.append(_curve(part, _pairs(false, true), figures.image_auroc, at_roc))
        trade.append(_curve(part, _pairs(recall, precision)[::-1], figures.image_ap, at_trade))
    return [
        draw_curves("Images: ROC", ("good ones rejected", "defective ones found"), roc, caption="area"),
        draw_curves("Images: precision and recall", ("recall", "precision"), trade, caption="average precision"),
    ]


def _pixel_plots(parts: Sequence[_CurveGroup]) -> list[str]:
    trade, overlap = [], []
    for part in parts:
        curves = part.figures.pixel_curves
        if curves is None:  # this class has no masks
            continue
        points = _pairs(curves.recall_N, curves.precision_N)
        trade.append(_curve(part, points, part.figures.pixel_ap))
        overlaps = [(0.0, 0.0), *_pairs(curves.false_rate_N, curves.overlap_N)]
        overlap.append(_curve(part, overlaps, part.figures.aupro_30))
    axes = ("good pixels marked", "mean overlap of a region")
    return [
        draw_curves("Pixels: precision and recall", ("recall", "precision"), trade, caption="average precision"),
        draw_curves("Pixels: per-region overlap", axes, overlap, ticks=_FEW, caption="area up to 0.3"),
    ]


def _curve(part: _CurveGroup, points: Points, figure: float | None, mark: tuple[float, float] | None = None) -> Curve:
    return Curve(name=part.name, ink=part.ink, points=points, figure=figure, mark=mark)


def _pairs(x_N: NDArray[np.float64], y_N: NDArray[np.float64]) -> list[tuple[float, float]]:
    return list(zip(x_N.tolist(), y_N.tolist(), strict=True))
