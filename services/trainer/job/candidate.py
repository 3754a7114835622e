"""Candidate: a trained network with its thresholds and figures, as a bundle."""

from collections.abc import Mapping, Sequence

import siad
from services.trainer.domain.training_set import MemberRole
from services.trainer.job.evaluation import ScoredCapture, choose_thresholds, match_thresholds, measure
from services.trainer.job.learner import CANDIDATE, TEACHER, TrainedNetwork
from siad.contracts.events import WeightsKind
from siad.contracts.manifest import Manifest
from siad.contracts.training_runs import RunSpec, SegmenterFigures
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part
from siad.models.graph_export import add_graph
from siad.models.runner.torch import TorchRunner
from siad.vision.images import DECODER_VERSION, Image
from siad.vision.preprocess import PREPROCESS_VERSION


def make_candidate(
    network: TrainedNetwork, spec: RunSpec, scored: Mapping[str, Sequence[ScoredCapture]], *, normal: Image
) -> tuple[Bundle, SegmenterFigures]:
    """Bundle a trained network with thresholds from held-out captures.

    Args:
        network: as its learner gives it.
        spec: of its run.
        scored: results on the held-out captures, by scorer of the learner.
        normal: a known good image of the full range, cut to the region of interest, for the golden part.
    """
    teacher = network.teacher
    labelled = [capture for capture in scored[CANDIDATE] if capture.member.role is not MemberRole.UNCLEAR]
    thresholds = (
        choose_thresholds(labelled, budget=spec.false_reject_budget)
        if teacher is None
        else match_thresholds(scored[CANDIDATE], scored[TEACHER], teacher, budget=spec.false_reject_budget)
    )
    figures = measure(labelled, image_threshold=thresholds.image)
    parts = {**network.parts, GOLDEN: golden_part(TorchRunner(network.detector), golden_crops(normal))}
    manifest = Manifest(
        kind=WeightsKind.SEGMENTER,
        method=network.method,
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
        normals=() if teacher is None else teacher.normals,  # its memory has their features
        training_set=spec.training_set,
        parent=spec.teacher,
        stream_normals=() if teacher is None else teacher.stream_normals,
        left_out=() if teacher is None else teacher.left_out,
        doubted=() if teacher is None else teacher.doubted,
        region=spec.region,
        profile=spec.profile,
        footprint_px=0.0 if teacher is None else teacher.footprint_px,
        distilled=network.distilled,
    )
    return add_graph(Bundle(manifest, parts), [normal]), figures
