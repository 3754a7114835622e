"""HTTP in: the settings of lines, and their images."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Request, Response

from services.ingest import metrics
from services.ingest.domain.lines import Preconditions, etag_of, is_fresh
from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from services.ingest.domain.uploads import KEY_MAX, read_claim
from services.ingest.handlers import AcceptedImage, Upload, on_line_delete, on_line_put, on_upload, unknown_line
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
)
from siad.contracts.documents import LineState
from siad.contracts.errors import CorruptError, DeniedError, MissingError, TransientError
from siad.contracts.events import LineChanged
from siad.contracts.ids import SLUG
from siad.runtime import metrics as common
from siad.runtime.clock import Clock
from siad.runtime.http import problem_response
from siad.runtime.uploads import UploadError, UploadLimits, declared_bytes, read_upload, require_image_type
from siad.vision.images import ImageError

log = structlog.get_logger()

STAGE: Final = "ingest"
VIA: Final = "http"  # where the other stages' metrics name a topic
READS_MAX: Final = 16  # lines read at a time for a list
STATUS_OF: Final[Mapping[RefusalReason, int]] = {
    RefusalReason.UNKNOWN_LINE: 404,
    RefusalReason.PRECONDITION_FAILED: 412,
    RefusalReason.CAPTURE_DIFFERS: 409,
    RefusalReason.CAPTURE_IS_NORMAL: 409,
    RefusalReason.FORGOTTEN: 410,
    RefusalReason.TOO_LARGE: 413,
    RefusalReason.NOT_AN_IMAGE: 415,
    RefusalReason.UNSUPPORTED: 415,
    RefusalReason.UNSUPPORTED_MEDIA_TYPE: 415,
    RefusalReason.TOO_SLOW: 408,
    RefusalReason.CUT_OFF: 400,
}  # else 422

LineName = Annotated[str, Path(pattern=f"^{SLUG.pattern}$", description="1 to 63 of a-z, 0-9 and '-'")]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestDependencies:
    """What the routes work with."""

    settings: IngestSettings
    lines: LineStore
    captures: CaptureStore
    pixels: ImageValidator
    news: EventPublisher
    gate: Admission
    ledger: LedgerSource
    clock: Clock


def add_routes(app: FastAPI, desk: IngestDependencies) -> None:
    """Add the routes and the problem handlers to the stage's app."""
    app.add_exception_handler(RequestRefusedError, _on_refused)
    app.add_exception_handler(DeniedError, _on_store_refusal)
    app.add_exception_handler(MissingError, _on_store_refusal)
    app.add_exception_handler(CorruptError, _on_corrupt)
    app.include_router(_line_reads(desk))
    app.include_router(_line_changes(desk))
    app.include_router(_image_routes(desk))
    app.include_router(_ledger_routes(desk))


def _conditions(
    if_match: Annotated[str | None, Header(description='The ETag of the line that was read: `"3"`')] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: only where there is no such line")] = None,
) -> Preconditions:
    return Preconditions(if_match=if_match, if_none_match=if_none_match)


Said = Annotated[Preconditions, Depends(_conditions)]


def _line_reads(desk: IngestDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["lines"])

    @router.get("")
    async def list_lines() -> LinesResponse:
        """List every line, by name."""
        reads = asyncio.Semaphore(READS_MAX)

        async def read(line: str) -> LineState | None:
            async with reads:
                held = await desk.lines.read(line)
                return held.state if held else None

        async with _in_time(desk, "the lines were not read"):
            found = await asyncio.gather(*(read(line) for line in await desk.lines.names()))
        return LinesResponse(lines=[LineResponse.of(state.settings) for state in found if state and not state.is_gone])

    @router.get("/{line}", responses={304: {"description": "As the reader has it"}, 404: {"description": "Unknown"}})
    async def get_line(line: LineName, said: Said, response: Response) -> LineResponse:
        """Return one line; the ETag names its revision."""
        state = await _require_line(desk, line)
        if is_fresh(said.if_none_match, state):
            response.status_code = 304
            return Response(status_code=304, headers=_etag(state))  # type: ignore[return-value] # as FastAPI allows
        response.headers.update(_etag(state))
        return LineResponse.of(state.settings)

    return router


def _line_changes(desk: IngestDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["lines"])

    @router.put(
        "/{line}",
        responses={
            201: {"description": "The line is new", "model": LineResponse},
            412: {"description": "The line is not as If-Match or If-None-Match says; nothing was changed"},
        },
    )
    async def put_line(line: LineName, body: LineRequest, said: Said, response: Response) -> LineResponse:
        """Register a line, or change its settings.

        Settings that are left out stay as they are, so a changeover names the new product and nothing else. With
        If-Match the change is made only to the revision that the sender has seen; without it the last word wins.
        Images that come after the answer are judged by the new settings. A repeat is harmless.
        """
        if body.line not in (None, line):
            raise RequestRefusedError(
                RefusalReason.INVALID_LINE, f"the body says line {body.line!r}, the path {line!r}; nothing was done"
            )
        if body.revision is not None and said.if_match is None:
            said = Preconditions(if_match=f'"{body.revision}"', if_none_match=said.if_none_match)
        async with _in_time(desk, f"the change of line {line!r} was not stored and acknowledged"):
            changed = await on_line_put(line, body.wish(), said, lines=desk.lines, news=desk.news, clock=desk.clock)
        state = LineState(settings=changed.settings)
        log.info("line_put", line=line, revision=state.settings.revision, product=state.settings.product)
        response.status_code = 201 if changed.is_new else 200
        response.headers.update(_etag(state) | {"Location": f"/v1/lines/{line}"})
        return LineResponse.of(state.settings)

    @router.delete("/{line}", status_code=204, responses={404: {"description": "There never was such a line"}})
    async def delete_line(line: LineName, said: Said) -> None:
        """End a line: its images are refused from now on.

        Stored objects stay. A repeat is harmless.
        """
        async with _in_time(desk, f"the end of line {line!r} was not stored and acknowledged"):
            await on_line_delete(line, said, lines=desk.lines, news=desk.news, clock=desk.clock)
        log.info("line_deleted", line=line)

    return router


