"""The scorer's answers over HTTP, and the fate that each has: drawn, poison, a bug, or wait and ask again."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
import pytest
import structlog

from services.labeler.adapters.scorer_client import (
    DRAW_FAILED,
    FIT_REFUSED,
    IMAGE_REFUSED,
    FitRefusedError,
    ScorerBugError,
    ScorerClient,
)
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import Region
from siad.contracts.fit_settings import FitSettings
from tests.unit.labeler.world import LINE, PRODUCT, capture, weights_of

W = weights_of(1)
SETTINGS = FitSettings(false_reject_budget=0.05)
DRAWN: dict[str, Any] = {
    "mask_uri": "s3://siad/masks/m.png",
    "mask_sha256": "b" * 64,
    "score": 3.5,
    "threshold": 2.0,
    "defect_ratio": 0.25,
    "regions": [{"points": [0, 0, 4, 0, 4, 4], "area_px": 9, "peak_score": 3.5}],
    "confidence": 0.5,
}
Answer = Callable[[httpx.Request], httpx.Response]


def scorer(answer: Answer) -> ScorerClient:
    client = httpx.AsyncClient(base_url="http://scorer", transport=httpx.MockTransport(answer))
    return ScorerClient(client, timeout_s=7.0, fit_timeout_s=70.0)


def always(status: int, *, text: str = "", **body: Any) -> Answer:
    return lambda request: httpx.Response(status, json=body) if body else httpx.Response(status, text=text)


def fails(error: Exception) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


async def test_a_mask_is_asked_for_by_reference_and_read_back_whole() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=DRAWN)

    event = capture(1)
    with structlog.contextvars.bound_contextvars(traceparent="00-trace-span-01"):
        drawn = await scorer(answer).draw(event, weights=W)
    assert drawn.regions == (Region(points=(0, 0, 4, 0, 4, 4), area_px=9, peak_score=3.5),)
    assert asdict(drawn) | {"regions": None} == DRAWN | {"regions": None}
    [request] = seen
    said = {name: getattr(event, name) for name in ("capture_id", "image_id", "image_uri", "line", "product")}
    assert json.loads(request.content) == said | {"weights": W}
    assert (request.url.path, request.headers["traceparent"]) == ("/draw", "00-trace-span-01")
    assert request.extensions["timeout"]["read"] == 7.0


async def test_what_a_newer_scorer_says_beside_it_is_ignored() -> None:
    assert (await scorer(always(200, **DRAWN, mood="good")).draw(capture(1), weights=W)).score == 3.5


async def test_an_image_that_the_scorer_refuses_is_poison() -> None:
    answer = always(422, type=IMAGE_REFUSED, detail="it is no image")
    with pytest.raises(PoisonError, match="it is no image"):
        await scorer(answer).draw(capture(1), weights=W)


async def test_a_capture_that_the_network_falls_over_is_a_bug() -> None:
    answer = always(500, type=DRAW_FAILED, detail="division by zero")
    with pytest.raises(ScorerBugError, match="division by zero"):
        await scorer(answer).draw(capture(1), weights=W)


TROUBLES: dict[str, Answer] = {
    "no replica": always(503, text="no replica"),
    "a bug without a word of ours": always(500, text="Internal Server Error"),
    "an old application": always(404, text="no such route"),
    "a refusal by whoever stands between": always(422, text="bad gateway, bad manners"),
    "too many": always(429, text="slow down"),
    "refused connection": fails(httpx.ConnectError("refused")),
    "cut off": fails(httpx.RemoteProtocolError("peer closed")),
    "too slow to connect": fails(httpx.ConnectTimeout("slow")),
    "too slow to answer": fails(httpx.ReadTimeout("slow")),
    "no free connection": fails(httpx.PoolTimeout("slow")),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_every_trouble_but_a_refusal_may_pass(trouble: str) -> None:
    there = scorer(TROUBLES[trouble])
    with pytest.raises(TransientError, match="http://scorer"):
        await there.draw(capture(1), weights=W)
    with pytest.raises(TransientError, match="http://scorer"):
        await there.fit(LINE, PRODUCT, normals=[capture(2)], settings=SETTINGS)
    with pytest.raises(TransientError, match="http://scorer"):
        await there.probe()


STRANGERS: dict[str, Answer] = {
    "a proxy's page": always(200, text="<html>Welcome</html>"),
    "no object": lambda request: httpx.Response(200, json=[1, 2]),
    "nothing": lambda request: httpx.Response(204),
    "an older scorer": lambda request: httpx.Response(200, json={"score": 3.5}),
    "a refusal cut short": always(422, text='{"type": "urn:siad:image-refused", "det'),
}


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_who_answers_as_no_scorer_does_is_asked_again(stranger: str) -> None:
    there = scorer(STRANGERS[stranger])
    with pytest.raises(TransientError, match="http://scorer/draw is no scorer of this version"):
        await there.draw(capture(1), weights=W)
    with pytest.raises(TransientError, match="http://scorer/fit is no scorer of this version"):
        await there.fit(LINE, PRODUCT, normals=[capture(2)], settings=SETTINGS)


async def test_a_refusal_without_a_reason_is_one_all_the_same() -> None:
    with pytest.raises(PoisonError, match="without a reason"):
        await scorer(always(422, type=IMAGE_REFUSED)).draw(capture(1), weights=W)


async def test_regions_of_another_kind_are_no_answer() -> None:
    with pytest.raises(TransientError, match="no scorer of this version"):
        await scorer(always(200, **{**DRAWN, "regions": 3})).draw(capture(1), weights=W)


async def test_a_fit_takes_normals_by_reference_and_its_own_time() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"weights": W})

    normals = [capture(1), capture(2)]
    assert await scorer(answer).fit(LINE, PRODUCT, normals=normals, settings=SETTINGS) == W
    [request] = seen
    body = json.loads(request.content)
    assert [one["capture_id"] for one in body["normals"]] == [one.capture_id for one in normals]
    assert body.items() >= {"line": LINE, "product": PRODUCT, **json.loads(json.dumps(asdict(SETTINGS)))}.items()
    assert request.extensions["timeout"]["read"] == 70.0


async def test_normals_that_can_not_teach_are_refused_for_good() -> None:
    answer = always(422, type=FIT_REFUSED, detail="they differ in size")
    with pytest.raises(FitRefusedError, match="they differ in size"):
        await scorer(answer).fit(LINE, PRODUCT, normals=[], settings=SETTINGS)


async def test_a_scorer_that_is_up_passes_its_probe() -> None:
    await scorer(always(200, text="ok")).probe()


async def test_a_draw_that_is_cancelled_leaves_at_once() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    client = httpx.AsyncClient(base_url="http://scorer", transport=httpx.MockTransport(answer))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ScorerClient(client, timeout_s=60, fit_timeout_s=60).draw(capture(1), weights=W)
