"""Fits of teachers on normals from the store."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import structlog

from services.labeler.domain.fitting import STEPS
from services.labeler.scorer.images import fetch_image, fetch_mask, fetch_normal
from services.labeler.scorer.others import read_other_teachers
from services.labeler.scorer.outcomes import IMAGE_FAULTS, problem_of
from services.labeler.scorer_api import FIT_REFUSED, FitRequest, FitResponse, NormalImage, ScorerProblem
from siad.contracts.errors import CorruptError, MissingError, TransientError, UnusableWeightsError
from siad.contracts.fit_settings import FitSettings
from siad.contracts.place import Place
from siad.contracts.release_evidence import HeldOutCapture
from siad.models.bundle import open_bundle
from siad.models.gate_evidence import HeldOutPixels
from siad.models.predictor import Predictor
from siad.models.teachers.normals import Normals
from siad.models.teachers.refit import Comparison, Refit, refit_teacher
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.registry import Registry
from siad.runtime.store.thresholds import stored_threshold
from siad.vision.images import Image
from siad.vision.memory_errors import out_of_memory_named
from siad.vision.nearest_teacher import OtherTeacher
from siad.vision.promise import promise_of

log = structlog.get_logger()

NORMALS_MIN: Final = STEPS[0]


FitTeacher = Callable[
    [Normals, FitSettings, Comparison | None, Iterable[OtherTeacher]], Refit
]  # ValueError where they rule out a teacher


def fit_and_store(blobs: Blobs, request: FitRequest, fit: FitTeacher = refit_teacher) -> FitResponse | ScorerProblem:
    """Fit a teacher, compare it and store its weights; no pointer moves.

    Unreadable captures are logged and left out. Running out of memory and an unavailable store are no refusals: the
    labeler repeats the request.
    """
    try:
        with out_of_memory_named(f"fitting a teacher on {len(request.normals)} normals"):
            return _fit_and_store(blobs, request, fit)
    except TransientError as error:
        log.error("fit_put_off", line=request.line, product=request.product, reason=str(error))
        return problem_of(error, f"fit for {request.line}/{request.product}")


def _fit_and_store(blobs: Blobs, request: FitRequest, fit: FitTeacher) -> FitResponse | ScorerProblem:
    confirmed = _read(blobs, request.normals)
    if len(confirmed) < NORMALS_MIN:
        every = len(request.normals)
        unread = f", since {every - len(confirmed)} of {every} can't be read" if len(confirmed) < every else ""
        needs = f"a teacher needs {NORMALS_MIN} normals, and there are {len(confirmed)}{unread}"
        return ScorerProblem(type=FIT_REFUSED, detail=f"{needs}: send {NORMALS_MIN - len(confirmed)} more")
    known = {name for name, *_ in confirmed}
    goods = [one for one in _read(blobs, request.goods) if one[0] not in known]
    known |= {name for name, *_ in goods}
    stream = [one for one in _read(blobs, request.stream) if one[0] not in known]
    stream = _unless_rejected(blobs, request, stream)
    names, images, declared_bits = zip(*confirmed, *goods, *stream, strict=True)
    try:
        place = Place(request.line, request.product)
        normals = Normals.ordered(images, names, place, declared_bits=declared_bits)
        normals = replace(
            normals,
            selected=frozenset(name for name, *_ in goods),
            unconfirmed=frozenset(name for name, *_ in stream),
        )
        comparison = _comparison(blobs, request, learned=set(names))
        others = read_other_teachers(blobs, place)  # lazily: a promised threshold needs none
        made = fit(normals, _settings_of(request), comparison, others)
    except ValueError as error:
        detail = f"no {request.method} teacher can be fitted on these {len(confirmed)} normals: {error}"
        return ScorerProblem(type=FIT_REFUSED, detail=detail)
    log.info("teacher_fitted", line=request.line, product=request.product, promise=promise_of(made.bundle.manifest))
    return FitResponse(
        weights=Registry(blobs).store(made.bundle.manifest, made.bundle.parts),
        evidence="" if made.evidence is None else made.evidence.to_json().decode(),
    )


def _settings_of(request: FitRequest) -> FitSettings:
    return FitSettings(
        false_reject_budget=request.false_reject_budget,
        method=request.method,
        region=tuple(request.region),
        input_px=request.input_px,
        bits=request.bits,
        budget_tightens=request.budget_tightens,
    )


def _read(blobs: Blobs, captures: Iterable[NormalImage]) -> list[tuple[str, Image, int]]:
    """Read captures to fit on: their ids, images and declared depths."""
    found = []
    for capture in captures:
        try:
            image_HWC, bits = fetch_normal(blobs, capture.image_uri, capture.image_id)
        except IMAGE_FAULTS as error:
            log.error("normal_left_out", capture_id=capture.capture_id, reason=str(error))
            continue
        found.append((capture.capture_id, image_HWC, bits))
    return found


def _unless_rejected(
    blobs: Blobs, request: FitRequest, stream: Sequence[tuple[str, Image, int]]
) -> list[tuple[str, Image, int]]:
    """Drop the captures of the stream that the segmenter in service rejects.

    The labeler knows the teacher's scores alone, and of most captures the segmenter decides. Where this version can't
    open the segmenter, its verdicts are not known, and nothing of the stream is learned.
    """
    if not request.segmenter:
        return list(stream)
    registry, place = Registry(blobs), Place(request.line, request.product)
    try:
        manifest = registry.manifest(place, request.segmenter)
        segmenter = open_bundle(manifest, registry.parts(manifest))
    except (UnusableWeightsError, MissingError, CorruptError) as error:
        log.error("stream_not_learned", weights=request.segmenter, captures=len(stream), reason=str(error))
        return []
    since = stored_threshold(blobs, place, request.segmenter)
    threshold = manifest.image_threshold if since is None else min(manifest.image_threshold, since)
    kept = [one for one in stream if _is_accepted(segmenter, one[1], threshold)]
    if len(kept) < len(stream):
        log.info("rejected_captures_not_learned", weights=request.segmenter, captures=len(stream) - len(kept))
    return kept


def _is_accepted(segmenter: Predictor, image_HWC: Image, threshold: float) -> bool:
    if segmenter.misfit(image_HWC) is not None:
        return False  # its verdict is UNKNOWN
    [map_HW] = segmenter.maps([image_HWC])
    return float(map_HW.max()) < threshold


def _comparison(blobs: Blobs, request: FitRequest, *, learned: Collection[str]) -> Comparison | None:
    """Open the teacher in service, and list what neither teacher learned.

    None where nothing is held out, or where this version can't open it.
    """
    if not request.serving or not request.held_out:
        return None
    registry = Registry(blobs)
    try:
        manifest = registry.manifest(Place(request.line, request.product), request.serving)
        threshold = stored_threshold(blobs, manifest.place, request.serving)
        serving = open_bundle(manifest, registry.parts(manifest)).at_threshold(threshold)
    except (UnusableWeightsError, MissingError, CorruptError) as error:
        log.error("serving_teacher_unusable", weights=request.serving, reason=str(error))
        return None
    learned = {*learned, *manifest.normals, *manifest.stream_normals}
    captures = {one.capture_id: one for one in request.held_out if one.capture_id not in learned}
    about = [HeldOutCapture(capture_id=name, kind=one.kind, is_drawn=one.is_drawn) for name, one in captures.items()]

    def read(wanted: Sequence[HeldOutCapture]) -> Iterator[tuple[HeldOutCapture, HeldOutPixels]]:
        for capture in wanted:
            one = captures[capture.capture_id]
            try:
                image_HWC = fetch_image(blobs, one.image_uri, one.image_id)
                mask_HW = fetch_mask(blobs, one.mask_uri, one.mask_sha256) if one.mask_uri else None
            except (*IMAGE_FAULTS, ValueError) as error:
                log.error("held_out_capture_left_out", capture_id=one.capture_id, reason=str(error))
                continue
            if serving.misfit(image_HWC) is None:
                yield capture, (image_HWC, mask_HW)

    return Comparison(serving=serving, captures=about, read=read)
