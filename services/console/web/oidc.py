"""Routes of sign-in at an identity provider."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Protocol
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from services.console.adapters.sessions import PersonSessions
from services.console.domain.identity import (
    IdentityRefusedError,
    PendingSignIn,
    RoleRule,
    identity_of,
    parse_role_rules,
)
from services.console.settings import ConsoleSettings
from services.console.web.sign_in import client_of, set_session_cookie
from siad.contracts.access import Role
from siad.contracts.errors import TransientError
from siad.runtime.clock import Clock
from siad.runtime.problems import Problem

PENDING: Final = "siad_oidc"  # cookie of a browser whose person is at the provider
PENDING_S: Final = 600
AT: Final = "/v1/oidc"
FAILED: Final = "/#sign-in-failed="
_TEXT_MAX: Final = 500  # characters of a reason on the page


class Provider(Protocol):
    """Begins and ends sign-ins. Both calls may raise ``TransientError``."""

    async def begin(self) -> tuple[str, PendingSignIn]:
        """Return the address at the provider, and what the browser keeps."""
        ...

    async def finish(self, code: str, pending: PendingSignIn) -> dict[str, object]:
        """Exchange a code for the claims of its person.

        Raises:
            IdentityRefusedError: the provider refused the code, or its token does not hold.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSignIn:
    """A provider, and what its people may do."""

    provider: Provider
    name: str  # on the page's button
    issuer: str
    claim: str  # holds the groups of a person
    rules: Sequence[RoleRule]
    unknown: Role | None  # of people whose groups give no role; None: refused


class WaysResponse(BaseModel):
    """Ways to sign in, beside name and password."""

    has_links: bool = Field(description="Whether siad sign-in prints links without an API key")
    provider: str = Field(description="Name of the identity provider; empty: none")


class CallbackQuery(BaseModel):
    """What a provider sends back; other parameters of its own are ignored."""

    model_config = ConfigDict(extra="ignore")

    code: str = ""
    state: str = ""
    error: str = ""
    error_description: str = ""
    error_uri: str = Field(default="", description="Not used")
    iss: str = Field(default="", description="Not used: the token names the issuer")
    session_state: str = Field(default="", description="Not used")
    client_info: str = Field(default="", description="Not used")
    scope: str = Field(default="", description="Not used")
    authuser: str = Field(default="", description="Not used")
    hd: str = Field(default="", description="Not used")
    prompt: str = Field(default="", description="Not used")


def make_oidc_routes(way: ProviderSignIn | None, sessions: PersonSessions, *, has_links: bool) -> APIRouter:
    """Make the routes; without a provider they say so."""
    router = APIRouter(tags=["page"])

    @router.get("/v1/sign-in-ways")
    async def ways() -> WaysResponse:
        """Tell which ways to sign in there are, beside name and password."""
        return WaysResponse(provider="" if way is None else way.name, has_links=has_links)

    @router.get("/v1/oidc/sign-in", status_code=303, response_class=Response)
    async def begin(request: Request) -> Response:
        """Send the browser to the identity provider."""
        if way is None:
            detail = "no identity provider is set; nothing was done. Set SIAD_CONSOLE_OIDC_ISSUER, or use a password"
            raise Problem(404, "no-provider", detail)
        try:
            address, pending = await way.provider.begin()
        except TransientError as error:
            return _failed(str(error))
        response = RedirectResponse(address, 303)
        # lax: the provider's page leads back here
        is_secure = request.url.scheme == "https"
        response.set_cookie(
            PENDING, pending.to_text(), max_age=PENDING_S, path=AT, secure=is_secure, httponly=True, samesite="lax"
        )
        return response

    @router.get("/v1/oidc/callback", status_code=303, response_class=Response)
    async def callback(request: Request, query: Annotated[CallbackQuery, Query()]) -> Response:
        """Open a session for the person whom the identity provider names."""
        response = await _finish(way, sessions, request, query)
        response.delete_cookie(PENDING, path=AT, httponly=True, samesite="lax")
        return response

    return router


async def _finish(
    way: ProviderSignIn | None, sessions: PersonSessions, request: Request, query: CallbackQuery
) -> Response:
    pending = PendingSignIn.from_text(request.cookies.get(PENDING, ""))
    if way is None or pending is None or not secrets.compare_digest(pending.state.encode(), query.state.encode()):
        return _failed("this sign-in was not begun in this browser, or took longer than ten minutes. Begin again")
    if query.error:
        return _failed(f"the identity provider refused: {query.error_description or query.error}")
    try:
        claims = await way.provider.finish(query.code, pending)
    except (IdentityRefusedError, TransientError) as error:
        return _failed(f"{error}. Try again, or tell an administrator")
    identity = identity_of(claims, way.issuer, claim=way.claim, rules=way.rules)
    opened = await sessions.open_by_identity(identity.or_else(way.unknown), client_of(request))
    if opened is None:
        name = identity.names[0] if identity.names else "this person"
        return _failed(f"{name} has no role here yet, or is disabled. An administrator gives one: siad account role")
    response = RedirectResponse("/", 303)
    set_session_cookie(response, opened[0], request)
    return response


def _failed(text: str) -> Response:
    """Lead back to the page, which shows the reason."""
    return RedirectResponse(FAILED + quote(text[:_TEXT_MAX], safe=""), 303)


def provider_of(settings: ConsoleSettings, clock: Clock) -> ProviderSignIn | None:
    """Return the identity provider of the settings; None without one.

    Raises:
        OSError: the file with the client's secret can't be read.
    """
    if not settings.oidc_issuer:
        return None
    from services.console.adapters.identity_provider import IdentityProvider, ProviderSettings  # loads Authlib

    path = settings.oidc_client_secret_file
    known = ProviderSettings(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=Path(path).read_text(encoding="utf-8").strip() if path else "",
        redirect_uri=f"{settings.public_url}/v1/oidc/callback",
    )
    return ProviderSignIn(
        provider=IdentityProvider(known, clock=clock),
        name=settings.oidc_name,
        issuer=settings.oidc_issuer,
        claim=settings.oidc_roles_claim,
        rules=parse_role_rules(settings.oidc_roles),
        unknown=Role.VIEWER if settings.oidc_unknown == "viewer" else None,
    )
