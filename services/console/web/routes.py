"""Routes of the console's page: files, sign-in, lines, images and masks."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import structlog
from fastapi import APIRouter, FastAPI, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from services.console.domain.access import COOKIE
from services.console.domain.sessions import SESSION_TTL, Session, SessionBook
from services.console.web.files import CSP, INDEX, NOT_BUILT, PageFile, PageFiles
from services.console.web.middleware import AccessMiddleware, cookie_of
from siad.contracts.corrections import AUTHOR_MAX
from siad.contracts.events import LineChanged
from siad.contracts.ids import SLUG
from siad.runtime.clock import Clock
from siad.runtime.problems import Problem
from siad.runtime.settings import is_loopback

log = structlog.get_logger()

IMMUTABLE: Final = "private, max-age=31536000, immutable"
LineName = Annotated[str, Path(pattern=f"^{SLUG.pattern}$", description="1 to 63 of a-z, 0-9 and '-'")]
CaptureName = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of a capture")]
MaskName = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{64}(\\.t[0-9]{1,12})?(\\.verdict)?$",
        description="End of a mask's address, without .png",
    ),
]
WeightsName = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Id of weights")]
Known = Annotated[str | None, Header(alias="If-None-Match", description="ETag of the copy that the client has")]


class Pictures(Protocol):
    """Images and masks to show. Every call may raise ``TransientError``."""

    async def image(self, line: str, capture_id: str) -> tuple[bytes, str] | None:
        """Read an image as a browser shows it, and its media type.

        None where there is none.
        """
        ...

    async def mask(self, line: str, capture_id: str, name: str) -> bytes | None:
        """Read a mask; None where there is none."""
        ...

    async def score_map(self, line: str, capture_id: str, weights: str) -> bytes | None:
        """Read the map of scores by some weights, else the last one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDependencies:
    """Dependencies of the page's routes."""

    files: PageFiles
    sessions: SessionBook
    pictures: Pictures
    lines: Callable[[], Mapping[str, LineChanged]]
    clock: Clock
    http_host: str


class LinkResponse(BaseModel):
    """A link that opens the page once."""

    path: str = Field(description="Add it to the console's address; its token is not sent to any server as part of it")
    expires_at: datetime
    is_page_built: bool


class SignInRequest(BaseModel):
    """The token of a sign-in link."""

    token: str = Field(min_length=1, max_length=100)


class SessionResponse(BaseModel):
    """The session of this browser."""

    person: str
    expires_at: datetime


class PageLine(BaseModel):
    """A line, and what it makes now."""

    line: str
    product: str
    classes: list[str] = Field(description="Kinds of defects, in the order of their digits")


class PageLinesResponse(BaseModel):
    """Every line, by name."""

    lines: list[PageLine]


def add_page(app: FastAPI, dependencies: PageDependencies) -> None:
    """Add the page, its routes and the guard before all routes."""
    app.include_router(_file_routes(dependencies.files))
    app.include_router(_session_routes(dependencies))
    app.include_router(_picture_routes(dependencies))
    app.add_middleware(
        AccessMiddleware,
        sessions=dependencies.sessions,
        clock=dependencies.clock,
        is_local_only=is_loopback(dependencies.http_host),
    )


def _file_routes(files: PageFiles) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index(if_none_match: Known = None) -> Response:
        """The page itself."""
        if (found := files.read(INDEX)) is None:
            return Response(NOT_BUILT, 503, media_type="text/html")
        return _file(found, if_none_match, {"Cache-Control": "no-cache", "Content-Security-Policy": CSP})

    @router.get("/assets/{name}")
    async def asset(name: str, if_none_match: Known = None) -> Response:
        """A script, style or worker, under the name of its content."""
        if (found := files.read(f"assets/{name}")) is None:
            raise Problem(404, "unknown-file", f"the page has no file {name!r}; load the page again")
        return _file(found, if_none_match, {"Cache-Control": IMMUTABLE, "Content-Security-Policy": CSP})

    return router


