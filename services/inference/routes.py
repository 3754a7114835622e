"""HTTP routes of inference: judge one image, list weights in service."""

import asyncio
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Path, Request

from services.inference import metrics
from services.inference.domain.judge import CaptureJudgement, JudgementRequest, label_of
from services.inference.handlers import judge
from services.inference.ports import ImageDecoder, LinePredictors, PresentLines, StateAge, WeightsReporter
from services.inference.settings import InferenceSettings
from siad.contracts.events import Origin
from siad.contracts.ids import SLUG, SLUG_RULE, ImageId, image_id_of
from siad.runtime.clock import Clock
from siad.runtime.problems import Problem
from siad.runtime.uploads import STATUS_OF_UPLOAD, UploadBody, UploadError, UploadLimits, describe_upload, read_upload
from siad.vision.images import ImageError, describe_image

log = structlog.get_logger()

STATUS_OF_IMAGE: Final = {"not-an-image": 415, "unsupported": 415, "too-large": 413}  # otherwise 422
_PRODUCT: Final = {"type": "string", "pattern": f"^{SLUG.pattern}$", "description": "Default: what the line makes now"}
Line = Annotated[str, Path(pattern=f"^{SLUG.pattern}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceDependencies:
    """Dependencies of the routes."""

    lines: PresentLines
    predictors: LinePredictors
    weights: WeightsReporter
    state: StateAge
    decoder: ImageDecoder
    clock: Clock
    settings: InferenceSettings
    turns: asyncio.Semaphore  # of direct requests; each may hold a decoded image


def make_router(dependencies: InferenceDependencies) -> APIRouter:
    """Build the routes of inference."""
    router = APIRouter()

    @router.post("/v1/lines/{line}/inspect", tags=["inspect"], openapi_extra=describe_upload({"product": _PRODUCT}))
    async def inspect(line: Line, request: Request) -> dict[str, Any]:
        """Judge one image at once, by the weights of the line's stream.

        The body is the image itself, or a form with the image in its field ``image``. It is judged as the product that
        the line makes now, or as the form field or query parameter ``product``. Nothing is stored, no verdict is
        published, and the image is counted apart from the stream. ``regions`` are the outlines of defects. An image
        that does not fit the normals of the line is ``unknown``; ``detail`` says why. ``known_state`` is null; while
        broker or store is away it says what does not answer, and the time since when releases, settings and thresholds
        may have changed unseen.
        """
        await dependencies.lines.check()
        if (settings := dependencies.lines.present(line)) is None:
            raise Problem(404, "unknown-line", f"line {line!r} is unknown; nothing was judged. Register it at ingest")
        async with dependencies.turns:
            upload = await _read(dependencies.settings, request)
            product = upload.parameters.get("product", settings.product)
            if not SLUG.fullmatch(product):
                detail = f"product {product!r} is not a valid name; nothing was judged. Use {SLUG_RULE}"
                raise Problem(422, "invalid-product", detail)
            asked = JudgementRequest(product=product, received_at=dependencies.clock.now(), settings=settings)
            return await _inspect(dependencies, upload.data, asked)

    @router.get("/v1/weights", tags=["weights"])
    async def weights() -> dict[str, Any]:
        """Weights in service by place, swaps and their longest pause."""
        serving = dependencies.weights.serving()
        return {
            "swaps": sum(entry.swaps for entry in serving),
            "longest_pause_ms": round(dependencies.weights.longest_pause_s * 1000, 3),
            "weights": [
                {
                    "line": entry.release.place.line,
                    "product": entry.release.place.product,
                    "kind": entry.release.kind.value,
                    "weights": entry.release.weights,
                    "revision": entry.release.revision,
                    "previous": entry.previous,
                    "in_memory": entry.is_loaded,
                    "runner": entry.runner,
                    "swaps": entry.swaps,
                    "threshold": None if entry.threshold is None else asdict(entry.threshold),
                }
                for entry in serving
            ],
        }

    return router


async def _read(settings: InferenceSettings, request: Request) -> UploadBody:
    limits = UploadLimits(bytes_max=settings.upload_max_bytes, timeout_s=settings.body_timeout_s)
    try:
        return await read_upload(request, limits, known=("product",))
    except UploadError as error:
        raise Problem(STATUS_OF_UPLOAD[error.fault], error.fault.value, str(error)) from error


async def _inspect(dependencies: InferenceDependencies, data: bytes, asked: JudgementRequest) -> dict[str, Any]:
    try:
        describe_image(data)  # before the weights are looked up: a bad image is refused on every line
        judgement = await judge(
            asked,
            fetch=lambda: dependencies.decoder.decode(data),
            predictors=dependencies.predictors,
            clock=dependencies.clock,
        )
    except ImageError as error:
        raise Problem(STATUS_OF_IMAGE.get(error.reason, 422), error.reason, f"image refused: {error}") from error
    line, image_id = asked.settings.line, image_id_of(data)
    metrics.DIRECT.labels(line, label_of(judgement.decision, judgement.reason)).inc()
    log.info("inspected", line=line, image_id=image_id, decision=judgement.decision.value)
    stale = dependencies.state.stale()
    known_state = None if stale is None else {"as_of": stale.as_of and stale.as_of.isoformat(), "away": stale.away}
    response = _response(judgement, asked, image_id=image_id, judged_at=dependencies.clock.now())
    return response | {"known_state": known_state}


def _response(
    judgement: CaptureJudgement, asked: JudgementRequest, *, image_id: ImageId, judged_at: datetime
) -> dict[str, Any]:
    """The fields of a verdict that an image without a capture has."""
    rate = judgement.threshold.false_rejects
    return {
        "image_id": image_id,
        "line": asked.settings.line,
        "product": asked.product,
        "line_revision": asked.settings.revision,
        "received_at": asked.received_at.isoformat(),
        "decision": judgement.decision.value,
        "reason": judgement.reason,
        "detail": judgement.detail,
        "score": judgement.score,
        "threshold": judgement.threshold.image_threshold,
        "pixel_threshold": judgement.pixel_threshold,
        "regions": [asdict(region) for region in judgement.regions],
        "weights": judgement.weights,
        "weights_kind": judgement.weights_kind.value,
        "origin": Origin.DIRECT.value,
        "judged_at": judged_at.isoformat(),
        "fetch_s": judgement.times.fetch_s,
        "decode_s": judgement.times.decode_s,
        "score_s": judgement.times.score_s,
        "threshold_revision": judgement.threshold.revision,
        "false_rejects": None if rate is None else asdict(rate),
        "advice": judgement.threshold.advice,
        "runner": judgement.runner,
    }
