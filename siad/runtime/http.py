"""HTTP app of every stage: health, metrics and traces; errors are problems."""

import time
from typing import Final

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from siad.runtime import metrics, spans, trace
from siad.runtime.health import Health
from siad.runtime.outcomes import RULES, WAITING
from siad.runtime.problems import PROBLEM, add_request_problems, problem_response
from siad.runtime.request_checks import check_request

disable_created_metrics()  # type: ignore[no-untyped-call]  # OpenMetrics would have a second series for each counter and histogram

RETRY_AFTER_S: Final = 5
PROBES: Final = frozenset(("/healthz", "/readyz", "/metrics"))  # of the platform, in no trace
TRACE_ID: Final = "siad.trace_id"  # key of an ASGI scope


def make_app(*, stage: str, health: Health) -> FastAPI:
    """Build the app of a stage, to which its routes are added.

    It answers ``/healthz``, ``/readyz`` and ``/metrics``, writes errors as problems and continues traces.
    """
    app = FastAPI(
        title=f"SIAD {stage}",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,  # the address of a line with a slash behind it is not that of the line
        responses={"default": PROBLEM},
        dependencies=[Depends(check_request)],
    )
    app.add_middleware(TraceMiddleware, stage=stage)
    add_request_problems(app)
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
        """Readiness: every check passes, and no pause needs an operator.

        ``missing`` names what a stage lacks that serves requests all the same.
        """
        missing = await health.readiness_failures()
        if not health.is_ready_without(missing):
            names = ", ".join(sorted(missing))
            return problem_response(503, "not-ready", f"waiting for {names}", missing=missing)
        return JSONResponse({"status": "ready", "stage": stage} | ({"missing": missing} if missing else {}))

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics_text(request: Request) -> Response:
        """Metrics in the Prometheus text format.

        In OpenMetrics, with exemplars, where a client asks for it.
        """
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), media_type=content_type)

    return app


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
        span = spans.follow(headers)
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
            with (
                structlog.contextvars.bound_contextvars(traceparent=span.traceparent),
                spans.measured(span, "request", spans.SpanKind.SERVER) as running,
            ):
                running.is_left_out = scope["path"] in PROBES
                await self._app(scope, receive, send_traced)
                running.name = f"{scope['method']} {getattr(scope.get('route'), 'path', 'unmatched')}"
                running.attributes["http.response.status_code"] = int(status)
                running.error = f"status {status}" if status >= "500" else ""
        finally:
            trace.CURRENT.reset(token)
            route = getattr(scope.get("route"), "path", "unmatched")  # the template: ids must not become labels
            metrics.HTTP_SECONDS.labels(self._stage, route, status).observe(
                time.monotonic() - began_s, exemplar=spans.exemplar_of(span.traceparent)
            )
