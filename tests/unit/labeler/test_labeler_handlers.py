"""One capture in, at most one pseudo-mask out; and what the scorer's answers mean."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx
import pytest
import structlog

from services.labeler.adapters.releases import KnownTeachers
from services.labeler.adapters.scorer_client import (
    DRAW_FAILED,
    FIT_REFUSED,
    IMAGE_REFUSED,
    FitRefusedError,
    ScorerBugError,
    ScorerClient,
)
from services.labeler.handlers import on_image_stored
from services.labeler.ports import DrawnMask
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import ImageStored, Intent, Region, TeacherReleased
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId
from siad.contracts.keys import weights_pointer_key
from siad.contracts.topics import TEACHER
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.state_table import StateTable
from tests.unit.labeler.world import LINE, PRODUCT, World, capture, manifest_of, weights_of

DRAWN = DrawnMask(
    mask_uri="s3://siad/m.png",
    mask_sha256="b" * 64,
    score=3.0,
    threshold=2.0,
    defect_ratio=0.25,
    regions=(Region(points=(0, 0, 4, 0, 4, 4), area_px=9, peak_score=3.0),),
    confidence=0.5,
)
ANSWER = {
    "mask_uri": "s3://siad/m.png",
    "mask_sha256": "b" * 64,
    "score": 3.0,
    "threshold": 2.0,
    "defect_ratio": 0.25,
    "regions": [{"points": [0, 0, 4, 0, 4, 4], "area_px": 9, "peak_score": 3.0}],
    "confidence": 0.5,
}


@dataclass
class OneTeacher:
    """The same for every line."""

    weights: WeightsId | None = None

    async def current(self, line: str, product: str) -> WeightsId | None:
        return self.weights


@dataclass
class Pen:
    """Draws the same mask on everything."""

    drawn: list[str] = field(default_factory=list)

    async def draw(self, event: ImageStored, *, weights: WeightsId) -> DrawnMask:
        self.drawn.append(event.capture_id)
        return DRAWN


async def test_an_inspected_capture_gets_the_mask_of_its_lines_teacher() -> None:
    event = capture(1)
    [mask] = await on_image_stored(event, teachers=OneTeacher(weights_of(1)), scorer=Pen())
    assert (mask.capture_id, mask.image_id, mask.line, mask.product) == (
        *(event.capture_id, event.image_id),
        *(LINE, PRODUCT),
    )
    assert (mask.weights, mask.score, mask.threshold) == (weights_of(1), 3.0, 2.0)
    assert (mask.regions, mask.defect_ratio, mask.mask_uri) == (DRAWN.regions, 0.25, DRAWN.mask_uri)
    assert mask.confidence == DRAWN.confidence
    assert (mask.captured_at, mask.received_at) == (event.captured_at, event.received_at)


async def test_a_capture_that_comes_before_the_teacher_is_left_to_the_backfill() -> None:
    pen = Pen()
    assert await on_image_stored(capture(1), teachers=OneTeacher(), scorer=pen) == []
    assert pen.drawn == []


@pytest.mark.parametrize("intent", [Intent.NORMAL, Intent.UNSPECIFIED])
async def test_only_inspected_captures_are_labelled(intent: Intent) -> None:
    pen = Pen()
    assert await on_image_stored(capture(1, intent=intent), teachers=OneTeacher(weights_of(1)), scorer=pen) == []
    assert pen.drawn == []


async def test_the_store_is_asked_for_the_teacher_while_the_bus_has_told_of_none() -> None:
    world = World()
    table = StateTable(TEACHER, TeacherReleased, stage="labeler")
    known = KnownTeachers(table, AsyncBlobs(world.blobs))
    assert await known.current(LINE, PRODUCT) is None
    pointer = world.release(manifest_of(["a" * 32] * 10))
    assert await known.current(LINE, PRODUCT) == pointer.weights
    MemoryBlobs.put(world.blobs, weights_pointer_key("teacher", LINE, PRODUCT), b"torn")
    with pytest.raises(TransientError):
        await known.current(LINE, PRODUCT)


def scorer(answer: Callable[[httpx.Request], httpx.Response]) -> ScorerClient:
    """Over HTTP, to somebody who answers like this."""
    client = httpx.AsyncClient(base_url="http://scorer:1", transport=httpx.MockTransport(answer))
    return ScorerClient(client, timeout_s=1, fit_timeout_s=1)


def raising(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer


async def test_an_answer_becomes_what_was_drawn_and_fields_of_a_newer_scorer_are_ignored() -> None:
    newer = {**ANSWER, "mood": "good", "regions": [{**ANSWER["regions"][0], "hue": 3}]}  # type: ignore[index]
    assert await scorer(lambda _: httpx.Response(200, json=newer)).draw(capture(1), weights=weights_of(1)) == DRAWN


@pytest.mark.parametrize(
    "answer",
    [
        raising(httpx.ConnectError("refused")),
        raising(httpx.ReadTimeout("slow")),
        raising(httpx.RemoteProtocolError("closed")),
        lambda _: httpx.Response(404, text="no application yet"),
        lambda _: httpx.Response(422, text="fields are missing: the scorer is of another version"),
        lambda _: httpx.Response(500, text="replica died"),
        lambda _: httpx.Response(503, text="store away"),
    ],
    ids=["refused", "timeout", "closed", "404", "422", "500", "503"],
)
async def test_a_scorer_that_is_away_or_not_itself_is_asked_again(
    answer: Callable[[httpx.Request], httpx.Response],
) -> None:
    asked = scorer(answer)
    with pytest.raises(TransientError, match="http://scorer:1"):
        await asked.draw(capture(1), weights=weights_of(1))
    with pytest.raises(TransientError):
        await asked.fit(LINE, PRODUCT, normals=[], settings=FitSettings(false_reject_budget=0.05))
    with pytest.raises(TransientError):
        await asked.probe()


async def test_an_image_that_the_scorer_refuses_is_poison() -> None:
    refused = scorer(lambda _: httpx.Response(422, json={"type": IMAGE_REFUSED, "detail": "it is truncated"}))
    with pytest.raises(PoisonError, match="it is truncated"):
        await refused.draw(capture(1), weights=weights_of(1))


async def test_a_capture_that_the_scorer_falls_over_has_the_fate_of_a_bug() -> None:
    failing = scorer(lambda _: httpx.Response(500, json={"type": DRAW_FAILED, "detail": "division by zero"}))
    with pytest.raises(ScorerBugError, match="division by zero"):  # it ends the process, and is buried the third time
        await failing.draw(capture(1), weights=weights_of(1))


async def test_normals_that_the_scorer_refuses_are_no_outage() -> None:
    refused = scorer(lambda _: httpx.Response(422, json={"type": FIT_REFUSED, "detail": "too few"}))
    with pytest.raises(FitRefusedError, match="too few"):
        await refused.fit(LINE, PRODUCT, normals=[], settings=FitSettings(false_reject_budget=0.05))


async def test_the_trace_goes_along_to_the_scorer() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("traceparent"))
        return httpx.Response(200, json=ANSWER)

    with structlog.contextvars.bound_contextvars(traceparent="00-1-2-01"):
        await scorer(answer).draw(capture(1), weights=weights_of(1))
    await scorer(answer).draw(replace(capture(1), serial="x"), weights=weights_of(1))
    assert seen == ["00-1-2-01", None]