def _session_routes(dependencies: PageDependencies) -> APIRouter:
    router = APIRouter(tags=["page"])
    sessions, clock = dependencies.sessions, dependencies.clock

    @router.post(
        "/v1/sign-in-links", status_code=201, responses={403: {"description": "Not a program of this machine"}}
    )
    async def make_link(
        request: Request,
        person: Annotated[
            str, Query(min_length=1, max_length=AUTHOR_MAX, description="Author of the corrections")
        ] = "operator",
    ) -> LinkResponse:
        """Make a sign-in link for a person.

        It opens the page once, within 30 minutes.
        """
        if not is_loopback(request.client.host if request.client else ""):
            detail = "sign-in links are given on the console's machine only; nothing was done. Run siad sign-in there"
            raise Problem(403, "links-refused", detail)
        token = secrets.token_urlsafe(32)
        expires_at = sessions.add_link(token, person, now=clock.now())
        return LinkResponse(path=f"/#sign-in={token}", expires_at=expires_at, is_page_built=dependencies.files.is_built)

    @router.post("/v1/session", status_code=201, responses={401: {"description": "The link is used up or expired"}})
    async def sign_in(body: SignInRequest, response: Response) -> SessionResponse:
        """Exchange the token of a link for a session.

        The session is a cookie that scripts can't read.
        """
        token = secrets.token_urlsafe(32)
        if (session := sessions.sign_in(body.token, token, now=clock.now())) is None:
            detail = "this sign-in link was used already or has expired; nothing was done. Run siad sign-in for another"
            raise Problem(401, "link-unusable", detail)
        response.set_cookie(
            COOKIE, token, max_age=int(SESSION_TTL.total_seconds()), path="/", httponly=True, samesite="strict"
        )
        log.info("signed_in", person=session.person)
        return SessionResponse(person=session.person, expires_at=session.expires_at)

    @router.get("/v1/session", responses={401: {"description": "Not signed in"}})
    async def read_session(request: Request) -> SessionResponse:
        """Tell who is signed in."""
        session = _session_of(request, dependencies)
        if session is None:
            detail = "not signed in. Run siad sign-in on the console's machine and open its link"
            raise Problem(401, "signed-out", detail)
        return SessionResponse(person=session.person, expires_at=session.expires_at)

    @router.delete("/v1/session", status_code=204)
    async def sign_out(request: Request, response: Response) -> None:
        """Close the session of this browser; a repeat is harmless."""
        sessions.sign_out(cookie_of(request.headers.get("cookie", "")))
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

    return router


def _picture_routes(dependencies: PageDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["page"])
    png: dict[int | str, dict[str, Any]] = {
        200: {"description": "The picture", "content": {"image/png": {}, "image/jpeg": {}, "image/webp": {}}},
        304: {"description": "The client's copy is current"},
        404: {"description": "There is none, or it was deleted"},
    }

    @router.get("")
    async def list_lines() -> PageLinesResponse:
        """List every line that the console knows, by name."""
        known = sorted(dependencies.lines().items())
        lines = [PageLine(line=name, product=one.product, classes=list(one.classes)) for name, one in known]
        return PageLinesResponse(lines=lines)

    @router.get("/{line}/captures/{capture}/image", response_class=Response, responses=png)
    async def image(line: LineName, capture: CaptureName, if_none_match: Known = None) -> Response:
        """Image of a capture as browsers show it.

        As it was sent, else as an 8-bit PNG of equal size.
        """
        if (found := await dependencies.pictures.image(line, capture)) is None:
            detail = f"line {line!r} has no image of capture {capture}: it is unknown, or was deleted. Go to the next"
            raise Problem(404, "unknown-image", detail)
        return _picture(*found, if_none_match)

    @router.get("/{line}/captures/{capture}/masks/{name}", response_class=Response, responses=png)
    async def mask(line: LineName, capture: CaptureName, name: MaskName, if_none_match: Known = None) -> Response:
        """Mask of a capture by some weights.

        A grey PNG: 0 good, 128 unsure, 255 defect.
        """
        if (found := await dependencies.pictures.mask(line, capture, name)) is None:
            detail = f"capture {capture} has no mask {name}: it was deleted, or drawn again by other weights"
            raise Problem(404, "unknown-mask", detail)
        return _picture(found, "image/png", if_none_match)

    @router.get("/{line}/captures/{capture}/score-maps/{weights}", response_class=Response, responses=png)
    async def score_map(
        line: LineName, capture: CaptureName, weights: WeightsName, if_none_match: Known = None
    ) -> Response:
        """Map of scores of a capture, by some weights or the teacher's.

        A grey PNG of at most 1,024 px a side: 64 is the pixel threshold, 255 four times as much.
        """
        if (found := await dependencies.pictures.score_map(line, capture, weights)) is None:
            detail = f"capture {capture} has no map of scores: its labeler is of an earlier version, or it was deleted"
            raise Problem(404, "unknown-map", detail)
        response = _picture(found, "image/png", if_none_match)
        response.headers["Cache-Control"] = "private, no-cache"  # the teacher's map may come later
        return response

    return router


def _session_of(request: Request, dependencies: PageDependencies) -> Session | None:
    token = cookie_of(request.headers.get("cookie", ""))
    return dependencies.sessions.find(token, now=dependencies.clock.now()) if token else None


def _file(found: PageFile, known: str | None, headers: Mapping[str, str]) -> Response:
    headers = {**headers, "ETag": found.etag}
    if known == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.data, headers=headers, media_type=found.media_type)


def _picture(data: bytes, media_type: str, known: str | None) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return _file(PageFile(data, media_type, etag), known, {"Cache-Control": IMMUTABLE})
