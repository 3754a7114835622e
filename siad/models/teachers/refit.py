"""Refit of a teacher on normals and low-scoring captures, with evidence.

The lowest scores of a stream are those of good parts; with them the memory knows more of what good looks like. They set
no threshold: the leave-one-out scores of confirmed normals do, and the scores that the new teacher gives to held-out
captures, by the mixture of good and defective ones (``siad.vision.score_mixture``). The higher of the two serves, since
a memory of many low scores scores unseen good images higher than its own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from siad.contracts.fit_settings import FitSettings
from siad.contracts.manifest import Manifest
from siad.contracts.methods import LEFT_ONE_OUT
from siad.contracts.release_evidence import EvidenceKind, GateEvidence, HeldOutCapture
from siad.models.bundle import Bundle, open_bundle
from siad.models.gate_evidence import ReadHeldOut, collect_evidence
from siad.models.predictor import Predictor
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.models.teachers.start import start_from_nearest
from siad.vision.calibration import good_scores, is_log_scale
from siad.vision.nearest_teacher import OtherTeacher
from siad.vision.score_mixture import fit_mixture

log = structlog.get_logger()

STREAM_MIN: Final = 12  # captures; the mixture counts few for little
STREAM_REACH: Final = 0.5  # of a log score, by which the stream may raise a threshold
STREAM_THRESHOLD: Final = "stream_threshold"  # among a manifest's metrics: the stream raised the threshold to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a refit is compared with."""

    serving: Predictor
    captures: Sequence[HeldOutCapture]  # that neither learned from
    read: ReadHeldOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """A fitted bundle, and how it compares."""

    bundle: Bundle
    evidence: GateEvidence | None  # None: nothing to compare with


def refit_teacher(
    normals: Normals, settings: FitSettings, comparison: Comparison | None, others: Iterable[OtherTeacher] = ()
) -> Refit:
    """Fit a teacher, and compare it with the one that serves.

    Args:
        normals: as for ``fit_teacher``; the unconfirmed ones are of the stream.
        settings: of the line.
        comparison: None where no teacher serves, or nothing is held out.
        others: teachers of other lines and products, of which the nearest one's threshold is a start.

    Raises:
        ValueError, OutOfMemoryError: as ``fit_teacher``.
    """
    budget = settings.budget_for(len(normals.calibrating))
    bundle = start_from_nearest(fit_teacher(normals, settings), others, budget=budget)
    if comparison is None:
        return Refit(bundle=bundle, evidence=None)
    candidate = open_bundle(bundle.manifest, bundle.parts)
    evidence = collect_evidence(candidate, comparison.serving, comparison.captures, comparison.read, budget=budget)
    manifest = _raised(bundle.manifest, evidence, budget)
    figures = replace(evidence.candidate, weights=manifest.weights, threshold=manifest.image_threshold)
    return Refit(bundle=Bundle(manifest, bundle.parts), evidence=replace(evidence, candidate=figures))


def _raised(manifest: Manifest, evidence: GateEvidence, budget: float) -> Manifest:
    """Raise the threshold to that of the stream; marks keep their ratio."""
    stream = [
        score
        for capture, score in zip(evidence.captures, evidence.candidate.scores, strict=True)
        if capture.kind is EvidenceKind.STREAM
    ]
    threshold = stream_threshold(manifest, stream, budget=budget)
    if threshold <= manifest.image_threshold:
        return manifest
    log.info("threshold_raised_by_stream", captures=len(stream), before=manifest.image_threshold, now=threshold)
    return replace(
        manifest,
        image_threshold=threshold,
        pixel_threshold=manifest.pixel_threshold * threshold / manifest.image_threshold,
        metrics=tuple(sorted((*manifest.metrics, (STREAM_THRESHOLD, threshold)))),
    )


def stream_threshold(manifest: Manifest, stream: Sequence[float], *, budget: float) -> float:
    """Estimate the score that a share ``budget`` of good captures exceeds.

    Args:
        manifest: of the refit; its held-out scores are those of normals.
        stream: its scores of captures that it was not fitted on, good and defective ones.
        budget: share of good captures that may be rejected, in (0, 1).

    Returns:
        The raw score, at most ``STREAM_REACH`` in log over the manifest's; the manifest's of few captures, and of
        scores without logs.
    """
    now = manifest.image_threshold
    if len(stream) < STREAM_MIN or not is_log_scale(manifest.held_out_scores) or now <= 0:
        return now
    good = good_scores(
        manifest.held_out_scores, is_left_one_out=manifest.method in LEFT_ONE_OUT, nearest=manifest.nearest
    )
    logs = [math.log(score) for score in stream if score > 0]
    cut = fit_mixture(good, stream=logs, answers=[]).cut_for(budget)
    return math.exp(min(max(cut, math.log(now)), math.log(now) + STREAM_REACH))
