"""Weights that a run builds on, or compares its candidate with."""

import structlog

from services.trainer.domain.training_set import MemberUse, TrainingSet
from services.trainer.job.store import read_training_set
from siad.contracts.errors import CorruptError, MissingError, UnusableWeightsError
from siad.contracts.place import Place
from siad.contracts.training_runs import RunSpec
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.registry import Registry
from siad.runtime.store.thresholds import stored_threshold

log = structlog.get_logger()


def open_serving(blobs: Blobs, spec: RunSpec) -> Predictor | None:
    """Open the segmenter in service, else the teacher.

    None where neither is usable. Weights of another version, or damaged ones, serve no line. Where neither is usable
    the candidate is judged by the floors; otherwise no candidate could ever replace them.

    Raises:
        TransientError: the store is unavailable or denies access, or memory ran out.
    """
    for name, weights in (("serving_segmenter_unusable", spec.serving), ("serving_teacher_unusable", spec.teacher)):
        if not weights:
            continue
        try:
            registry = Registry(blobs)
            manifest = registry.manifest(Place(spec.line, spec.product), weights)
            threshold = stored_threshold(blobs, manifest.place, weights)
            return open_bundle(manifest, registry.parts(manifest)).at_threshold(threshold)
        except (UnusableWeightsError, MissingError, CorruptError) as error:
            log.error(name, run=spec.run, weights=weights, reason=str(error))
    return None


def learned_by_teacher(blobs: Blobs, spec: RunSpec) -> frozenset[str]:
    """List the captures that the teacher of a run was fitted on.

    Empty where its manifest can't be read.

    Raises:
        TransientError: the store is unavailable or denies access.
    """
    try:
        manifest = Registry(blobs).manifest(Place(spec.line, spec.product), spec.teacher)
    except (MissingError, CorruptError) as error:
        log.error("teacher_manifest_unusable", run=spec.run, weights=spec.teacher, reason=str(error))
        return frozenset()
    return frozenset((*manifest.normals, *manifest.stream_normals))


def taught_to(blobs: Blobs, spec: RunSpec, training_set: TrainingSet) -> frozenset[str]:
    """List the captures that the segmenter in service was trained on.

    Empty where none serves: a teacher learns no defect, and its manifest names the good ones. Where it can't be read,
    these may be all members of the training set.

    Raises:
        TransientError: the store is unavailable or denies access.
    """
    if not spec.serving:
        return frozenset()
    try:
        manifest = Registry(blobs).manifest(Place(spec.line, spec.product), spec.serving)
        trained_on = read_training_set(blobs, spec.line, spec.product, manifest.training_set or "")
    except (MissingError, CorruptError) as error:
        log.error("serving_training_set_unusable", run=spec.run, weights=spec.serving, reason=str(error))
        return frozenset(member.capture_id for member in training_set.members)
    return frozenset(member.capture_id for member in trained_on.members if member.use is MemberUse.TRAIN)


def read_teacher(blobs: Blobs, spec: RunSpec) -> Bundle:
    """Read the bundle of the teacher that a segmenter builds on.

    Raises:
        MissingError, CorruptError: it is not whole; the job fails, and its run is closed after some attempts.
    """
    registry = Registry(blobs)
    manifest = registry.manifest(Place(spec.line, spec.product), spec.teacher)
    return Bundle(manifest, registry.parts(manifest))


def read_slow(blobs: Blobs, spec: RunSpec) -> Bundle:
    """Read the bundle whose map a fast segmenter learns.

    It is the released residual that the spec names; the teacher, where there is none, or where it can't be used.

    Raises:
        MissingError, CorruptError: the teacher's is not whole.
        TransientError: the store is unavailable or denies access.
    """
    if not spec.distilled:
        return read_teacher(blobs, spec)
    registry = Registry(blobs)
    try:
        manifest = registry.manifest(Place(spec.line, spec.product), spec.distilled)
        bundle = Bundle(manifest, registry.parts(manifest))
        open_bundle(manifest, bundle.parts)  # its golden scores are what it gave
    except (UnusableWeightsError, MissingError, CorruptError) as error:
        reason = str(error)
    else:
        if manifest.region == spec.region:
            return bundle
        reason = "the line's region has changed since"
    log.error("distilled_segmenter_unusable", run=spec.run, weights=spec.distilled, reason=reason, instead=spec.teacher)
    return read_teacher(blobs, spec)
