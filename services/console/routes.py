"""HTTP routes of the console: captures to answer, corrections and estimates."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, FastAPI, Header, Path, Query, Request, Response

from services.console import metrics
from services.console.domain.corrections import CorrectionRequest, parse_work, require_author
from services.console.domain.review import ReviewRequest
from services.console.handlers import (
    ConsolePorts,
    CorrectionResult,
    on_correction,
    on_corrections,
    on_estimates,
    on_review,
)
from services.console.ports import KnownLines
from services.console.settings import ConsoleSettings
from services.console.wire import (
    CorrectionResponse,
    CorrectionsResponse,
    EstimatesResponse,
    ReviewResponse,
    add_problems,
)
from siad.contracts.corrections import AUTHOR_MAX, CorrectionVerdict, Selection
from siad.contracts.ids import SLUG
from siad.runtime.access.guard import person_of
from siad.runtime.deadline import answered_within
from siad.runtime.problems import Problem
from siad.runtime.uploads import (
    FORM,
    STATUS_OF_UPLOAD,
    UploadBody,
    UploadError,
    UploadFault,
    UploadLimits,
    read_upload,
)

log = structlog.get_logger()

COUNT_MAX: Final = 500  # captures of one review
LineName = Annotated[str, Path(pattern=f"^{SLUG.pattern}$", description="1 to 63 of a-z, 0-9 and '-'")]
CaptureName = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of a capture")]
Product = Annotated[str | None, Query(pattern=f"^{SLUG.pattern}$", description="Only of this product")]
Holder = Annotated[str, Query(pattern="^[A-Za-z0-9_-]{8,64}$", description="Random name of the page that shows them")]
Count = Annotated[int, Query(ge=1, le=COUNT_MAX, description="How many captures, at most")]
Author = Annotated[
    str | None,
    Query(min_length=1, max_length=AUTHOR_MAX, description="Name of the person; of a session always its person"),
]
IfMatch = Annotated[
    str | None, Header(description='Only if the capture is at this revision: `"2"`; `"0"`: no correction yet')
]
MASK: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "description": "Mask of a defect at the image's size: a grey 8-bit PNG, 0 good, 128 unsure, 255 defect",
        "content": {
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "string", "format": "binary", "description": "The mask; empty: none"},
                        "work": {"type": "string", "description": "What became of each mark, and the effort; JSON"},
                    },
                }
            },
        },
    }
}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The newest correction says this already", "model": CorrectionResponse},
    404: {"description": "Unknown capture"},
    409: {"description": "The capture was sent as a normal, or is in quarantine"},
    410: {"description": "The capture was erased on request, or its image deleted by age"},
    412: {"description": "If-Match names another revision; nothing was stored"},
    413: {"description": "The mask has too many bytes or pixels"},
    503: {"description": "Store or broker unavailable; send it again after Retry-After"},
}


class Answer(StrEnum):
    """What a person may say about a capture."""

    GOOD = "good"
    DEFECT = "defect"
    UNSURE = "unsure"


class ShownAs(StrEnum):
    """Why a client showed a capture."""

    NEAREST = "nearest"
    RANDOM = "random"
    CHOSEN = "chosen"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleDependencies:
    """Dependencies of the routes."""

    settings: ConsoleSettings
    lines: KnownLines
    ports: ConsolePorts


def add_routes(app: FastAPI, dependencies: ConsoleDependencies) -> None:
    """Add the routes and the problem handlers to the stage's app."""
    add_problems(app)
    app.include_router(_review_routes(dependencies))
    app.include_router(_correction_routes(dependencies))


def _review_routes(dependencies: ConsoleDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["review"])

    @router.get("/{line}/review", responses={404: {"description": "Unknown line"}})
    async def review(
        line: LineName, request: Request, count: Count = 20, product: Product = None, holder: Holder | None = None
    ) -> ReviewResponse:
        """Captures without a correction that are worth an answer.

        Most are worth most: near the threshold, of low confidence, or judged otherwise by teacher and segmenter, and
        not many alike in a row. Every tenth is drawn at random from all captures of the line that the console holds,
        and only these estimate. ``reason`` and ``grounds`` say which. Equal state gives equal captures.
        With a holder, captures that another page shows are left out, and these are leased to it for five minutes.
        The person of a session is given none that this person put off.
        """
        least = dependencies.settings.training_corrections
        person = person_of(request, "")
        asked = ReviewRequest(
            line=line, product=product, count=count, holder=holder, corrections_min=least, person=person
        )
        async with answered_within(
            dependencies.settings.accept_timeout_s, f"the captures of line {line!r} were not read"
        ):
            await require_line(dependencies, line)
            return ReviewResponse.of(line, await on_review(asked, dependencies.ports))

    @router.get("/{line}/review/estimates", responses={404: {"description": "Unknown line"}})
    async def estimates(line: LineName) -> EstimatesResponse:
        """Misses and false rejects, from answers to captures drawn at random.

        Of the weights in service, with intervals. Without such an answer nothing is said.
        """
        async with answered_within(
            dependencies.settings.accept_timeout_s, f"the answers of line {line!r} were not read"
        ):
            await require_line(dependencies, line)
            return EstimatesResponse.of(await on_estimates(line, dependencies.ports))

    return router


