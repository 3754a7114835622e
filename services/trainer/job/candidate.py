"""Candidate: a trained network with its thresholds and figures, as a bundle."""

from collections.abc import Sequence

import siad
from services.trainer.domain.records import RunSpec, SegmenterFigures
from services.trainer.job.evaluation import ScoredCapture, choose_thresholds, measure
from siad.contracts.events import WeightsKind
from siad.contracts.manifest import Manifest
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part
from siad.models.runner.torch import TorchRunner
from siad.models.segmenter import METHOD, Segmenter, parts_of
from siad.vision.images import DECODER_VERSION, Image
from siad.vision.preprocess import PREPROCESS_VERSION


def make_candidate(
    segmenter: Segmenter, spec: RunSpec, scored: Sequence[ScoredCapture], *, normal: Image
) -> tuple[Bundle, SegmenterFigures]:
    """Bundle a trained network with thresholds from held-out captures.

    Args:
        segmenter: the network.
        spec: of its run.
        scored: its results on the held-out captures.
        normal: a known good image of the full range, cut to the region of interest, for the golden part.
    """
    thresholds = choose_thresholds(scored, budget=spec.false_reject_budget)
    figures = measure(scored, image_threshold=thresholds.image)
    parts = {**parts_of(segmenter), GOLDEN: golden_part(TorchRunner(segmenter), golden_crops(normal))}
    manifest = Manifest(
        kind=WeightsKind.SEGMENTER,
        method=METHOD,
        line=spec.line,
        product=spec.product,
        code_version=siad.__version__,
        parts=describe_parts(parts),
        decoder_version=DECODER_VERSION,
        preprocess_version=PREPROCESS_VERSION,
        input_px=spec.input_px,
        image_threshold=thresholds.image,
        pixel_threshold=thresholds.pixel,
        promised_false_reject=thresholds.promised_false_reject,
        held_out_scores=thresholds.held_out_scores,
        metrics=(
            ("checked_defects", float(figures.defects)),
            ("checked_normals", float(figures.normals)),
            ("detection_rate", figures.detection_rate),
            ("false_reject_rate", figures.false_reject_rate),
            ("image_auroc", figures.image_auroc),
            ("pixel_ap", figures.pixel_ap),
        ),
        normals=(),
        training_set=spec.training_set,
        parent=spec.teacher,
        region=spec.region,
        profile=spec.profile,
    )
    return Bundle(manifest, parts), figures
