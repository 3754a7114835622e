"""Routes of lines: what each does now, its settings, images for it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Protocol, Self

import structlog
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field

from services.console.domain.captures import CaptureEntry
from services.console.domain.overview import JUDGED_MAX, FalseRejects, LineStanding, false_rejects, recent_verdicts
from services.console.handlers import ConsolePorts, last_judged
from services.console.routes import LineName
from siad.contracts.access import Permission
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import LineChanged, WeightsKind
from siad.contracts.json_codec import to_plain
from siad.runtime.access.guard import person_of, principal_of
from siad.runtime.problems import Problem
from siad.runtime.uploads import UploadError, UploadLimits, read_upload

log = structlog.get_logger()

NORMALS_MIN: Final = 10  # that the labeler fits a first teacher on
SETTINGS_BYTES_MAX: Final = 65_536
KEY_MAX: Final = 255  # characters


class Standings(Protocol):
    """Reads what the store says of lines. May raise ``TransientError``."""

    async def read(self, settings: LineChanged) -> LineStanding:
        """Read the standing of a line, at most a moment old.

        Raises:
            CorruptError, MissingError: an object that it takes can't be read.
        """
        ...


class LineOwner(Protocol):
    """Ingest, which owns the settings of lines and takes images."""

    @property
    def is_known(self) -> bool:
        """Whether it has an address here."""
        ...

    async def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Pass a request on; return status and body of the response.

        A refusal is a response too.

        Raises:
            Problem: it has no address here.
            TransientError: it did not respond, or asks to try again.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesDependencies:
    """Dependencies of these routes."""

    lines: Callable[[], Mapping[str, LineChanged]]
    standings: Standings
    ingest: LineOwner
    ports: ConsolePorts
    image_max_bytes: int
    body_timeout_s: float


class ListedVerdict(BaseModel):
    """One of the newest verdicts."""

    capture_id: str
    serial: str
    decision: str = Field(description="pass, reject or unknown")
    score: float | None = Field(description="null where unknown")
    threshold: float | None
    judged_at: datetime

    @classmethod
    def of(cls, entry: CaptureEntry) -> Self:
        """Describe a capture that was judged."""
        assert entry.judged_at is not None, "it was chosen by that"
        finding = entry.verdict
        decision = "unknown" if finding is None else "reject" if finding.is_reject else "pass"
        return cls(
            capture_id=entry.capture_id,
            serial=entry.serial,
            decision=decision,
            score=None if finding is None else finding.score,
            threshold=None if finding is None else finding.threshold,
            judged_at=entry.judged_at,
        )


class FalseRejectsResponse(BaseModel):
    """False rejects to expect, of the weights that judge."""

    budget: float
    estimated: float
    low: float
    high: float
    used: float = Field(description="Share of the budget; over 1: it is exceeded")

    @classmethod
    def of(cls, found: FalseRejects) -> Self:
        """Describe an estimate."""
        return cls(budget=found.budget, estimated=found.estimated, low=found.low, high=found.high, used=found.used)


class LineOverview(BaseModel):
    """What a line does now."""

    line: str
    product: str
    budget: float = Field(description="Share of good parts that may be rejected, as the line asks for it")
    classes: list[str] = Field(description="Kinds of defects, in the order of their digits")
    normals: int | None = Field(description="Sent so far; null: there is a teacher")
    normals_needed: int = Field(description="For a first teacher")
    judges: str = Field(description="Weights that judge; empty for none")
    judges_kind: WeightsKind | None
    since_at: datetime | None = Field(description="They judge since then")
    paused: str = Field(description="Why it learns nothing; empty where it does")
    is_held: bool = Field(description="By a person")
    unreadable: str = Field(description="Why the store says nothing of it; empty where it does")
    passed: int = Field(description="Of the newest 100 verdicts")
    rejected: int
    unknown: int
    last_at: datetime | None = Field(description="Of the newest verdict")
    false_rejects: FalseRejectsResponse | None = Field(description="null: not estimated")
    newest: list[ListedVerdict] = Field(description="The newest verdicts, newest first")


class OverviewResponse(BaseModel):
    """Every line that the sender may view, by name."""

    lines: list[LineOverview]
    may_change: bool = Field(description="The console knows ingest, so lines and images can be sent")


def make_overview_routes(dependencies: LinesDependencies) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["lines"])

    @router.get("/v1/overview")
    async def overview(request: Request) -> OverviewResponse:
        """What every line does now: state, newest verdicts, false rejects to expect."""
        sender, known = principal_of(request), sorted(dependencies.lines().items())
        shown = [one for name, one in known if sender.allows(Permission.VIEW, name)]
        found = await asyncio.gather(*(_overview(one, dependencies) for one in shown))
        return OverviewResponse(lines=list(found), may_change=dependencies.ingest.is_known)

    @router.get("/v1/lines/{line}/settings", responses={404: {"description": "Unknown line"}})
    async def settings(line: LineName, response: Response) -> dict[str, Any]:
        """Settings of a line; the ETag names their revision."""
        if (found := dependencies.lines().get(line)) is None:
            raise Problem(404, "unknown-line", f"line {line!r} is unknown; nothing was done. siad line list shows all")
        response.headers["ETag"] = f'"{found.revision}"'
        return dict(to_plain(found))

    @router.put("/v1/lines/{line}/settings", openapi_extra=_body("application/json"), responses=PASSED_ON)
    async def put_settings(
        line: LineName,
        request: Request,
        if_match: Annotated[str | None, Header()] = None,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Register a line or change its settings.

        Passed on to ingest as it is: body, refusals and response are those of its `PUT /v1/lines/{line}`.
        """
        body = await _read(request, SETTINGS_BYTES_MAX, dependencies)
        conditions = {"If-Match": if_match, "If-None-Match": if_none_match}
        headers = {"Content-Type": "application/json"} | {name: one for name, one in conditions.items() if one}
        log.info("settings_passed_on", line=line, by=person_of(request, ""))
        return await _pass_on(dependencies, "PUT", f"/v1/lines/{line}", body, headers)

    @router.post("/v1/lines/{line}/images", openapi_extra=_body("application/octet-stream"), responses=PASSED_ON)
    async def post_image(
        line: LineName,
        request: Request,
        intent: Annotated[str, Query(pattern="^(normal|inspect)$", description="Known to be good, or to inspect")],
        idempotency_key: Annotated[str | None, Header(max_length=KEY_MAX)] = None,
    ) -> Response:
        """Send an image of a part.

        Passed on to ingest as it is: refusals and response are those of its `POST /v1/lines/{line}/images`. A repeat is
        harmless.
        """
        body = await _read(request, dependencies.image_max_bytes, dependencies)
        headers = {"Content-Type": "application/octet-stream"}
        headers |= {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return await _pass_on(dependencies, "POST", f"/v1/lines/{line}/images?intent={intent}", body, headers)

    return router


PASSED_ON: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "The console has no address of ingest"},
    503: {"description": "Ingest did not respond; send it again after Retry-After"},
    "4XX": {"description": "Refused by ingest, in its words"},
    "2XX": {"description": "The response of ingest"},
}


