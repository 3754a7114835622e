"""Routes of the console's page: files, sign-in, lines, images and masks."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from pydantic import BaseModel, Field

from services.console.domain.access import COOKIE
from services.console.domain.sessions import SESSION_TTL, Session, SessionBook
from services.console.web.files import CSP, INDEX, NOT_BUILT, PageFiles
from services.console.web.middleware import AccessMiddleware, cookie_of
from services.console.web.pictures import Pictures, make_picture_routes
from services.console.web.responses import IMMUTABLE, Conditions, respond
from siad.contracts.corrections import AUTHOR_MAX
from siad.contracts.events import LineChanged
from siad.runtime.clock import Clock
from siad.runtime.problems import Problem
from siad.runtime.settings import is_loopback

log = structlog.get_logger()

Asked = Annotated[Conditions, Header()]


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
    app.include_router(_line_routes(dependencies))
    app.include_router(make_picture_routes(dependencies.pictures))
    app.add_middleware(
        AccessMiddleware,
        sessions=dependencies.sessions,
        clock=dependencies.clock,
        is_local_only=is_loopback(dependencies.http_host),
    )


def _file_routes(files: PageFiles) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index(asked: Asked) -> Response:
        """The page itself."""
        if (found := files.read(INDEX)) is None:
            return Response(NOT_BUILT, 503, media_type="text/html")
        return respond(found, asked, {"Cache-Control": "no-cache", "Content-Security-Policy": CSP})

    @router.get("/assets/{name}")
    async def asset(name: str, asked: Asked) -> Response:
        """A script, style or worker, under the name of its content."""
        if (found := files.read(f"assets/{name}")) is None:
            raise Problem(404, "unknown-file", f"the page has no file {name!r}; load the page again")
        return respond(found, asked, {"Cache-Control": IMMUTABLE, "Content-Security-Policy": CSP})

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


def _line_routes(dependencies: PageDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["page"])

    @router.get("")
    async def list_lines() -> PageLinesResponse:
        """List every line that the console knows, by name."""
        known = sorted(dependencies.lines().items())
        lines = [PageLine(line=name, product=one.product, classes=list(one.classes)) for name, one in known]
        return PageLinesResponse(lines=lines)

    return router


def _session_of(request: Request, dependencies: PageDependencies) -> Session | None:
    token = cookie_of(request.headers.get("cookie", ""))
    return dependencies.sessions.find(token, now=dependencies.clock.now()) if token else None
