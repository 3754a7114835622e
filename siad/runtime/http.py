"""HTTP, the same for every stage: health, metrics, traces, and errors as problems (RFC 9457)."""

import time
from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from siad.contracts.errors import TransientError
from siad.runtime import metrics, trace
from siad.runtime.health import Health

RETRY_AFTER_S: Final = 5
PROBLEM_TYPE: Final = "application/problem+json"


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """Raise it from a route: the client gets it as it stands."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        """Describe what is wrong.

        Args:
            status: HTTP status.
            code: kebab-case name of this kind of problem; clients branch on it.
            detail: what happened with the value, what was done about it, what to change.
            headers: to send along.
            more: further members of the problem.
        """
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers, self.more = status, code, detail, headers, more


PROBLEM: Final[dict[str, Any]] = {
    "description": "Why not (RFC 9457): `type` names the kind of problem, `detail` says what to change",
    "content": {
        PROBLEM_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }
        }
    },
}  # of every route: FastAPI would describe its own 422 instead


def make_app(*, stage: str, health: Health) -> FastAPI:
    """Build the app of a stage: ``/healthz``, ``/readyz``, ``/metrics``, problems and traces. Routes come on top."""
    app = FastAPI(title=f"SIAD {stage}", docs_url="/docs", redoc_url=None, responses={"default": PROBLEM})
    app.add_middleware(TraceMiddleware, stage=stage)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(TransientError, _on_transient)
    app.add_exception_handler(Exception, _on_bug)

    @app.get("/healthz", tags=["health"])
    async def healthz() -> Response:
        """Alive: the loop ticks, and nothing waits without a reason."""
        if (reason := health.dead()) is not None:
            return problem_response(503, "dead", f"{reason}; restart this process", paused=health.paused())
        return JSONResponse({"status": "alive", "stage": stage, "paused": health.paused()})

    @app.get("/readyz", tags=["health"])
    async def readyz() -> Response:
        """Ready: every check of the stage holds."""
        if missing := await health.missing():
            names = ", ".join(sorted(missing))
            return problem_response(503, "not-ready", f"waiting for {names}", missing=missing)
        return JSONResponse({"status": "ready", "stage": stage})

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics_text() -> Response:
        """Prometheus text."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def problem_response(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem as an answer."""
    body = {"type": f"urn:siad:problem:{code}", "title": code.replace("-", " "), "status": status, "detail": detail}
    return JSONResponse({**more, **body}, status_code=status, headers=headers, media_type=PROBLEM_TYPE)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error.status, error.code, error.detail, headers=error.headers, **error.more)


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(error.status_code, "http-error", str(error.detail), headers=error.headers)


async def _on_invalid(_: Request, error: Exception) -> Response:
    """Say where and what; the input itself is not sent back, it may be an image."""
    assert isinstance(error, RequestValidationError)
    errors = [{"where": ".".join(str(part) for part in one["loc"]), "what": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{one['where']}: {one['what']}" for one in errors)
    return problem_response(422, "invalid-request", f"request refused: {detail}", errors=errors)


async def _on_transient(_: Request, error: Exception) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    detail = f"{error}; nothing is lost, send the same request again in {RETRY_AFTER_S} s"
    return problem_response(503, "try-again", detail, headers=headers)


async def _on_bug(_: Request, error: Exception) -> Response:
    """The server logs it with its traceback; the client gets no more than its name."""
    return problem_response(500, "bug", f"{type(error).__name__}: this is our fault; the log has the rest")


class TraceMiddleware:
    """Every request in its trace, timed by route. Pure ASGI, so bodies stream and contexts hold."""

    def __init__(self, app: ASGIApp, stage: str) -> None:
        self._app, self._stage = app, stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = ((name.decode("latin-1"), value) for name, value in scope["headers"])
        span = trace.follow(headers)
        status = "500"  # where nothing was answered

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                message["headers"] = [*message.get("headers", ()), (b"traceparent", span.traceparent.encode())]
            await send(message)

        began_s = time.monotonic()
        token = trace.CURRENT.set(span)
        try:
            with structlog.contextvars.bound_contextvars(traceparent=span.traceparent):
                await self._app(scope, receive, tell)
        finally:
            trace.CURRENT.reset(token)
            route = getattr(scope.get("route"), "path", "unmatched")  # its template: ids are no labels
            metrics.HTTP_SECONDS.labels(self._stage, route, status).observe(time.monotonic() - began_s)
