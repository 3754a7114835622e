"""Routes of sign-in, and of the sessions of a person."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from services.console.adapters.sessions import Client, PersonSessions, SignedIn, TooManyAttemptsError
from services.console.domain.access import COOKIE
from services.console.domain.sessions import SESSION_TTL, Session, SignInMethod
from services.console.web.files import PageFiles
from services.console.web.middleware import cookie_of
from siad.contracts.access import PrincipalKind, Role
from siad.contracts.corrections import AUTHOR_MAX
from siad.runtime.access.guard import principal_of
from siad.runtime.problems import Problem
from siad.runtime.settings import is_loopback

PASSWORD_MAX: Final = 256  # characters
SIGNED_OUT: Final = (
    "not signed in; nothing was done. Sign in with name and password, or run siad sign-in on the console's machine and "
    "open its link"
)
NO_SESSION: Final[dict[int | str, dict[str, Any]]] = {401: {"description": "Not signed in"}}
SessionName = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Id of a session")]


@dataclass(frozen=True, slots=True)
class SignInDependencies:
    """Dependencies of the routes."""

    sessions: PersonSessions
    files: PageFiles


class LinkResponse(BaseModel):
    """A link that opens the page once."""

    path: str = Field(description="Add it to the console's address; its token is not sent to any server as part of it")
    expires_at: datetime
    is_page_built: bool


class SignInRequest(BaseModel):
    """The token of a sign-in link, or name and password."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = Field(default=None, min_length=1, max_length=100)
    name: str | None = Field(default=None, min_length=1, max_length=AUTHOR_MAX)
    password: SecretStr | None = Field(default=None, max_length=PASSWORD_MAX)

    @model_validator(mode="after")
    def _require_one_way(self) -> Self:
        ways = (self.token is not None, self.name is not None and self.password is not None)
        if sum(ways) != 1 or (self.token is not None and (self.name or self.password)):
            msg = "send either the token of a link, or name and password"
            raise ValueError(msg)
        return self


class SessionResponse(BaseModel):
    """The session of this browser."""

    person: str
    expires_at: datetime
    session_id: str
    roles: dict[str, Role] = Field(description="By line; of * on every line")


class OpenSession(BaseModel):
    """One session of the person."""

    session_id: str
    method: SignInMethod
    client: str = Field(description="Browser, as it names itself")
    opened_at: datetime
    expires_at: datetime
    is_this: bool = Field(description="The session of this request")


class SessionsResponse(BaseModel):
    """Open sessions of a person, the newest first."""

    sessions: list[OpenSession]


def make_sign_in_routes(dependencies: SignInDependencies) -> APIRouter:
    """Make the routes."""
    router = APIRouter()
    router.include_router(_link_routes(dependencies))
    router.include_router(_session_routes(dependencies.sessions))
    router.include_router(_sessions_routes(dependencies.sessions))
    return router


