"""Guard before the routes of a stage.

It identifies the sender, and asks the access table.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import FastAPI, Request
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from siad.contracts.access import THIS_MACHINE, Principal, PrincipalKind
from siad.contracts.audit_log import AuditAction
from siad.contracts.errors import TransientError
from siad.runtime.access.audit_log import AuditLog
from siad.runtime.access.table import AccessTable
from siad.runtime.problems import Problem, problem_response

PRINCIPAL: Final = "siad.principal"  # key of an ASGI scope
RETRY_AFTER_S: Final = 5
Headers = Mapping[str, str]  # by lower-case names
# Returns None where there are no credentials; raises Problem where they are refused.
Identify = Callable[[Headers], Awaitable[Principal | None]]


def principal_of(request: Request) -> Principal:
    """Return the sender of a request, as the guard identified it."""
    found = request.scope.get(PRINCIPAL, THIS_MACHINE)
    assert isinstance(found, Principal)
    return found


def person_of(request: Request, given: str) -> str:
    """Return the person of the session, else the given name."""
    sender = principal_of(request)
    return sender.name if sender.kind is PrincipalKind.PERSON else given


def guard(app: FastAPI, table: AccessTable, identify: Identify, *, audit: AuditLog, how: str) -> None:
    """Put the guard before the routes of a stage.

    It runs within traces and metrics, so that refusals are counted.

    Args:
        app: of the stage.
        table: needs of its routes.
        identify: finds the sender of a request.
        audit: gets what was changed, and what was refused.
        how: tells a sender without credentials what to do.
    """
    app.user_middleware.append(Middleware(GuardMiddleware, table=table, identify=identify, audit=audit, how=how))


class GuardMiddleware:
    """Lets in what the access table allows.

    Pure ASGI, before the body is read.
    """

    def __init__(self, app: ASGIApp, *, table: AccessTable, identify: Identify, audit: AuditLog, how: str) -> None:
        """Describe the guard.

        Args:
            app: what it guards.
            table: needs of the routes.
            identify: finds the sender.
            audit: gets what was changed, and what was refused.
            how: tells a sender without credentials what to do.
        """
        self._app, self._table, self._identify = app, table, identify
        self._audit, self._how = audit, how

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or self._table.is_open(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._admit(scope)
        except Problem as refused:
            response = problem_response(refused.status, refused.code, refused.detail, headers=refused.headers)
            await response(scope, receive, send)
            return
        except TransientError as error:
            detail = f"{error}; nothing was done. Repeat the same request in {RETRY_AFTER_S} s"
            response = problem_response(503, "try-again", detail, headers={"Retry-After": str(RETRY_AFTER_S)})
            await response(scope, receive, send)
            return
        scope[PRINCIPAL] = principal
        if not self._table.is_recorded(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._enter(AuditAction.REQUEST, principal.name, scope, f"status {message['status']}")
            await send(message)

        await self._app(scope, receive, send_recorded)

    async def _admit(self, scope: Scope) -> Principal:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        try:
            principal = await self._identify(headers)
        except Problem as refused:
            self._enter(AuditAction.REQUEST_REFUSED, "", scope, refused.detail)
            raise
        if principal is None:
            detail = f"no credentials; nothing was done. {self._how}"
            raise Problem(401, "signed-out", detail, headers={"WWW-Authenticate": "Bearer"})
        if reason := self._table.refusal(principal, method, path):
            self._enter(AuditAction.REQUEST_REFUSED, principal.name, scope, reason)
            raise Problem(403, "not-allowed", f"{reason}; nothing was done. An administrator can change that")
        return principal

    def _enter(self, action: AuditAction, actor: str, scope: Scope, detail: str) -> None:
        address = (scope.get("client") or ("",))[0]
        self._audit.add(action, actor, f"{scope['method']} {scope['path']}", detail=detail, address=address)
