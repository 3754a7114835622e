"""HTTP in: an image judged at once, and what serves now."""

import asyncio
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Request
from starlette.datastructures import UploadFile

from services.inference import metrics
from services.inference.adapters.lines import KnownLines
from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.adapters.verdicts import said
from services.inference.domain.judge import CaptureJudgement
from services.inference.handlers import judge
from services.inference.settings import InferenceSettings
from siad.contracts.events import LineChanged, Origin
from siad.contracts.ids import SLUG, ImageId, image_id_of
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.clock import Clock
from siad.runtime.http import Problem
from siad.vision.images import Image, ImageError, decode_image, describe_image

log = structlog.get_logger()

STATUS_OF = {"not-an-image": 415, "unsupported": 415, "too-large": 413}  # else 422
Line = Annotated[str, Path(pattern=f"^{SLUG.pattern}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceDependencies:
    """What the routes work with."""

    lines: KnownLines
    models: HotSwapPredictors
    blobs: AsyncBlobs  # its threads decode
    clock: Clock
    settings: InferenceSettings
    turns: asyncio.Semaphore  # each may hold a decoded image


def make_router(desk: InferenceDependencies) -> APIRouter:
    """Build the routes of inference."""
    router = APIRouter()

    @router.post("/v1/lines/{line}/inspect", tags=["inspect"])
    async def inspect(line: Line, request: Request) -> dict[str, Any]:
        """Judge one image at once, by the weights that judge the line's stream now.

        The body is the image itself, or a form with the image in its field ``image``. The image is judged as what the
        line makes now; a form field or query parameter ``product`` says otherwise. Nothing is stored and no verdict is
        published: this is a second opinion, counted apart from the stream. ``regions`` outline what was found.
        """
        await desk.lines.check()
        if (settings := desk.lines.present(line)) is None:
            raise Problem(404, "unknown-line", f"line {line!r} is not known; register it at ingest first")
        async with desk.turns:
            data, product = await _read_in_time(desk, request)
            return await _inspect(desk, data, settings=settings, product=product or settings.product)

    @router.get("/v1/weights", tags=["weights"])
    async def weights() -> dict[str, Any]:
        """What serves now, by line and product; swaps and their longest pause since this process started."""
        serving = desk.models.serving()
        return {
            "swaps": sum(one.swaps for one in serving),
            "longest_pause_ms": round(desk.models.longest_pause_s * 1000, 3),
            "weights": [
                {
                    "line": one.release.place.line,
                    "product": one.release.place.product,
                    "kind": one.release.kind.value,
                    "weights": one.release.weights,
                    "revision": one.release.revision,
                    "previous": one.previous,
                    "in_memory": one.is_loaded,
                    "swaps": one.swaps,
                }
                for one in serving
            ],
        }

    return router


async def _inspect(desk: InferenceDependencies, data: bytes, *, settings: LineChanged, product: str) -> dict[str, Any]:
    received_at = desk.clock.now()
    if not SLUG.fullmatch(product):
        raise Problem(422, "invalid-product", f"product {product!r} is not a slug: use 1 to 63 of a-z, 0-9 and '-'")

    async def fetch() -> Image:
        return await desk.blobs.run(decode_image, data)

    try:
        describe_image(data)  # a bad image is told as such whether or not anything could judge it
        judgement = await judge(
            fetch,
            product=product,
            received_at=received_at,
            settings=settings,
            examiner=desk.models,
            clock=desk.clock,
        )
    except ImageError as error:
        raise Problem(STATUS_OF.get(error.reason, 422), error.reason, f"image refused: {error}") from error
    metrics.DIRECT.labels(settings.line, said(judgement.decision, judgement.reason)).inc()
    image_id = image_id_of(data)
    log.info("inspected", line=settings.line, image_id=image_id, decision=judgement.decision.value)
    return _answer(
        judgement,
        settings=settings,
        product=product,
        image_id=image_id,
        times=(received_at, desk.clock.now()),
    )


def _answer(
    judgement: CaptureJudgement,
    *,
    settings: LineChanged,
    product: str,
    image_id: ImageId,
    times: tuple[datetime, datetime],
) -> dict[str, Any]:
    """A verdict's fields, as far as an image without a capture has them."""
    received_at, judged_at = times
    return {
        "image_id": image_id,
        "line": settings.line,
        "product": product,
        "line_revision": settings.revision,
        "received_at": received_at.isoformat(),
        "decision": judgement.decision.value,
        "reason": judgement.reason,
        "score": judgement.score,
        "threshold": judgement.threshold,
        "regions": [asdict(region) for region in judgement.regions],
        "weights": judgement.weights,
        "weights_kind": judgement.weights_kind.value,
        "origin": Origin.DIRECT.value,
        "judged_at": judged_at.isoformat(),
        "fetch_s": judgement.fetch_s,
        "score_s": judgement.score_s,
    }


async def _read_in_time(desk: InferenceDependencies, request: Request) -> tuple[bytes, str | None]:
    timeout_s = desk.settings.body_timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            return await _read_upload(request, desk.settings.upload_max_bytes)
    except TimeoutError as error:
        raise Problem(408, "too-slow", f"the body did not come in within {timeout_s:g} s; send it faster") from error


async def _read_upload(request: Request, bytes_max: int) -> tuple[bytes, str | None]:
    """The image and the product that came with it, if any."""
    product = request.query_params.get("product")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > bytes_max + 65_536:  # room for a form around the image
        raise _too_large(declared, bytes_max)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise _too_large(len(body), bytes_max)
        return bytes(body), product
    async with request.form(max_files=1, max_fields=8) as form:
        if not isinstance(image := form.get("image"), UploadFile):
            fields = ", ".join(form) or "nothing"
            raise Problem(422, "no-image", f"the form holds {fields}; put the image into the field 'image', as a file")
        if (image.size or 0) > bytes_max:
            raise _too_large(image.size, bytes_max)
        told = form.get("product")
        return await image.read(), told if isinstance(told, str) else product


def _too_large(found: int | str | None, bytes_max: int) -> Problem:
    return Problem(413, "too-large", f"an upload of {found} bytes (so far) was refused; at most {bytes_max} are taken")
