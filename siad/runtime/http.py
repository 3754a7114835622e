"""HTTP parts of every stage: health, metrics, traces, and problems (RFC 9457)."""

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

from siad.runtime import metrics, trace
from siad.runtime.health import Health
from siad.runtime.outcomes import RULES, WAITING

RETRY_AFTER_S: Final = 5
PROBLEM_TYPE: Final = "application/problem+json"
TRACE_ID: Final = "siad.trace_id"  # key of an ASGI scope


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """Error of a route that the client gets as it is."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        """Describe the problem.

        Args:
            status: HTTP status.
            code: kebab-case name of this kind of problem; clients branch on it.
            detail: what happened with the value, what the stage did, what to change.
            headers: headers of the response.
            more: additional members of the problem.
        """
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers, self.more = status, code, detail, headers, more


PROBLEM: Final[dict[str, Any]] = {
    "description": "Problem (RFC 9457): `type` names its kind, `detail` says what to change",
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
}  # of every route, in place of the 422 that FastAPI would describe


def make_app(*, stage: str, health: Health) -> FastAPI:
    """Build the app of a stage, to which its routes are added.

    It answers ``/healthz``, ``/readyz`` and ``/metrics``, writes errors as problems and continues traces.
    """
    app = FastAPI(title=f"SIAD {stage}", docs_url="/docs", redoc_url=None, responses={"default": PROBLEM})
    app.add_middleware(TraceMiddleware, stage=stage)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for rule in RULES:
        if rule.outcome in WAITING and issubclass(rule.error, Exception):
            app.add_exception_handler(rule.error, _on_transient)
    app.add_exception_handler(Exception, _on_bug)

    @app.get("/healthz", tags=["health"])
    async def healthz() -> Response:
        """Liveness: the loop runs, and records wait only for a stated reason."""
        if (reason := health.liveness_failure()) is not None:
            return problem_response(503, "dead", f"{reason}; restart this process", paused=health.paused())
        return JSONResponse({"status": "alive", "stage": stage, "paused": health.paused()})

    @app.get("/readyz", tags=["health"])
    async def readyz() -> Response:
        """Readiness: every check passes, and no pause needs an operator."""
        if missing := await health.readiness_failures():
            names = ", ".join(sorted(missing))
            return problem_response(503, "not-ready", f"waiting for {names}", missing=missing)
        return JSONResponse({"status": "ready", "stage": stage})

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics_text() -> Response:
        """Metrics in the Prometheus text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def problem_response(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Build the response of a problem."""
    body = {"type": f"urn:siad:problem:{code}", "title": code.replace("-", " "), "status": status, "detail": detail}
    return JSONResponse({**more, **body}, status_code=status, headers=headers, media_type=PROBLEM_TYPE)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error.status, error.code, error.detail, headers=error.headers, **error.more)


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(error.status_code, "http-error", str(error.detail), headers=error.headers)


async def _on_invalid(_: Request, error: Exception) -> Response:
    """Name field and fault, without the input, which may be an image."""
    assert isinstance(error, RequestValidationError)
    errors = [{"where": ".".join(map(str, fault["loc"])), "what": fault["msg"]} for fault in error.errors()]
    detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in errors)
    return problem_response(422, "invalid-request", f"request refused: {detail}", errors=errors)


async def _on_transient(_: Request, error: Exception) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    detail = f"{error}; no data was lost; repeat the same request in {RETRY_AFTER_S} s"
    return problem_response(503, "try-again", detail, headers=headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    """Name the class of an unexpected error, and its trace."""
    detail = (
        f"internal error {type(error).__name__}; see the server log (trace {request.scope.get(TRACE_ID, 'unknown')})"
    )
    return problem_response(500, "bug", detail)


class TraceMiddleware:
    """Continues the trace of each request, and times it by route.

    Pure ASGI: bodies are streamed, and context variables reach the route.
    """

    def __init__(self, app: ASGIApp, stage: str) -> None:
        self._app, self._stage = app, stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = ((name.decode("latin-1"), value) for name, value in scope["headers"])
        span = trace.follow(headers)
        scope[TRACE_ID] = span.trace_id
        status = "500"  # where the app raised before it answered

        async def send_traced(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                message["headers"] = [*message.get("headers", ()), (b"traceparent", span.traceparent.encode())]
            await send(message)

        began_s = time.monotonic()
        token = trace.CURRENT.set(span)
        try:
            with structlog.contextvars.bound_contextvars(traceparent=span.traceparent):
                await self._app(scope, receive, send_traced)
        finally:
            trace.CURRENT.reset(token)
            route = getattr(scope.get("route"), "path", "unmatched")  # the template: ids must not become labels
            metrics.HTTP_SECONDS.labels(self._stage, route, status).observe(time.monotonic() - began_s)
