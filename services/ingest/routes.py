"""HTTP routes of ingest: lines, their images, and the capture ledger."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Request, Response

from services.ingest import metrics
from services.ingest.domain.lines import Preconditions, etag_of, is_fresh
from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from services.ingest.domain.uploads import FIELDS, KEY_MAX, read_claim
from services.ingest.handlers import (
    AcceptedImage,
    LineDependencies,
    Upload,
    on_line_delete,
    on_line_put,
    on_upload,
    unknown_line,
)
from services.ingest.ports import Admission, CaptureStore, EventPublisher, ImageValidator, LedgerSource, LineStore
from services.ingest.settings import IngestSettings
from services.ingest.wire import (
    UPLOAD,
    UPLOAD_ANSWERS,
    ImageResponse,
    LedgerResponse,
    LineRequest,
    LineResponse,
    LinesResponse,
    add_problems,
)
from siad.contracts.documents import LineState
from siad.contracts.events import LineChanged
from siad.contracts.ids import SLUG
from siad.runtime.clock import Clock
from siad.runtime.deadline import answered_within
from siad.runtime.uploads import UploadError, UploadLimits, declared_bytes, read_upload, require_image_type
from siad.vision.images import ImageError

log = structlog.get_logger()

READS_MAX: Final = 16  # concurrent reads for the list of lines
LineName = Annotated[str, Path(pattern=f"^{SLUG.pattern}$", description="1 to 63 of a-z, 0-9 and '-'")]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestDependencies:
    """Dependencies of the routes."""

    settings: IngestSettings
    lines: LineStore
    captures: CaptureStore
    validator: ImageValidator
    publisher: EventPublisher
    admission: Admission
    ledger: LedgerSource
    clock: Clock


def add_routes(app: FastAPI, dependencies: IngestDependencies) -> None:
    """Add the routes and the problem handlers to the stage's app."""
    add_problems(app)
    app.include_router(_line_reads(dependencies))
    app.include_router(_line_changes(dependencies))
    app.include_router(_image_routes(dependencies))
    app.include_router(_ledger_routes(dependencies))


def _conditions(
    if_match: Annotated[str | None, Header(description='ETag of the revision to change: `"3"`')] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: only a new line")] = None,
) -> Preconditions:
    return Preconditions(if_match=if_match, if_none_match=if_none_match)


Conditions = Annotated[Preconditions, Depends(_conditions)]


def _line_ports(dependencies: IngestDependencies) -> LineDependencies:
    return LineDependencies(lines=dependencies.lines, publisher=dependencies.publisher, clock=dependencies.clock)


def _line_reads(dependencies: IngestDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["lines"])

    @router.get("")
    async def list_lines() -> LinesResponse:
        """List every line, by name."""
        reads = asyncio.Semaphore(READS_MAX)

        async def read(line: str) -> LineState | None:
            async with reads:
                stored = await dependencies.lines.read(line)
                return stored.state if stored else None

        async with answered_within(dependencies.settings.accept_timeout_s, "the lines were not read"):
            found = await asyncio.gather(*(read(line) for line in await dependencies.lines.names()))
        return LinesResponse(lines=[LineResponse.of(state.settings) for state in found if state and not state.is_gone])

    @router.get(
        "/{line}",
        responses={304: {"description": "The reader's copy is current"}, 404: {"description": "Unknown line"}},
    )
    async def get_line(line: LineName, conditions: Conditions, response: Response) -> LineResponse:
        """Return one line; the ETag names its revision."""
        state = await _require_line(dependencies, line)
        if is_fresh(conditions.if_none_match, state):
            response.status_code = 304
            return Response(status_code=304, headers=_etag(state))  # type: ignore[return-value] # as FastAPI allows
        response.headers.update(_etag(state))
        return LineResponse.of(state.settings)

    return router


def _line_changes(dependencies: IngestDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["lines"])

    @router.put(
        "/{line}",
        responses={
            201: {"description": "The line is new", "model": LineResponse},
            412: {"description": "If-Match or If-None-Match fails; nothing was changed"},
        },
    )
    async def put_line(line: LineName, body: LineRequest, conditions: Conditions, response: Response) -> LineResponse:
        """Register a line, or change its settings.

        Omitted settings stay as they are, so a changeover sends the new product alone. With If-Match only that revision
        is changed; without it the last request wins. Images sent after the response are judged by the new settings. A
        repeat is harmless.
        """
        if body.line not in (None, line):
            raise RequestRefusedError(
                RefusalReason.INVALID_LINE,
                f"the body has line {body.line!r}, the path {line!r}; nothing was changed. Send one of them",
            )
        if body.revision is not None and conditions.if_match is None:
            conditions = Preconditions(if_match=f'"{body.revision}"', if_none_match=conditions.if_none_match)
        async with answered_within(
            dependencies.settings.accept_timeout_s, f"the change of line {line!r} was not stored and acknowledged"
        ):
            result = await on_line_put(line, body.change(), conditions, _line_ports(dependencies))
        state = LineState(settings=result.settings)
        log.info("line_put", line=line, revision=state.settings.revision, product=state.settings.product)
        response.status_code = 201 if result.is_new else 200
        response.headers.update(_etag(state) | {"Location": f"/v1/lines/{line}"})
        return LineResponse.of(state.settings)

    @router.delete("/{line}", status_code=204, responses={404: {"description": "Unknown line"}})
    async def delete_line(line: LineName, conditions: Conditions) -> None:
        """End a line: its images are refused from now on.

        Stored objects stay. A repeat is harmless.
        """
        async with answered_within(
            dependencies.settings.accept_timeout_s, f"the end of line {line!r} was not stored and acknowledged"
        ):
            await on_line_delete(line, conditions, _line_ports(dependencies))
        log.info("line_deleted", line=line)

    return router


