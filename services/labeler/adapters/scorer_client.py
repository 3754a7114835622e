"""The scorer over HTTP: an application inside Ray Serve. References go there and back, never pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import httpx
import structlog

from services.labeler import metrics
from services.labeler.ports import DrawnMask
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import ImageStored, Region
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId

IMAGE_REFUSED = "urn:siad:image-refused"  # the type of the scorer's answer that makes a capture poison
FIT_REFUSED = "urn:siad:fit-refused"
DRAW_FAILED = "urn:siad:draw-failed"  # by a bug: the network can't judge this image, alone, with the store at hand
_ERROR_CHARS = 300


class FitRefusedError(Exception):
    """No teacher can be fitted on these normals, however often one tries."""


class ScorerBugError(Exception):
    """The scorer can't label this capture and nobody knows why: a bug, with a bug's fate."""


class ScorerClient:
    """One scorer.

    Args:
        client: with the scorer's address as its base.
        timeout_s: of drawing one mask.
        fit_timeout_s: of one fit.
    """

    def __init__(self, client: httpx.AsyncClient, *, timeout_s: float, fit_timeout_s: float) -> None:
        self._client, self._timeout_s, self._fit_timeout_s = client, timeout_s, fit_timeout_s

    async def draw(self, event: ImageStored, *, weights: WeightsId) -> DrawnMask:
        """Have some weights draw the mask of one capture."""
        body = {
            "capture_id": event.capture_id,
            "image_id": event.image_id,
            "image_uri": event.image_uri,
            "line": event.line,
            "product": event.product,
            "weights": weights,
        }
        with metrics.DRAW_SECONDS.time():
            answer = await self._post("/draw", body, timeout_s=self._timeout_s)
        if answer.get("type") == IMAGE_REFUSED:
            raise PoisonError(_reason(answer))
        if answer.get("type") == DRAW_FAILED:
            raise ScorerBugError(_reason(answer))
        try:
            drawn = _drawn(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise self._stranger(error, "/draw", answer) from error
        metrics.MASKS.labels(event.line).inc()
        return drawn

    async def fit(self, line: str, product: str, *, normals: Sequence[ImageStored], settings: FitSettings) -> WeightsId:
        """Have a teacher fitted and stored.

        Raises:
            RefusedError: these normals can't teach.
            TransientError: the scorer or the store is away.
        """
        body = {
            "line": line,
            "product": product,
            "normals": [
                {"capture_id": normal.capture_id, "image_id": normal.image_id, "image_uri": normal.image_uri}
                for normal in normals
            ],
            **asdict(settings),
        }
        answer = await self._post("/fit", body, timeout_s=self._fit_timeout_s)
        if answer.get("type") == FIT_REFUSED:
            raise FitRefusedError(_reason(answer))
        try:
            return WeightsId(answer["weights"])
        except KeyError as error:
            raise self._stranger(error, "/fit", answer) from error

    async def probe(self) -> None:
        """Return if the application is up; else raise TransientError."""
        try:
            answer = await self._client.get("/healthz", timeout=5.0)
        except httpx.HTTPError as error:
            msg = f"scorer at {self._client.base_url} does not answer: {error!r}"
            raise TransientError(msg) from error
        if not answer.is_success:
            msg = f"scorer at {self._client.base_url} is not ready: {answer.status_code} {answer.text[:_ERROR_CHARS]}"
            raise TransientError(msg)

    async def _post(self, path: str, body: Mapping[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """An answer, or a refusal that says its type; everything else may be better next time."""
        traceparent = structlog.contextvars.get_contextvars().get("traceparent")
        headers = {"traceparent": str(traceparent)} if traceparent else {}
        try:
            answer = await self._client.post(path, json=dict(body), headers=headers, timeout=timeout_s)
        except httpx.HTTPError as error:
            msg = f"scorer at {self._client.base_url}{path} does not answer: {error!r}"
            raise TransientError(msg) from error
        if answer.is_success or (answer.status_code in (422, 500) and "urn:siad:" in answer.text):
            try:
                return dict(answer.json())
            except (TypeError, ValueError) as error:
                raise self._stranger(error, path, answer.text) from error
        msg = f"scorer at {self._client.base_url}{path}: {answer.status_code} {answer.text[:_ERROR_CHARS]}"
        raise TransientError(msg)

    def _stranger(self, error: Exception, path: str, said: object) -> TransientError:
        """An answer that no scorer of this version gives: a proxy's page, or a rollout half done. Both pass."""
        msg = f"what answers at {self._client.base_url}{path} is no scorer of this version ({error!r}): "
        return TransientError(msg + str(said)[:_ERROR_CHARS])


def _reason(answer: Mapping[str, Any]) -> str:
    """Why it refuses; a refusal that does not say so is one all the same."""
    return str(answer.get("detail", f"{answer['type']}, without a reason"))


def _drawn(answer: Mapping[str, Any]) -> DrawnMask:
    """Read an answer; what a newer scorer says beside it is ignored."""
    return DrawnMask(
        mask_uri=answer["mask_uri"],
        mask_sha256=answer["mask_sha256"],
        score=answer["score"],
        threshold=answer["threshold"],
        defect_ratio=answer["defect_ratio"],
        regions=tuple(
            Region(points=tuple(one["points"]), area_px=one["area_px"], peak_score=one["peak_score"])
            for one in answer["regions"]
        ),
        confidence=answer["confidence"],
    )