def _correction_routes(dependencies: ConsoleDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["corrections"])

    @router.get(
        "/{line}/captures/{capture}/corrections",
        responses={404: {"description": "Unknown capture"}, 410: {"description": "The capture was erased on request"}},
    )
    async def read(line: LineName, capture: CaptureName, response: Response) -> CorrectionsResponse:
        """Every revision of a capture's correction, oldest first.

        The ETag names the last one; `"0"` where there is none.
        """
        async with answered_within(
            dependencies.settings.accept_timeout_s, f"the corrections of capture {capture} were not read"
        ):
            found = await on_corrections(line, capture, dependencies.ports)
        response.headers["ETag"] = f'"{found[-1].revision if found else 0}"'
        return CorrectionsResponse(corrections=[CorrectionResponse.of(one) for one in found])

    @router.post("/{line}/captures/{capture}/corrections", status_code=201, openapi_extra=MASK, responses=ANSWERS)
    async def correct(
        line: LineName,
        capture: CaptureName,
        request: Request,
        response: Response,
        verdict: Annotated[Answer, Query(description="What the part is")],
        author: Author = None,
        selection: Annotated[
            ShownAs | None, Query(description="Why it was shown; left out: as the review said")
        ] = None,
        if_match: IfMatch = None,
    ) -> CorrectionResponse:
        """Store what a person says about a capture.

        The body is the mask of a defect, or empty. 201: it is stored and announced to the stages, as the next revision;
        an earlier answer is undone by another. A repeat of the newest one is harmless and gives 200. Without If-Match
        the last request wins. After a 503 nothing is lost: send the same request again.
        """
        upload = await _read_mask(dependencies.settings, request)
        asked = CorrectionRequest(
            line=line,
            capture_id=capture,
            verdict=CorrectionVerdict(verdict.value),
            author=require_author(person_of(request, author or "")),
            mask=upload.data,
            work=parse_work(upload.parameters.get("work", "")),
            selection=None if selection is None else Selection(selection.value),
            if_match=if_match,
        )
        async with answered_within(
            dependencies.settings.accept_timeout_s,
            f"the correction of capture {capture} was not stored and acknowledged",
        ):
            result = await on_correction(asked, dependencies.ports)
        response.status_code = 201 if result.is_new else 200
        response.headers["ETag"] = f'"{result.correction.revision}"'
        _record(result)
        return CorrectionResponse.of(result.correction)

    return router


def _record(result: CorrectionResult) -> None:
    """Log an answer, and count it if it was new."""
    correction = result.correction
    if result.is_new:
        metrics.CORRECTIONS.labels(correction.line, correction.verdict.value).inc()
    log.info(
        "capture_corrected",
        line=correction.line,
        capture_id=correction.capture_id,
        revision=correction.revision,
        verdict=correction.verdict.value,
        is_new=result.is_new,
    )


async def _read_mask(settings: ConsoleSettings, request: Request) -> UploadBody:
    limits = UploadLimits(bytes_max=settings.mask_max_bytes, timeout_s=settings.body_timeout_s)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("", "image/png", "application/octet-stream", FORM):
        detail = f"Content-Type {media_type!r} is no mask; nothing was stored. Send the PNG itself as image/png"
        raise Problem(415, UploadFault.UNSUPPORTED_MEDIA_TYPE.value, detail)
    try:
        return await read_upload(request, limits, known=("verdict", "author", "selection", "work"))
    except UploadError as error:
        raise Problem(STATUS_OF_UPLOAD[error.fault], error.fault.value, str(error)) from error


async def require_line(dependencies: ConsoleDependencies, line: str) -> None:
    """Refuse a line that was never registered.

    Raises:
        Problem: 404.
    """
    if not await dependencies.lines.is_known(line):
        detail = f"line {line!r} is unknown; nothing was done. siad line list shows all"
        raise Problem(404, "unknown-line", detail)
