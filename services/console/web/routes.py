"""Routes of the console's page: files, lines, images and masks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, FastAPI, Header, Request, Response
from pydantic import BaseModel, Field

from services.console.access import ROUTES
from services.console.adapters.sessions import PersonSessions
from services.console.web.files import CSP, INDEX, NOT_BUILT, PageFiles
from services.console.web.middleware import BrowserMiddleware
from services.console.web.oidc import ProviderSignIn, make_oidc_routes
from services.console.web.pictures import Pictures, make_picture_routes
from services.console.web.responses import IMMUTABLE, Conditions, respond
from services.console.web.sign_in import SignInDependencies, make_sign_in_routes
from services.console.web.unknown_address import UnknownAddressMiddleware
from siad.contracts.access import Permission
from siad.contracts.events import LineChanged
from siad.runtime.access.guard import principal_of
from siad.runtime.access.table import AccessTable
from siad.runtime.problems import Problem
from siad.runtime.settings import is_loopback

Asked = Annotated[Conditions, Header()]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDependencies:
    """Dependencies of the page's routes."""

    files: PageFiles
    sessions: PersonSessions
    pictures: Pictures
    lines: Callable[[], Mapping[str, LineChanged]]
    http_host: str
    has_links: bool  # siad sign-in prints links without an API key


class PageLine(BaseModel):
    """A line, and what it makes now."""

    line: str
    product: str
    classes: list[str] = Field(description="Kinds of defects, in the order of their digits")


class PageLinesResponse(BaseModel):
    """Every line, by name."""

    lines: list[PageLine]


def add_page(app: FastAPI, dependencies: PageDependencies, provider: ProviderSignIn | None) -> None:
    """Add the page, its routes and the checks of browsers."""
    app.include_router(_file_routes(dependencies.files))
    app.include_router(make_sign_in_routes(SignInDependencies(dependencies.sessions, dependencies.files)))
    app.include_router(make_oidc_routes(provider, dependencies.sessions, has_links=dependencies.has_links))
    app.include_router(_line_routes(dependencies))
    app.include_router(make_picture_routes(dependencies.pictures))
    app.add_middleware(UnknownAddressMiddleware, files=dependencies.files, table=AccessTable(ROUTES))
    app.add_middleware(BrowserMiddleware, is_local_only=is_loopback(dependencies.http_host))


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


def _line_routes(dependencies: PageDependencies) -> APIRouter:
    router = APIRouter(prefix="/v1/lines", tags=["page"])

    @router.get("")
    async def list_lines(request: Request) -> PageLinesResponse:
        """List every line that the sender may view, by name."""
        sender = principal_of(request)
        known = sorted(one for one in dependencies.lines().items() if sender.allows(Permission.VIEW, one[0]))
        lines = [PageLine(line=name, product=one.product, classes=list(one.classes)) for name, one in known]
        return PageLinesResponse(lines=lines)

    return router