def _body(media_type: str) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": {}}}}}


async def _read(request: Request, bytes_max: int, dependencies: LinesDependencies) -> bytes:
    limits = UploadLimits(bytes_max=bytes_max, timeout_s=dependencies.body_timeout_s)
    try:
        return (await read_upload(request, limits, known=("intent",))).data
    except UploadError as error:
        raise Problem(413 if error.fault.value == "too-large" else 400, error.fault.value, str(error)) from error


async def _pass_on(
    dependencies: LinesDependencies, method: str, path: str, body: bytes, headers: dict[str, str]
) -> Response:
    status, content = await dependencies.ingest.send(method, path, body, headers)
    media_type = "application/json" if status < 400 else "application/problem+json"
    return Response(content, status, media_type=media_type)


async def _overview(settings: LineChanged, dependencies: LinesDependencies) -> LineOverview:
    recent = recent_verdicts(await last_judged(settings.line, settings.product, JUDGED_MAX, dependencies.ports))
    standing, unreadable = NO_STANDING, ""
    try:
        standing = await dependencies.standings.read(settings)
    except (CorruptError, MissingError) as error:  # of one line; the others are shown
        unreadable = str(error)
    thresholds = [one for one in dependencies.ports.thresholds.all() if one.line == settings.line]
    rejects = false_rejects(standing, thresholds)
    return LineOverview(
        line=settings.line,
        product=settings.product,
        budget=settings.false_reject_budget,
        classes=list(settings.classes),
        normals=standing.normals,
        normals_needed=NORMALS_MIN,
        judges=standing.judges,
        judges_kind=standing.judges_kind,
        since_at=standing.since_at,
        paused=standing.paused,
        is_held=standing.is_held,
        unreadable=unreadable,
        passed=recent.passed,
        rejected=recent.rejected,
        unknown=recent.unknown,
        last_at=recent.last_at,
        false_rejects=None if rejects is None else FalseRejectsResponse.of(rejects),
        newest=[ListedVerdict.of(one) for one in recent.newest],
    )


NO_STANDING: Final = LineStanding(
    normals=None, judges="", judges_kind=None, since_at=None, promised=None, paused="", is_held=False
)