def _image_routes(desk: IngestDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["images"])

    @router.post("/{line}/images", status_code=202, openapi_extra=UPLOAD, responses=UPLOAD_ANSWERS)
    async def post_image(
        line: LineName,
        request: Request,
        idempotency_key: Annotated[
            str | None, Header(max_length=KEY_MAX, description="One value per exposure; a repeat uses it again")
        ] = None,
    ) -> ImageResponse:
        """Accept one image. 202: it is stored and announced to the stages.

        A repeat (the same Idempotency-Key; else the same serial and captured_at; else the same bytes) gives the same
        capture and is harmless. After a 503 nothing is lost and nothing half done: send the same request again.
        """
        with _counting(line):
            try:
                require_image_type(request)
                size_bytes = declared_bytes(request, bytes_max=desk.settings.upload_max_bytes)
                async with desk.gate.hold(size_bytes):
                    return await _take_in(desk, line, request, idempotency_key)
            except UploadError as error:
                raise RequestRefusedError(RefusalReason(error.fault.value), str(error)) from error

    return router


def _ledger_routes(desk: IngestDependencies) -> APIRouter:
    router = APIRouter(tags=["books"])

    @router.get("/v1/books")
    async def books() -> LedgerResponse:
        """Capture ledger: for each line, received = verdict + waiting + dead_letter.

        Captures that have waited too long are missing; the longest waiting are named. The counts are those of the last
        snapshot, which every replica reads from the store; ``behind`` records were not in it yet.
        """
        async with _in_time(desk, "the capture ledger was not read"):
            report = await desk.ledger.read_report()
        return LedgerResponse.of(report, now=desk.clock.now())

    return router


async def _take_in(desk: IngestDependencies, line: str, request: Request, idempotency_key: str | None) -> ImageResponse:
    """Read the body of an upload and pass it to the handler.

    The line's settings are read before the body.
    """
    settings = (await _require_line(desk, line)).settings
    limits = UploadLimits(bytes_max=desk.settings.upload_max_bytes, timeout_s=desk.settings.body_timeout_s)
    body = await read_upload(request, limits)
    began_s, received_at = desk.clock.monotonic(), desk.clock.now()
    claim = read_claim(
        dict(request.query_params) | body.fields,
        idempotency_key=idempotency_key,
        received_at=received_at,
        clock_skew_s=desk.settings.clock_skew_s,
    )
    upload = Upload(data=body.data, claim=claim, received_at=received_at)
    accepted = await _accept(desk, upload, settings)
    seconds = desk.clock.monotonic() - began_s
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
    return ImageResponse.of(receipt, accepted.seen.info, is_repeat=accepted.is_repeat)


async def _accept(desk: IngestDependencies, upload: Upload, settings: LineChanged) -> AcceptedImage:
    try:
        async with _in_time(desk, "the image was not stored and acknowledged"):
            return await on_upload(upload, settings, pixels=desk.pixels, captures=desk.captures, news=desk.news)
    except ImageError as error:
        raise RequestRefusedError(RefusalReason(error.reason), f"image refused: {error}; nothing was stored") from error


@asynccontextmanager
async def _in_time(desk: IngestDependencies, what: str) -> AsyncIterator[None]:
    """Bound the time a sender waits for store and broker.

    Work already begun may still finish.
    """
    timeout_s = desk.settings.accept_timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        msg = f"{what} within {timeout_s:g} s"
        raise TransientError(msg) from error


async def _require_line(desk: IngestDependencies, line: str) -> LineState:
    async with _in_time(desk, f"line {line!r} was not read"):
        held = await desk.lines.read(line)
    if held is None or held.state.is_gone:
        raise unknown_line(line)
    return held.state


@contextmanager
def _counting(line: str) -> Iterator[None]:
    """Count one upload by its outcome."""
    common.RECEIVED.labels(STAGE, VIA).inc()
    in_flight = common.IN_FLIGHT.labels(STAGE)
    in_flight.inc()
    try:
        yield
    except RequestRefusedError as error:
        metrics.REFUSED.labels(error.why.value).inc()
        common.FAILED.labels(STAGE, VIA, "refused").inc()
        log.warning("image_refused", line=line, reason=error.why.value, detail=str(error))
        raise
    except TransientError as error:
        common.FAILED.labels(STAGE, VIA, "transient").inc()
        log.warning("image_put_off", line=line, reason=str(error))
        raise
    else:
        common.DONE.labels(STAGE, VIA).inc()
    finally:
        in_flight.dec()


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefusedError)
    return problem_response(STATUS_OF.get(error.why, 422), error.why.value, str(error))


async def _on_store_refusal(_: Request, error: Exception) -> Response:
    """Answer 503: the store denies access or has no bucket."""
    detail = f"{error}; nothing is lost, send the same request later. If it stays so, look at ingest's bucket and keys"
    return problem_response(503, "store-refuses", detail, headers={"Retry-After": "30"})


async def _on_corrupt(_: Request, error: Exception) -> Response:
    log.error("record_unreadable", reason=str(error))
    return problem_response(
        500, "unreadable-record", f"{error}; nothing was done. Repair or remove the object in the store"
    )


def _etag(state: LineState) -> dict[str, str]:
    return {"ETag": etag_of(state) or ""}
