"""Client of the scorer, an application inside Ray Serve, see ``services.labeler.scorer_api``."""

from collections.abc import Mapping
from typing import Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from services.labeler import metrics
from services.labeler.ports import (
    DrawnMask,
    FitOrder,
    FitRefusedError,
    FittedTeacher,
    ScorerBugError,
    ThresholdLookup,
)
from services.labeler.scorer_api import (
    ACCESS_DENIED,
    DRAW_FAILED,
    DRAW_PATH,
    FIT_PATH,
    FIT_REFUSED,
    IMAGE_REFUSED,
    MISFIT,
    DrawRequest,
    DrawResponse,
    FitRequest,
    FitResponse,
    ScorerProblem,
)
from siad.contracts.errors import CorruptError, DeniedError, PoisonError, TransientError
from siad.contracts.events import ImageStored
from siad.contracts.ids import WeightsId
from siad.contracts.normals_profile import MisfitReason, SizeRule
from siad.contracts.place import Place
from siad.contracts.release_evidence import GateEvidence
from siad.runtime import spans, trace
from siad.vision.plausibility import Misfit, MisfitError

R = TypeVar("R", bound=BaseModel)

PROBE_S: Final = 5.0
_BODY_CHARS: Final = 300  # of a response, in an error
# Outcome of each problem, by path and type; any other response may differ next time, so it is transient.
_OUTCOMES: Final[Mapping[tuple[str, str], type[Exception]]] = {
    (DRAW_PATH, IMAGE_REFUSED): PoisonError,
    (DRAW_PATH, DRAW_FAILED): ScorerBugError,
    (FIT_PATH, FIT_REFUSED): FitRefusedError,
    (DRAW_PATH, ACCESS_DENIED): DeniedError,
    (FIT_PATH, ACCESS_DENIED): DeniedError,
}


class ScorerClient:
    """HTTP client of one scorer.

    Args:
        client: with the scorer's address as its base URL.
        thresholds: those set for weights since they were fitted; they replace the ones in the manifests.
        timeout_s: of drawing one mask.
        fit_timeout_s: of one fit.
    """

    def __init__(
        self, client: httpx.AsyncClient, thresholds: ThresholdLookup, *, timeout_s: float, fit_timeout_s: float
    ) -> None:
        self._client, self._thresholds = client, thresholds
        self._timeout_s, self._fit_timeout_s = timeout_s, fit_timeout_s

    async def draw(self, event: ImageStored, *, weights: WeightsId, sizes: SizeRule = SizeRule.NORMALS) -> DrawnMask:
        """Draw the pseudo-mask of one capture and store it."""
        threshold = self._thresholds.of(Place(event.line, event.product), weights)
        request = DrawRequest.of(event, weights, sizes, threshold)
        with metrics.DRAW_SECONDS.time():
            response = await self._post_draw(event.line, request)
        try:
            mask = _parse(DrawResponse, response).mask()
        except ValueError as error:
            raise self._unexpected(DRAW_PATH, response) from error
        metrics.MASKS.labels(event.line).inc()
        return mask

    async def fit(self, place: Place, order: FitOrder) -> FittedTeacher:
        """Fit a teacher and store its weights."""
        response = await self._post(FIT_PATH, FitRequest.of(place, order), timeout_s=self._fit_timeout_s)
        try:
            made = _parse(FitResponse, response)
            evidence = GateEvidence.from_json(made.evidence.encode()) if made.evidence else None
            return FittedTeacher(weights=WeightsId(made.weights), evidence=evidence)
        except (ValueError, CorruptError) as error:
            raise self._unexpected(FIT_PATH, response) from error

    async def probe(self) -> None:
        """Return if the application is up; otherwise raise ``TransientError``."""
        try:
            response = await self._client.get("/healthz", timeout=PROBE_S)
        except httpx.HTTPError as error:
            msg = f"scorer at {self._client.base_url} does not respond: {error!r}"
            raise TransientError(msg) from error
        if not response.is_success:
            msg = f"scorer at {self._client.base_url} is not ready: {_summary(response)}"
            raise TransientError(msg)

    async def _post_draw(self, line: str, request: DrawRequest) -> httpx.Response:
        """Request a pseudo-mask, and count an image that gets none."""
        try:
            return await self._post(DRAW_PATH, request, timeout_s=self._timeout_s)
        except MisfitError as error:
            metrics.MISFITS.labels(line, error.misfit.reason.value).inc()
            raise

    async def _post(self, path: str, request: BaseModel, *, timeout_s: float) -> httpx.Response:
        """Send a request in the current trace; return a successful response."""
        with spans.step(f"scorer {path}", spans.SpanKind.CLIENT):
            return await self._send(path, request, timeout_s=timeout_s)

    async def _send(self, path: str, request: BaseModel, *, timeout_s: float) -> httpx.Response:
        headers = {"content-type": "application/json"}
        if (span := trace.CURRENT.get()) is not None:
            headers["traceparent"] = span.traceparent
        try:
            response = await self._client.post(
                path, content=request.model_dump_json(), headers=headers, timeout=timeout_s
            )
        except httpx.HTTPError as error:
            msg = f"scorer at {self._client.base_url}{path} does not respond: {error!r}"
            raise TransientError(msg) from error
        if not response.is_success:
            raise self._failure(path, response)
        return response

    def _failure(self, path: str, response: httpx.Response) -> Exception:
        """Return the outcome that a problem names."""
        try:
            problem = _parse(ScorerProblem, response)
        except ValidationError:
            return TransientError(f"scorer at {self._client.base_url}{path} failed: {_summary(response)}")
        if path == DRAW_PATH and problem.type == MISFIT and problem.reason in set(MisfitReason):
            return MisfitError(Misfit(MisfitReason(problem.reason), problem.detail))
        outcome = _OUTCOMES.get((path, problem.type), TransientError)
        detail = problem.detail or f"{problem.type}, without a reason"
        if issubclass(outcome, TransientError):
            detail = f"scorer at {self._client.base_url}{path} failed: {response.status_code} {detail}"
        return outcome(detail)

    def _unexpected(self, path: str, response: httpx.Response) -> TransientError:
        """Describe an unknown result: a proxy's page, or an older version's."""
        where = f"{self._client.base_url}{path}"
        return TransientError(f"response from {where} is not one of this version's scorer: {_summary(response)}")


def _parse(kind: type[R], response: httpx.Response) -> R:
    return kind.model_validate_json(response.content)


def _summary(response: httpx.Response) -> str:
    return f"{response.status_code} {response.text[:_BODY_CHARS]}"