def _image_routes(dependencies: IngestDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["images"])

    @router.post("/{line}/images", status_code=202, openapi_extra=UPLOAD, responses=UPLOAD_ANSWERS)
    async def post_image(
        line: LineName,
        request: Request,
        idempotency_key: Annotated[
            str | None, Header(max_length=KEY_MAX, description="One value per exposure; a repeat sends it again")
        ] = None,
    ) -> ImageResponse:
        """Accept one image. 202: it is stored and announced to the stages.

        A repeat (the same Idempotency-Key; else the same serial and captured_at; else the same bytes with the one of
        the two that was sent) gives the same capture and is harmless. Equal bytes with another captured_at are another
        capture. After a 503 nothing is lost: send the same request again.
        """
        with metrics.counted_upload(line):
            try:
                require_image_type(request)
                size_bytes = declared_bytes(request, bytes_max=dependencies.settings.upload_max_bytes)
                async with dependencies.admission.hold(size_bytes):
                    return await _accept_upload(dependencies, line, request, idempotency_key)
            except UploadError as error:
                raise RequestRefusedError(RefusalReason(error.fault.value), str(error)) from error

    return router


def _ledger_routes(dependencies: IngestDependencies) -> APIRouter:
    router = APIRouter(tags=["books"])

    @router.get("/v1/books")
    async def books() -> LedgerResponse:
        """Capture ledger: for each line, received = verdict + waiting + dead_letter.

        Captures that have waited too long are missing; the longest waiting are named. The counts are those of the last
        snapshot, which every replica reads from the store; ``behind`` records were not in it yet.
        """
        async with answered_within(dependencies.settings.accept_timeout_s, "the capture ledger was not read"):
            report = await dependencies.ledger.read_report()
        return LedgerResponse.of(report, now=dependencies.clock.now())

    return router


async def _accept_upload(
    dependencies: IngestDependencies, line: str, request: Request, idempotency_key: str | None
) -> ImageResponse:
    """Read the body of an upload and pass it to the handler.

    The line's settings are read before the body.
    """
    settings = (await _require_line(dependencies, line)).settings
    limits = UploadLimits(
        bytes_max=dependencies.settings.upload_max_bytes, timeout_s=dependencies.settings.body_timeout_s
    )
    body = await read_upload(request, limits, known=FIELDS)
    began_s, received_at = dependencies.clock.monotonic(), dependencies.clock.now()
    claim = read_claim(
        body.parameters,
        idempotency_key=idempotency_key,
        received_at=received_at,
        clock_skew_s=dependencies.settings.clock_skew_s,
    )
    upload = Upload(data=body.data, claim=claim, received_at=received_at)
    accepted = await _accept(dependencies, upload, settings)
    seconds = dependencies.clock.monotonic() - began_s
    receipt = accepted.receipt
    metrics.ACCEPTED.labels(line, claim.intent.value).inc()
    metrics.BYTES.observe(receipt.size_bytes)
    metrics.SECONDS_TO_ACCEPT.observe(seconds)
    if accepted.is_repeat:
        metrics.REPEATS.labels(line).inc()
    log.info(
        "image_accepted",
        capture_id=receipt.capture_id,
        line=line,
        product=receipt.product,
        intent=claim.intent.value,
        size_bytes=receipt.size_bytes,
        is_repeat=accepted.is_repeat,
        seconds=round(seconds, 4),
    )
    return ImageResponse.of(receipt, accepted.image.info, is_repeat=accepted.is_repeat)


async def _accept(dependencies: IngestDependencies, upload: Upload, settings: LineChanged) -> AcceptedImage:
    try:
        async with answered_within(dependencies.settings.accept_timeout_s, "the image was not stored and acknowledged"):
            return await on_upload(
                upload,
                settings,
                validator=dependencies.validator,
                captures=dependencies.captures,
                publisher=dependencies.publisher,
            )
    except ImageError as error:
        raise RequestRefusedError(RefusalReason(error.reason), f"image refused: {error}; nothing was stored") from error


async def _require_line(dependencies: IngestDependencies, line: str) -> LineState:
    async with answered_within(dependencies.settings.accept_timeout_s, f"line {line!r} was not read"):
        stored = await dependencies.lines.read(line)
    if stored is None or stored.state.is_gone:
        raise unknown_line(line)
    return stored.state


def _etag(state: LineState) -> dict[str, str]:
    return {"ETag": etag_of(state) or ""}