def _link_routes(dependencies: SignInDependencies) -> APIRouter:
    router = APIRouter(tags=["page"])

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

        It opens the page once, within 30 minutes. A person without an account is an administrator.
        """
        is_here = is_loopback(request.client.host if request.client else "")
        if principal_of(request).kind is PrincipalKind.MACHINE and not is_here:
            detail = "sign-in links are given on the console's machine only; nothing was done. Run siad sign-in there"
            raise Problem(403, "links-refused", detail)
        token, link = await dependencies.sessions.add_link(person)
        built = dependencies.files.is_built
        return LinkResponse(path=f"/#sign-in={token}", expires_at=link.expires_at, is_page_built=built)

    return router


def _session_routes(sessions: PersonSessions) -> APIRouter:
    router = APIRouter(tags=["page"])

    @router.post(
        "/v1/session",
        status_code=201,
        responses={401: {"description": "Refused"}, 429: {"description": "Too many attempts failed"}},
    )
    async def sign_in(body: SignInRequest, request: Request, response: Response) -> SessionResponse:
        """Open a session by a link, or by name and password.

        The session is a cookie that scripts can't read.
        """
        token, signed_in = await _open(sessions, body, client_of(request))
        set_session_cookie(response, token, request)
        return _described(signed_in)

    @router.get("/v1/session", responses=NO_SESSION)
    async def read_session(request: Request) -> SessionResponse:
        """Tell who is signed in, and with which roles."""
        return _described(await _require_session(request, sessions))

    @router.delete("/v1/session", status_code=204)
    async def sign_out(request: Request, response: Response) -> None:
        """Close the session of this browser; a repeat is harmless."""
        if (token := cookie_of(request.headers.get("cookie", ""))) and (found := await sessions.find(token)):
            await sessions.end(found.session.session_id, found.session.person)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

    return router


def _sessions_routes(sessions: PersonSessions) -> APIRouter:
    router = APIRouter(tags=["page"])

    @router.get("/v1/sessions", responses=NO_SESSION)
    async def list_sessions(request: Request) -> SessionsResponse:
        """List the open sessions of the person who is signed in."""
        mine = (await _require_session(request, sessions)).session
        found = await sessions.of_person(mine.person)
        return SessionsResponse(sessions=[_listed(one, mine) for one in found])

    @router.delete("/v1/sessions/{session}", status_code=204, responses={404: {"description": "No such session"}})
    async def end_session(session: SessionName, request: Request) -> None:
        """End another session of the same person, at once."""
        mine = (await _require_session(request, sessions)).session
        if not await sessions.end(session, mine.person):
            detail = "you have no such session: it has ended, or was closed. Read the list again"
            raise Problem(404, "unknown-session", detail)

    return router


async def _open(sessions: PersonSessions, body: SignInRequest, client: Client) -> tuple[str, SignedIn]:
    if body.token is not None:
        if (opened := await sessions.open_by_link(body.token, client)) is None:
            detail = "this sign-in link was used already or has expired; nothing was done. Run siad sign-in for another"
            raise Problem(401, "link-unusable", detail)
        return opened
    assert body.name is not None
    assert body.password is not None
    try:
        opened = await sessions.open_by_password(body.name, body.password.get_secret_value(), client)
    except TooManyAttemptsError as error:
        wait_s = math.ceil(error.wait_s)
        detail = f"too many attempts failed; nothing was done. Try again in {wait_s} s"
        raise Problem(429, "too-many-attempts", detail, headers={"Retry-After": str(wait_s)}) from error
    if opened is None:
        detail = "name or password is wrong; nothing was done. An administrator sets another: siad account password"
        raise Problem(401, "wrong-credentials", detail)
    return opened


async def _require_session(request: Request, sessions: PersonSessions) -> SignedIn:
    token = cookie_of(request.headers.get("cookie", ""))
    if not token or (found := await sessions.find(token)) is None:
        raise Problem(401, "signed-out", SIGNED_OUT)
    return found


def set_session_cookie(response: Response, token: str, request: Request) -> None:
    """Give a browser the token of its session, which scripts can't read."""
    lasts_s = int(SESSION_TTL.total_seconds())
    is_secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, max_age=lasts_s, path="/", secure=is_secure, httponly=True, samesite="strict")


def client_of(request: Request) -> Client:
    """Browser and address of a sign-in."""
    address = request.client.host if request.client else ""
    return Client(browser=request.headers.get("user-agent", ""), address=address)


def _described(signed_in: SignedIn) -> SessionResponse:
    session = signed_in.session
    return SessionResponse(
        person=session.person, expires_at=session.expires_at, session_id=session.session_id, roles=signed_in.roles
    )


def _listed(session: Session, mine: Session) -> OpenSession:
    return OpenSession(
        session_id=session.session_id,
        method=session.method,
        client=session.client,
        opened_at=session.opened_at,
        expires_at=session.expires_at,
        is_this=session.session_id == mine.session_id,
    )
