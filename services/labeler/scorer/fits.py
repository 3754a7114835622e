"""Fits of teachers on normals from the store."""

from collections.abc import Callable
from typing import Final

import structlog

from services.labeler.domain.fitting import STEPS
from services.labeler.scorer.images import fetch_normal
from services.labeler.scorer.outcomes import IMAGE_FAULTS, problem_of
from services.labeler.scorer_api import FIT_REFUSED, FitRequest, FitResponse, ScorerProblem
from siad.contracts.errors import TransientError
from siad.contracts.fit_settings import FitSettings
from siad.contracts.place import Place
from siad.models.bundle import Bundle
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.registry import Registry
from siad.vision.memory_errors import out_of_memory_named
from siad.vision.promise import promise_of

log = structlog.get_logger()

NORMALS_MIN: Final = STEPS[0]


FitTeacher = Callable[[Normals, FitSettings], Bundle]  # ValueError where they rule out a teacher


def fit_and_store(blobs: Blobs, request: FitRequest, fit: FitTeacher = fit_teacher) -> FitResponse | ScorerProblem:
    """Fit a teacher and store its weights; no pointer moves.

    Unreadable normals are logged and left out. Running out of memory and an unavailable store are no refusals: the
    labeler repeats the request.
    """
    try:
        with out_of_memory_named(f"fitting a teacher on {len(request.normals)} normals"):
            return _fit_and_store(blobs, request, fit)
    except TransientError as error:
        log.error("fit_put_off", line=request.line, product=request.product, reason=str(error))
        return problem_of(error, f"fit for {request.line}/{request.product}")


def _fit_and_store(blobs: Blobs, request: FitRequest, fit: FitTeacher) -> FitResponse | ScorerProblem:
    images, names, declared_bits = [], [], []
    for normal in request.normals:
        try:
            image_HWC, bits = fetch_normal(blobs, normal.image_uri, normal.image_id)
        except IMAGE_FAULTS as error:
            log.error("normal_left_out", capture_id=normal.capture_id, reason=str(error))
            continue
        images.append(image_HWC)
        names.append(normal.capture_id)
        declared_bits.append(bits)
    if len(images) < NORMALS_MIN:
        readable = f"only {len(images)} of {len(request.normals)} normals can be read"
        return ScorerProblem(type=FIT_REFUSED, detail=f"{readable}; a teacher needs {NORMALS_MIN}: send more")
    try:
        normals = Normals.ordered(images, names, Place(request.line, request.product), declared_bits=declared_bits)
        settings = FitSettings(
            false_reject_budget=request.false_reject_budget,
            method=request.method,
            region=tuple(request.region),
            input_px=request.input_px,
            bits=request.bits,
            budget_tightens=request.budget_tightens,
        )
        bundle = fit(normals, settings)
    except ValueError as error:
        detail = f"no {request.method} teacher can be fitted on these {len(images)} normals: {error}"
        return ScorerProblem(type=FIT_REFUSED, detail=detail)
    log.info("teacher_fitted", line=request.line, product=request.product, promise=promise_of(bundle.manifest))
    return FitResponse(weights=Registry(blobs).store(bundle.manifest, bundle.parts))
